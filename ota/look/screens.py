"""The screens of plan, status, doctor and watch: each shows first what was found, and last what to do.

Without a terminal, and with ``--json``, there are no colours and bars. Every command is on its own line and is never
wrapped, so that it can be pasted.

Source: rich's documentation of ``Live``, ``Table`` and ``ProgressBar``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ota.errors import OtaError
from ota.look import rollout_screens
from ota.look.failures import rollout_json
from ota.look.rollout_screens import in_order
from ota.look.statuses import ObjectState, State, Status, Verdict
from ota.look.watching import RETRIED, Moment, silence_causes, what_it_says, why_it_failed
from ota.messages import AnyCommand, Text, command, joined, message
from ota.outcomes import QUIET, Action, Change, Finding, Severity, of_severity
from ota.plan import Plan, make_plan
from ota.progress import TICK_S
from ota.report import printable
from ota.updates.jobs import Execution
from ota.updates.requests import Update
from ota.updates.rollouts import Rollout

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ota.report import Report
    from ota.run import Run

ACTION_STYLES = {
    Action.CREATE: "bold green",
    Action.CHANGE: "bold yellow",
    Action.REPLACE: "bold yellow",
    Action.BUILD: "bold blue",
    Action.UPLOAD: "bold blue",
    Action.WAIT: "blue",
    Action.ASK: "bold yellow",
    Action.BLOCKED: "bold red",
    Action.DELETE: "bold red",
    Action.KEEP: "yellow",
    Action.REUSE: "cyan",
    Action.SKIP: "dim",
    Action.ABSENT: "dim",
}
STATE_STYLES = {
    State.OK: "green",
    State.MISSING: "bold yellow",
    State.DIFFERS: "bold yellow",
    State.BLOCKED: "bold red",
    State.UNKNOWN: "dim",
}
VERDICT_STYLES = {
    Verdict.DONE: "bold green",
    Verdict.NOT_SET_UP: "bold yellow",
    Verdict.IN_PROGRESS: "bold blue",
    Verdict.FAILED: "bold red",
    Verdict.UNKNOWN: "bold yellow",
}
JOB_WORDS = {"COMPLETED": "over", "CANCELED": "ended", "DELETION_IN_PROGRESS": "leaving"}
BAR_WIDTH = 30
MOST_HISTORY = 500


def show_plan(report: Report, plan: Plan, carry_out: AnyCommand, *, as_json: bool) -> None:
    """The changes, and the command that carries them out; under a blocked change the command that fixes it."""
    if as_json:
        report.document(plan.as_json())
        return
    for step in plan.steps:
        is_open = step.noun == "update" and not step.is_certain and step.action is not Action.CREATE
        doubt = "(if the build leaves the image as it is)" if is_open else ""
        detail = joined(" ", [one for one in (step.brief or step.detail, doubt) if one])
        report.entry(step.noun, step.action.value, ACTION_STYLES[step.action], step.name, detail)
        report.block(step.difference, "diff")
        report.block(report.command(step.command), "bold")
    report.say("")
    if plan.blocked:
        report.styled(f"It would fail: {_nouns(plan.blocked)}. The command under each mends it.", "bold red")
    elif plan.changes:
        told = message(f"{_told(plan.counts())}. Nothing is done yet: ", carry_out)
        report.styled(told, "bold green")
    else:
        report.styled("Nothing to do: everything is as it must be.", "bold green")


def show_plan_as_markdown(report: Report, plan: Plan, carry_out: AnyCommand) -> None:
    """The plan as a table in Markdown, the result before it and the differences after it."""
    if plan.blocked:
        result = f"**It would fail**: {_nouns(plan.blocked)}."
    elif plan.changes:
        result = f"**{_told(plan.counts())}.** Nothing is done yet: `{report.command(carry_out)}`"
    else:
        result = "**Nothing to do**: everything is as it must be."
    report.markdown(result, "", "| object | change | name | detail |", "| --- | --- | --- | --- |")
    for step in plan.steps:
        action = step.action.value if step.action in QUIET else f"**{step.action.value}**"
        mended = f" `{report.command(step.command)}`" if step.command else ""
        detail = f"{report.short(report.text(step.brief or step.detail))}{mended}".replace("|", "\\|").replace(
            "\n", " "
        )
        report.markdown(f"| {step.noun} | {action} | `{step.name}` | {detail} |")
    for step in plan.steps:
        if step.difference:
            report.markdown("", f"{step.noun} `{step.name}`:", "", "```diff", step.difference, "```")


def show_status(report: Report, status: Status, now: datetime, *, as_json: bool) -> None:
    """Each object, the job with its devices, and the verdict with what to do next."""
    if as_json:
        report.document(status.as_json())
        return
    for one in status.objects:
        step = one.step
        detail = "" if one.state is State.MISSING or step.action is Action.BUILD else step.brief or step.detail
        report.entry(step.noun, one.state.value, STATE_STYLES[one.state], step.name, detail)
    _show_job(report, status)
    if isinstance(status.rollout, Rollout) and status.rollout.is_large:
        rollout_screens.show_rollout(report, status.rollout, rollout_screens.average_rate(status.rollout, now))
    else:
        for execution in status.rollout.executions if isinstance(status.rollout, Rollout) else ():
            _show_execution(report, execution, now)
    report.say("")
    next_ = (" Next: ", status.command) if status.command else ()
    report.styled(message(_sentence(status), *next_), VERDICT_STYLES[status.verdict])


def show_findings(report: Report, findings: tuple[Finding, ...], *, as_json: bool) -> None:
    """The findings, the most severe last, and the overall result."""
    mistakes, doubts = of_severity(findings, Severity.FATAL), of_severity(findings, Severity.WARNING)
    if as_json:
        report.document({"ok": not mistakes, "findings": [finding.as_json() for finding in findings]})
        return
    rest = (finding for finding in findings if finding not in mistakes + doubts)
    report.findings([*rest, *doubts, *mistakes])
    report.say("")
    if mistakes:
        count = "One thing" if len(mistakes) == 1 else f"{len(mistakes)} things"
        report.styled(f"{count} would make `all` fail. The command under each mends it.", "bold red")
    elif doubts:
        count = "one warning" if len(doubts) == 1 else f"{len(doubts)} warnings"
        report.styled(f"Nothing would make `all` fail; {count}.", "bold yellow")
    else:
        report.styled("All is well.", "bold green")


@dataclass
class WatchScreen:
    """The screen of a watched job; ``history`` has the changes for the JSON document at the end."""

    report: Report
    job_id: str
    as_json: bool
    draw: Any
    history: list[dict[str, Any]] = field(default_factory=list)
    is_unanswered: bool = False
    told_s: float = -TICK_S

    def show(self, moment: Moment) -> None:
        """Show one look: drawn in place on a terminal, elsewhere a line for each change."""
        rollout = moment.rollout
        if rollout:
            self.draw(_picture(rollout, moment.rate, is_last=moment.is_last))
        if rollout and rollout.is_large:
            self._show_counts(rollout, moment)
        if moment.unknown and not (self.is_unanswered or moment.is_last):
            self.report.note(f"AWS does not say how the job {self.job_id} is: {RETRIED}.")
        self.is_unanswered = moment.unknown is not None
        for execution in moment.changed:
            self.history.append({"after_s": round(moment.waited_s, 1), **execution.as_json()})
            if not self.report.is_terminal:
                self.report.say(f"{moment.waited_s:6.0f} s  {execution.thing_name}  {what_it_says(execution)}")

    def _show_counts(self, rollout: Rollout, moment: Moment) -> None:
        """Keep the counts, and without a terminal print them every few seconds."""
        counts = dict(rollout.counts())
        if not self.history or self.history[-1]["counts"] != counts:
            self.history.append({"after_s": round(moment.waited_s, 1), "counts": counts})
            if len(self.history) > MOST_HISTORY:
                del self.history[1:-1:2]
        is_due = moment.is_last or moment.waited_s - self.told_s >= TICK_S
        if is_due and not self.report.is_terminal:
            self.told_s = moment.waited_s
            self.report.say(f"{moment.waited_s:6.0f} s  {rollout_screens.line_of(rollout, moment.rate)}")

    def hint(self, run: Run, moment: Moment) -> None:
        """Show the likely causes when nothing changes."""
        if moment.rollout is None:
            return
        self.report.note(f"Nothing has moved for {moment.quiet_s:.0f} seconds. That may mean:")
        for cause in silence_causes(run.settings, make_plan(run), moment.rollout):
            self.report.note(message("  - ", cause))

    def end(self, moment: Moment, *, is_quiet: bool = False) -> None:
        """Show the result; ``is_quiet`` where stdout is for something else."""
        rollout = moment.rollout
        if self.as_json:
            self.report.document(self._as_json(moment))
        if self.as_json or is_quiet:
            return
        if moment.unknown:
            text = message(f"It is not known how the job {self.job_id} stands. ", moment.unknown.message)
            self.report.styled(text, VERDICT_STYLES[Verdict.UNKNOWN])
            return
        if rollout is None:
            self.report.styled(f"The job {self.job_id} is gone: somebody deleted it.", "bold red")
            return
        if rollout.is_large:
            rollout_screens.show_failures(self.report, rollout)
        else:
            for execution in rollout.failed:
                self.report.entry("device", "failed", "bold red", execution.thing_name, what_it_says(execution))
                self.report.prose(why_it_failed(execution))
        self.report.styled(*self._ending(rollout, moment))

    def _ending(self, rollout: Rollout, moment: Moment) -> tuple[Text, str]:
        """The last line and its style."""
        told = ", ".join(f"{count:,} {name}" for name, count in in_order(rollout.counts())) or "no device"
        if rollout.has_succeeded:
            return f"Done: every device runs the update ({told}).", "bold green"
        if rollout.is_over:
            return f"Not every device runs the update ({told}).", "bold red"
        after = f"Not over after {moment.waited_s:.0f} seconds ({told}). Go on with "
        return message(after, command("watch")), "bold yellow"

    def _as_json(self, moment: Moment) -> dict[str, Any]:
        status = "unknown" if moment.unknown else "gone"
        rollout = moment.rollout
        told = rollout_json(rollout or Rollout(self.job_id, status, ()))
        return {
            **told,
            "verdict": moment.verdict.word,
            "exit_status": moment.verdict.value,
            "unknown": {"job": moment.unknown.message} if moment.unknown else {},
            "waited_s": round(moment.waited_s, 1),
            "changes": self.history,
        }


@contextmanager
def watching(report: Report, job_id: str, *, as_json: bool, is_drawn: bool = True) -> Iterator[WatchScreen]:
    """The screen of a watched job; nothing is drawn where stdout is for a document."""
    with report.live() as draw:
        yield WatchScreen(report, job_id, as_json, draw if is_drawn else (lambda _: None))


def age(then: datetime | None, now: datetime) -> str:
    """How long ago, in words; empty where the time is unknown."""
    if then is None:
        return ""
    span = max(now - then, timedelta(0))
    for name, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if span >= size:
            return f"{span // size} {name} ago"
    return f"{span.seconds} s ago"


def _show_execution(report: Report, execution: Execution, now: datetime) -> None:
    style = "green" if execution.has_succeeded else "bold red" if execution.is_over else "blue"
    detail = ", ".join(filter(None, [what_it_says(execution), age(execution.updated_at, now)]))
    report.entry("device", "over" if execution.is_over else "at work", style, execution.thing_name, detail)
    if execution.is_over and not execution.has_succeeded:
        report.prose(why_it_failed(execution))


def _show_job(report: Report, status: Status) -> None:
    """The job's line, where there is an update; a line for the update and the job where AWS did not return them."""
    update, rollout, style = status.update, status.rollout, STATE_STYLES[State.UNKNOWN]
    if isinstance(update, OtaError) and not any(
        one.step.is_unseen for one in status.objects if one.step.noun == "update"
    ):
        report.entry("update", State.UNKNOWN.value, style, "", update.message)
    if isinstance(rollout, OtaError):
        report.entry("job", State.UNKNOWN.value, style, "", rollout.message)
    elif rollout is not None and update is not None:
        told = ", ".join(f"{count:,} {name}" for name, count in in_order(rollout.counts()))
        report.entry("job", JOB_WORDS.get(rollout.status, "at work"), "blue", rollout.job_id, told)
    elif isinstance(update, Update):
        report.entry("job", "gone", "blue", "", f"the update is {update.status}")


