"""The tasks that only look: what each looks at, how it shows that, and its exit status.

None of them changes anything, in AWS or on this machine.

Source: ``ota/plan.py``, ``ota/teardown/teardown.py``, ``statuses.py``, ``watching.py`` and ``doctor.py`` for the
looks; ``screens.py`` for how they are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from ota.cloud import Cloud
from ota.errors import (
    Answered,
    CredentialsError,
    InTheWay,
    OtaError,
    SettingsError,
    SignatureError,
    WaitTimeout,
    attempt,
)
from ota.firmware.verify import verify
from ota.fleet.cleaning import NOUN as DEVICES
from ota.fleet.cleaning import Cleaning
from ota.look import rollout_screens, screens
from ota.look.doctor import Surroundings, examine, examine_locally, finding_of, mended_settings, settings_findings
from ota.look.forms import Forms, device_rows, list_devices
from ota.look.rollout_pages import rollout_page
from ota.look.rollout_reports import gather_report, write_report
from ota.look.statuses import Verdict, count_things, find_status
from ota.look.watching import POLL_S, SILENCE_S, Moment, await_update, follow
from ota.messages import AnyCommand, Remedy, Shell, command, shell
from ota.nouns import in_teardown_order
from ota.outcomes import Change, Finding, Severity, of_severity, ok
from ota.plan import Plan, make_plan
from ota.teardown.teardown import Teardown
from ota.updates.jobs import job_id_of
from ota.updates.requests import BEING_CREATED, BEING_DELETED, Update
from ota.updates.rollouts import Rollout, find_rollout

if TYPE_CHECKING:
    from ota.run import Run
    from ota.scope import Scope
    from ota.settings.settings import Settings

WOULD_FAIL = 1
EDIT_ENVIRONMENT = "${EDITOR:-vi} .env"  # the shell expands it, so it is not quoted


def show_plan(run: Run, *, as_json: bool, as_markdown: bool = False) -> None:
    """What ``all`` would do; exit status 1 where it would fail."""
    _begin(run, as_json=as_json or as_markdown)
    with run.report.live_line("looking"):
        plan = make_plan(run)
    if as_markdown and not as_json:
        screens.show_plan_as_markdown(run.report, plan, command("all"))
    else:
        screens.show_plan(run.report, plan, command("all"), as_json=as_json)
    if plan.blocked:
        raise Answered(WOULD_FAIL)


def show_teardown_plan(run: Run, *, force: bool, local: bool, as_json: bool) -> None:
    """What ``clean`` would do; exit status 1 where something of ours would stay."""
    _begin(run, as_json=as_json)
    cloud, settings = run.cloud, run.settings
    teardown = Teardown(cloud, settings, is_forced=force, local=local, header_notes_paths=run.header_notes_paths)
    with run.report.live_line("looking"):
        fleet = Cleaning(cloud, settings, run.report, is_forced=force, local=local)
        plan = Plan(tuple(in_teardown_order(_teardown_changes(teardown, fleet))))
    flags = ["--force"] * force + ["--local"] * local
    screens.show_plan(run.report, plan, command("clean", *flags), as_json=as_json)
    if plan.blocked:
        raise Answered(WOULD_FAIL)


def _teardown_changes(teardown: Teardown, fleet: Cleaning) -> list[Change]:
    """What ``clean`` would do. Devices without a trace here are looked for only where something else would stay."""
    if not fleet.has_traces():
        changes = teardown.plan(has_fleet=False)
        if not Plan(tuple(changes)).blocked or not fleet.has_devices():
            return changes
    going = fleet.plan()
    return [*going, *teardown.plan(has_fleet=any(change.noun == DEVICES for change in going))]


def show_status(run: Run, forms: Forms) -> None:
    """The state of the thing and its update; the exit status is the verdict's."""
    _begin(run, as_json=forms.takes_stdout)
    with run.report.live_line("looking"):
        status = find_status(run)
        if isinstance(status.rollout, Rollout):
            status = replace(status, rollout=_in_full(run, status.rollout, forms))
    if not forms.as_csv:
        screens.show_status(run.report, status, datetime.now(timezone.utc), as_json=forms.as_json)
    if isinstance(status.rollout, Rollout):
        _show_devices(run, status.rollout, forms)
    if status.verdict is not Verdict.DONE:
        raise Answered(status.verdict.value)


