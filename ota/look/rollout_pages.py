"""Writes the report of a rollout as one HTML page that needs nothing else: no script, no font, no other file.

All text on it comes from AWS, a device or the settings, so all of it is escaped. The page follows the reader's choice
of light or dark, and prints well.

Source: HTML Living Standard; SVG 2, "Paths".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from html import escape
from pathlib import Path

from ota.look.failures import FailureGroup
from ota.look.rollout_charts import curve_svg
from ota.look.rollout_reports import RolloutReport
from ota.look.rollout_screens import duration_words
from ota.updates.jobs import SUCCEEDED, UNFINISHED

STYLE_PATH = Path(__file__).with_name("rollout_page.css")
MOST_NAMES = 12
MOST_ROWS = 2000
WAITING = "WAITING"
BACKQUOTED = re.compile(r"`([^`]+)`")


def rollout_page(report: RolloutReport) -> str:
    """The whole page."""
    sections = [
        _header(report),
        f'<p class="card note">{escape(report.ended)}</p>' if report.ended else "",
        _tiles(report),
        _card("Devices by state", _states(report)),
        _card("Over time", curve_svg(report.curve, report.size) + _curve_words(report)),
        _card("Failures by cause", _failures(report)) if report.failures or report.failed else "",
        _facts(report),
        f"<footer>Made by ota-tasks at {_time(report.made_at)}. All times are UTC.</footer>",
    ]
    body = "\n".join(filter(None, sections))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}: {escape(report.headline)}</title>\n"
        f"<style>\n{STYLE_PATH.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _header(report: RolloutReport) -> str:
    return (
        f'<header><div><p class="kicker">Rollout report</p><h1>{escape(report.title)}</h1></div>'
        f'<p class="verdict {report.verdict.word.partition(" ")[0]}">{escape(report.headline)}</p></header>'
    )


def _tiles(report: RolloutReport) -> str:
    counts = dict(report.counts)
    succeeded = counts.get(SUCCEEDED, 0)
    failed = sum(count for status, count in report.counts if status not in {*UNFINISHED, SUCCEEDED})
    share = f"{100 * succeeded / report.size:.3g} % run the update" if report.size else "run the update"
    lasted_s = report.curve[-1].after_s if report.curve else 0.0
    told = (
        ("devices", f"{report.size:,}", "devices"),
        ("succeeded", f"{succeeded:,}", share),
        ("failed", f"{failed:,}", "ended without success"),
        ("duration", duration_words(lasted_s), "first offer to last change"),
    )
    tiles = "".join(
        f'<div class="card tile"><p class="number" data-figure="{name}">{number}</p><p class="label">{label}</p></div>'
        for name, number, label in told
    )
    return f'<section class="tiles">{tiles}</section>'


def _states(report: RolloutReport) -> str:
    waiting = report.size - sum(count for _, count in report.counts)
    shown = [*report.counts, *([(WAITING, waiting)] if waiting > 0 else [])]
    bar = "".join(f'<span class="{escape(status)}" style="flex:{count}"></span>' for status, count in shown)
    legend = "".join(
        f'<li><i class="{escape(status)}"></i>{_words(status)} <b data-count="{escape(status)}">{count:,}</b></li>'
        for status, count in shown
    )
    return f'<div class="bar">{bar}</div><ul class="legend">{legend}</ul>'


def _curve_words(report: RolloutReport) -> str:
    return (
        '<ul class="legend"><li><i class="SUCCEEDED"></i>run the update</li>'
        '<li><i class="FAILED"></i>ended without success</li>'
        f'<li><i class="dashed"></i>had been offered it</li></ul><p class="under">From {_time(report.begun_at)} on.</p>'
    )


def _failures(report: RolloutReport) -> str:
    groups = "".join(_group(group, remedy) for group, remedy in report.failures)
    if not report.failed:
        return groups
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_words(status)}</td><td>{_time(at)}</td></tr>"
        for name, status, at in report.failed[:MOST_ROWS]
    )
    more = len(report.failed) - MOST_ROWS
    rows += f'<tr><td colspan="3">and {more:,} more</td></tr>' if more > 0 else ""
    return (
        f"{groups}<details><summary>All {len(report.failed):,} devices that ended without success</summary>"
        f"<table><thead><tr><th>device</th><th>state</th><th>at</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _group(group: FailureGroup, remedy: str) -> str:
    names = ", ".join(f"<span>{escape(name)}</span>" for name in group.names[:MOST_NAMES])
    more = group.likely_count - min(MOST_NAMES, len(group.names))
    names += f" and {more:,} more" if more > 0 else ""
    note = "" if group.is_exact or group.count == group.looked_at else f" ({escape(group.size)})"
    lines = [f"To do: {_with_code(remedy)}." if remedy else "", names]
    told = "".join(f"<p>{line}</p>" for line in lines if line)
    cause = escape(group.cause or "The device gave no reason")
    return (
        f'<div class="group"><p class="number">{group.likely_count:,}</p><div><p>'
        f'<span class="badge {escape(group.status)}">{_words(group.status)}</span>{cause}{note}</p>{told}</div></div>'
    )


def _with_code(text: str) -> str:
    """The text as HTML; what is in backquotes, a command to type, is set as code."""
    return BACKQUOTED.sub(r"<code>\1</code>", escape(text))


def _facts(report: RolloutReport) -> str:
    times = {label: _time(at) if at else "not yet" for label, at in report.times.items()}
    escaped = {label: escape(value) for label, value in report.settings.items()}
    sent = {label: escape(value) for label, value in report.sent.items()}
    when = _card("How and when", _list({**escaped, **times}))
    return f'<section class="facts">{_card("What was sent to whom", _list(sent))}{when}</section>'


def _list(values: Mapping[str, str]) -> str:
    """A list of labels and values, which are HTML already."""
    rows: Iterable[str] = (
        f"<dt>{escape(label)}</dt><dd{' class=hash' if label == 'SHA-256' else ''}>{value}</dd>"
        for label, value in values.items()
    )
    return f"<dl>{''.join(rows)}</dl>"


def _card(title: str, content: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2>{content}</section>'


def _words(status: str) -> str:
    return "not offered yet" if status == WAITING else escape(status.lower().replace("_", " "))


def _time(at: datetime | None) -> str:
    if at is None:
        return ""
    moment = at.astimezone(timezone.utc)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S}</time>'