def _sentence(status: Status) -> str:
    name = f"T{status.target[1:]}" if status.target.startswith("the ") else status.target
    if status.verdict is Verdict.UNKNOWN:
        return f"It is not known how {name} stands: AWS did not say how these are: {', '.join(status.unknown)}."
    if status.verdict is Verdict.DONE:
        return f"{name} is set up, and runs the update."
    if status.verdict is Verdict.IN_PROGRESS:
        return f"{name} has the update to take; it is not done yet."
    if status.verdict is Verdict.FAILED:
        failed = status.update.error_message if isinstance(status.update, Update) else ""
        return f"{name} did not take the update{f': {failed}' if failed else ''}."
    return f"{status.thing_name} is not set up as the settings say: {_counted(status.not_as_wanted)}."


def _nouns(steps: Iterable[Change]) -> str:
    return ", ".join(dict.fromkeys(step.noun for step in steps))


def _counted(objects: Iterable[ObjectState]) -> str:
    """The nouns by their states: ``missing: bucket, role; differs: policy``."""
    found = list(objects)
    states = dict.fromkeys(one.state for one in found)
    told = (f"{state.value}: {', '.join(one.step.noun for one in found if one.state is state)}" for state in states)
    return "; ".join(told)


def _told(counts: dict[str, int]) -> str:
    quiet = ("skip", "wait", "absent")
    return ", ".join(f"{count} to {action}" for action, count in counts.items() if action not in quiet)


def _picture(rollout: Rollout, rate: float | None, *, is_last: bool) -> RenderableType:
    """A bar for each device, or one for all where there are many; their failures are printed below the last one."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text as RichText

    if rollout.is_large:
        return rollout_screens.Picture(rollout, rate, has_failures=not is_last)
    grid = Table.grid(padding=(0, 2, 0, 0))
    for one in rollout.executions:
        done, total = one.received or (int(one.is_over), 1)
        bar = ProgressBar(total=total, completed=done, width=BAR_WIDTH)
        grid.add_row(RichText(one.thing_name, "bold"), bar, RichText(printable(what_it_says(one))))
    return grid