def watch(
    run: Run,
    *,
    timeout_s: float,
    forms: Forms,
    silence_s: float = SILENCE_S,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Follow the update until every device has finished.

    Raises:
        NothingToWatch: there is no update to watch, or AWS could not make it.
        NotMadeYet: the time is up, and AWS is still making or deleting it.
        Answered: not every device succeeded: 4, the time is up: 3, or AWS did not return the job's state: 5.
    """
    _begin(run, as_json=forms.takes_stdout)
    forms.check_report_path()
    job_id, begun = job_id_of(run.settings.update_name), clock()
    found = await_update(run, run.report.note, sleep=sleep, clock=clock, timeout_s=timeout_s, poll_s=poll_s)
    waited_s = clock() - begun
    if isinstance(found, OtaError):
        moments: Iterable[Moment] = [Moment(None, (), 0.0, waited_s, is_last=True, unknown=found)]
    else:
        _check_watchable(run.settings.update_name, found, waited_s)
        look = partial(find_rollout, run.cloud.iot, job_id, count_things=partial(count_things, run.cloud.iot))
        moments = follow(look, sleep=sleep, clock=clock, timeout_s=timeout_s - waited_s, poll_s=poll_s)
    moment = None
    is_hinted = False
    try:
        with screens.watching(run.report, job_id, as_json=forms.as_json, is_drawn=not forms.takes_stdout) as screen:
            for moment in moments:
                screen.show(moment)
                if moment.quiet_s >= silence_s and not (is_hinted or moment.is_last or moment.unknown):
                    screen.hint(run, moment)
                    is_hinted = True
    finally:  # also where Ctrl-C ends it
        _write_report(run, found, moment, forms)
    if moment is None:
        return
    if moment.rollout:
        moment = replace(moment, rollout=_in_full(run, moment.rollout, forms))
    screen.end(moment, is_quiet=forms.as_csv)
    if moment.rollout:
        _show_devices(run, moment.rollout, forms)
    if moment.verdict is not Verdict.DONE:
        raise Answered(moment.verdict.value)


def _in_full(run: Run, rollout: Rollout, forms: Forms) -> Rollout:
    """The rollout with all its failed devices where the JSON document is to have them."""
    if not (forms.as_json and forms.all_failed and rollout.is_large):
        return rollout
    return replace(rollout, executions=tuple(list_devices(run.cloud.iot, rollout, only_failed=True)))


def _show_devices(run: Run, rollout: Rollout, forms: Forms) -> None:
    """The devices one by one where that is asked for: as CSV, or those that failed."""
    if forms.as_csv:
        run.report.csv(device_rows(list_devices(run.cloud.iot, rollout, only_failed=forms.all_failed)))
    elif forms.all_failed and not forms.as_json:
        rollout_screens.show_failed(run.report, list_devices(run.cloud.iot, rollout, only_failed=True))


def _write_report(run: Run, update: Update | OtaError | None, moment: Moment | None, forms: Forms) -> None:
    """Write the report where one is asked for, also of a rollout that is not over."""
    if forms.report_path and moment and moment.rollout and isinstance(update, Update):
        write_report(forms.report_path, rollout_page(gather_report(run, update, moment.rollout)))
        run.report.note(f"The report is in {run.report.short(str(forms.report_path))}.")


def show_checkup(run: Run, *, as_json: bool) -> None:
    """Everything that is wrong, each with the command that fixes it; exit status 1 where ``all`` would fail."""
    if as_json:
        run.report.keep_stdout_clear()
    around = Surroundings(run.scope.environ, datetime.now(timezone.utc))
    with run.report.live_line("looking"):
        findings = find_all(run, around)
    screens.show_findings(run.report, findings, as_json=as_json)
    if of_severity(findings, Severity.FATAL):
        raise Answered(WOULD_FAIL)


def show_verification(run: Run, *, running_version: str | None, as_json: bool) -> None:
    """Whether image, signature, key and settings belong together, checked without AWS.

    Raises:
        SignatureError: the device would not take the update.
    """
    findings = verify(run.scope.settings, running_version=running_version)
    mistakes = of_severity(findings, Severity.FATAL)
    if as_json:
        run.report.document({"ok": not mistakes, "findings": [finding.as_json() for finding in findings]})
    else:
        run.report.findings(findings)
    if mistakes:
        subjects = ", ".join(dict.fromkeys(finding.subject for finding in mistakes))
        raise SignatureError(f"The device would not take this update: {subjects}.")


def find_all(run: Run, around: Surroundings) -> tuple[Finding, ...]:
    """All findings that settings and credentials allow.

    Where settings are wrong, the rest is checked with the settings as their remedies would make them.
    """
    scope, cloud = run.scope, _connect(run.scope)
    known = cloud if isinstance(cloud, Cloud) else None
    about: list[Finding] = []
    try:
        settings: Settings | None = scope.settings
    except SettingsError as error:
        about += settings_findings(error.problems, known)
        settings = mended_settings(error.problems, known, scope.settings_with)
    if not about:
        about.append(ok("settings", "in order"))
    if isinstance(cloud, OtaError):
        about.append(finding_of("credentials", cloud, _credentials_command(scope)))
    if settings is None:
        return tuple(about)
    scope.copy_firmware(settings)
    if known is None:
        return (*about, *examine_locally(settings, around))
    return (*about, *examine(run.about(settings, known), around))


def _begin(run: Run, *, as_json: bool) -> None:
    """Release the lock, keep stdout for the JSON document, and open the cloud before looks run side by side."""
    run.end_turn()
    if as_json:
        run.report.keep_stdout_clear()
    run.settings  # noqa: B018 - opens the cloud too


def _connect(scope: Scope) -> Cloud | OtaError:
    try:
        return attempt(scope.connect)
    except CredentialsError as error:
        return error


def _credentials_command(scope: Scope) -> AnyCommand | Remedy:
    """Sign in again; where the keys are in ``.env``, edit that file, made from its example where it is missing."""
    profile = scope.environ.get("AWS_PROFILE")
    if profile:
        return shell("aws", "sso", "login", "--profile", profile)
    if not (scope.root_path / ".env").exists() and "AWS_ACCESS_KEY_ID" not in scope.environ:
        return command("init"), Shell(EDIT_ENVIRONMENT)
    return Shell(EDIT_ENVIRONMENT)


def _check_watchable(name: str, update: Update | None, waited_s: float) -> None:
    if update is None:
        waited = f", and none came in {waited_s:.0f} seconds" if waited_s else ""
        raise NothingToWatch(f"There is no OTA update {name} to watch{waited}: ", command("all"), " makes it.")
    if update.status in BEING_CREATED or update.status == BEING_DELETED:
        doing = "deleting" if update.status == BEING_DELETED else "making"
        raise NotMadeYet(
            f"AWS is still {doing} the OTA update {name} after {waited_s:.0f} seconds. Go on with ",
            command("watch"),
            ".",
        )
    if update.status == "CREATE_FAILED":
        raise NothingToWatch(
            f"AWS could not make the OTA update {name}: {update.error_message or 'it gave no reason'} "
            f"({update.error_code or update.status}). ",
            command("doctor"),
            " says what to do.",
        )


class NothingToWatch(InTheWay):
    """There is no job that could be followed."""

    exit_code = Verdict.NOT_SET_UP.value


class NotMadeYet(WaitTimeout):
    """The time is up before there is a job."""

    exit_code = Verdict.IN_PROGRESS.value
