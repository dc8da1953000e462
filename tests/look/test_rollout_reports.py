"""The report of a rollout: a page that needs nothing else, with the right figures, also in a real browser."""

from __future__ import annotations

import re
import struct
import zlib
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ota.look.rollout_charts import count_step, curve_svg, tick_step_s
from ota.look.rollout_reports import Point, curve_of, describe_configuration
from ota.updates.jobs import Execution, Job
from tests.browser import DARK, find_browser, take_picture
from tests.look.fleet_desk import FleetDesk, bare_desk, fleet
from tests.look.look_desk import JOB, UPDATE, built
from tests.look.test_watching import watch

__all__ = ["bare_desk", "built", "fleet"]

COUNT = 24
BEGUN = datetime(2026, 1, 1, tzinfo=timezone.utc)
HOSTILE = '<script src="//evil.example/x.js">"\'&'
PICTURE_FLAGS = ("--window-size=1000,1400", "--force-device-scale-factor=0.4")  # small, for it is read pixel by pixel


class Page(HTMLParser):
    """What a page is made of: its tags, every address in it, its text, and the figures by their names."""

    VOID = frozenset({"meta", "br", "path", "line"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.figures: dict[str, str] = {}
        self.words: list[str] = []
        self._open: list[str] = []
        self._figure = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [f"{name}={value}" for name, value in attrs if name in {"src", "href", "action", "data"}]
        told = dict(attrs)
        self._figure = told.get("data-figure") or told.get("data-count") or ""
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.figures[self._figure], self._figure = data, ""
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page_path(fleet: FleetDesk, tmp_path: Path) -> Path:
    """The report of a rollout that ended: twenty devices run the update, four failed, one with hostile words."""
    criteria = {"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 90, "minNumberOfExecutedThings": 24}
    fleet.roll_out(
        COUNT,
        awsJobExecutionsRolloutConfig={"maximumPerMinute": 500},
        awsJobAbortConfig={"abortCriteriaList": [criteria]},
    )
    fleet.succeed(1, 20)
    fleet.fail(21, 23)
    fleet.fail(24, 24, HOSTILE)
    path = tmp_path / "rollout.html"
    status, _, err = watch(fleet.desk, report_path=path)
    assert (status, err) == (4, f"The report is in {path}.\n")
    return path


def test_the_page_has_the_figures_and_needs_nothing_else(page_path: Path) -> None:
    text = page_path.read_text()
    page = Page(text)
    assert page.addresses == []
    assert page.tags & {"script", "link", "iframe", "img", "object", "embed", "base", "form"} == set()
    assert re.findall(r"url\(|@import|https?:", text) == []
    assert {name: page.figures[name] for name in ("devices", "succeeded", "failed", "SUCCEEDED", "FAILED")} == {
        "devices": "24", "succeeded": "20", "failed": "4", "SUCCEEDED": "20", "FAILED": "4",
    }  # fmt: skip
    told = (
        "Not every device runs the update", UPDATE, JOB, "group fleet", "596,736 bytes", "at most 500 devices a minute",
        "ALL 90 % of at least 24", "All 4 devices that ended without success", "fleet-21 , fleet-22 , fleet-23",
        HOSTILE, "20 of 24 devices ran the update in the end, 4 ended without success",
    )  # fmt: skip
    everything = page.text + "".join(re.findall(r'aria-label="([^"]*)"', text))
    assert [one for one in told if one not in everything] == []
    assert re.search(r"SHA-256 [0-9a-f]{64}", page.text)


def test_it_is_written_too_when_ctrl_c_ends_the_watching(fleet: FleetDesk, tmp_path: Path) -> None:
    fleet.roll_out(COUNT)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(fleet.desk, lambda: fleet.succeed(1, 3), interrupt, report_path=tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text())
    assert (page.figures["SUCCEEDED"], page.figures["QUEUED"]) == ("3", "21")
    assert "Under way" in page.text


def test_one_device_has_a_report_too_and_a_folder_that_is_not_there_is_refused_first(
    fleet: FleetDesk, tmp_path: Path
) -> None:
    path = tmp_path / "one.html"
    assert fleet.desk.run("watch", "--timeout", "0", "--report", str(path)).status == 3
    assert Page(path.read_text()).figures["devices"] == "1"
    fleet.desk.run("watch", "--report", str(tmp_path / "gone/one.html")).failed("in a folder that exists")


@pytest.mark.skipif(find_browser() is None, reason="there is no browser here")
def test_a_browser_shows_it_light_and_dark(page_path: Path, tmp_path: Path) -> None:
    pictures = {}
    for name, *flags in (("light",), ("dark", DARK)):
        path = tmp_path / f"{name}.png"
        take_picture(page_path, path, *PICTURE_FLAGS, *flags)
        pictures[name] = pixels(path)
    light, dark = pictures["light"], pictures["dark"]
    assert sum(light[0]) > 600  # the page's first pixel is its background
    assert sum(dark[0]) < 150
    for found in pictures.values():
        assert len(set(found)) > 50
        assert sum(is_green(*pixel) for pixel in found) > 300  # bar and curve are painted
        assert sum(is_red(*pixel) for pixel in found) > 50


@pytest.mark.parametrize(
    ("executions", "points"),
    [
        ([], [(0, 0, 0, 0)]),
        (
            [("SUCCEEDED", 0, 10), ("FAILED", 0, 10), ("IN_PROGRESS", 5, 7)],
            [(0, 2, 0, 0), (5, 3, 0, 0), (10, 3, 1, 1)],
        ),
    ],
    ids=["nothing", "three"],
)
def test_the_curve_rises_where_something_changes(
    executions: list[tuple[str, int, int]], points: list[tuple[int, ...]]
) -> None:
    at = lambda seconds: BEGUN + timedelta(seconds=seconds)  # noqa: E731
    found = [Execution(status, status, at(queued), None, at(updated)) for status, queued, updated in executions]
    assert curve_of(found, BEGUN) == [Point(*point) for point in points]


def test_a_long_curve_has_few_points_and_the_right_end() -> None:
    found = [Execution(f"d-{n}", "SUCCEEDED", BEGUN, None, BEGUN + timedelta(seconds=n)) for n in range(5000)]
    curve = curve_of(found, BEGUN)
    assert len(curve) <= 241
    assert curve[-1] == Point(4999.0, 5000, 5000, 0)
    assert len(curve_svg(curve, 5000)) < 40_000


@pytest.mark.parametrize(
    ("most", "step"), [(1, 1), (6, 1), (10, 2), (24, 5), (50, 10), (500, 100), (10_000, 2000)], ids=str
)
def test_lines_are_at_round_numbers(most: int, step: int) -> None:
    assert count_step(most) == step


@pytest.mark.parametrize(("longest_s", "step_s"), [(1, 1), (60, 10), (3600, 600), (86_400, 14_400), (864_000, 172_800)])
def test_times_are_at_round_marks(longest_s: float, step_s: int) -> None:
    assert tick_step_s(longest_s) == step_s


def test_the_configuration_in_words() -> None:
    stages = {"baseRatePerMinute": 10, "incrementFactor": 2.0, "rateIncreaseCriteria": {"numberOfSucceededThings": 50}}
    told = {
        "jobExecutionsRolloutConfig": {"exponentialRate": stages, "maximumPerMinute": 1000},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 60},
    }
    assert describe_configuration(Job(JOB, "IN_PROGRESS", (), is_continuous=True, configuration=told)) == {
        "Devices": "those that join the group later, too",
        "Speed": "10 devices a minute, times 2 after each 50 successes, at most 1,000",
        "Stops at": "never",
        "Time for a device": "60 min",
    }
    assert describe_configuration(None) == {}


def is_green(red: int, green: int, blue: int) -> bool:
    return green > red + 60 and green > blue + 30


def is_red(red: int, green: int, blue: int) -> bool:
    return red > green + 80 and red > blue + 60


def pixels(path: Path) -> list[tuple[int, int, int]]:
    """Every third pixel of every third row of a PNG with 8 bits a channel."""
    data = path.read_bytes()
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (depth, kind) in {(8, 2), (8, 6)}
    channels = 3 if kind == 2 else 4
    stride = width * channels
    raw = zlib.decompress(b"".join(_chunks(data)))
    above, found = bytearray(stride), []
    for row in range(height):
        begin = row * (stride + 1)
        line = _unfiltered(raw[begin], bytearray(raw[begin + 1 : begin + 1 + stride]), above, channels)
        if row % 3 == 0:
            found += [(line[x], line[x + 1], line[x + 2]) for x in range(0, stride, 3 * channels)]
        above = line
    return found


def _chunks(data: bytes) -> list[bytes]:
    """The compressed content, in its pieces."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(data[at + 8 : at + 8 + length])
        at += length + 12
    return found


def _unfiltered(kind: int, line: bytearray, above: bytearray, channels: int) -> bytearray:
    for index in range(len(line)):
        left = line[index - channels] if index >= channels else 0
        up, corner = above[index], above[index - channels] if index >= channels else 0
        line[index] = (line[index] + _predicted(kind, left, up, corner)) & 255
    return line


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind in (0, 1, 2, 3):
        return (0, left, up, (left + up) // 2)[kind]
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))
