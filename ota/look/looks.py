"""The look-only tasks: what each looks at, how it is shown, and which exit status it ends with.

None of them changes anything, in AWS or on this machine.

Source: ``ota/plan.py``, ``ota/teardown.py``, ``statuses.py``, ``watching.py``, ``checkups.py`` for what is seen;
``ota/look/screens.py`` for how it is shown.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from ota.cloud import Cloud
from ota.device import rehearsals
from ota.errors import Answered, CredentialsError, InTheWay, OtaError, SettingsError, WaitTimeout
from ota.findings import Finding, Severity, of_severity, ok
from ota.jobs import find_rollout, job_id_of
from ota.look import screens
from ota.look.doctor import Surroundings, examine, examine_locally, finding_of, mended_settings, settings_findings
from ota.look.statuses import Verdict, find_status
from ota.look.watching import POLL_S, SILENCE_S, Moment, await_update, follow
from ota.nouns import in_teardown_order
from ota.plan import Site, aimed, attempt, make_plan
from ota.teardown import Teardown
from ota.update_requests import BEING_CREATED, BEING_DELETED, Update

if TYPE_CHECKING:
    from ota.report import Report
    from ota.scope import Scope
    from ota.settings.settings import Settings

WOULD_FAIL = 1


def show_plan(site: Site, report: Report, *, as_json: bool) -> None:
    """What ``all`` would do; exit status 1 where it would fail."""
    with report.live_line("looking"):
        plan = make_plan(site)
    screens.show_plan(report, plan, site.command("invoke all"), as_json=as_json)
    if plan.blocked:
        raise Answered(WOULD_FAIL)


def show_teardown_plan(site: Site, report: Report, *, is_forced: bool, local: bool, as_json: bool) -> None:
    """What ``clean`` would do; exit status 1 where something of ours would stay."""
    cloud, settings = site.cloud, site.settings
    teardown = Teardown(cloud, settings, is_forced=is_forced, local=local, header_notes_paths=site.header_notes_paths)
    with report.live_line("looking"):
        group = rehearsals.find_group(cloud.iot, settings.thing_name) if cloud.is_sandbox else None
        rehearsed = [rehearsals.decide_things_deletion(group, settings.thing_name)] if group else []
        names = rehearsals.thing_names(settings.thing_name, group.count) if group else []
        plan = aimed(site, in_teardown_order([*rehearsed, *teardown.plan(names)]))
    flags = " --force" * is_forced + " --local" * local
    screens.show_plan(report, plan, site.command(f"invoke clean{flags}"), as_json=as_json)
    if plan.blocked:
        raise Answered(WOULD_FAIL)


def show_status(site: Site, report: Report, *, as_json: bool) -> None:
    """How the thing stands; the exit status is the verdict's."""
    with report.live_line("looking"):
        status = find_status(site)
    screens.show_status(report, status, datetime.now(timezone.utc), as_json=as_json)
    if status.verdict is not Verdict.DONE:
        raise Answered(status.verdict.value)


def watch(
    site: Site,
    report: Report,
    *,
    timeout_s: float,
    as_json: bool,
    silence_s: float = SILENCE_S,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Follow the update until every device has finished.

    Raises:
        NothingToWatch: there is no update to watch, or AWS could not make it.
        NotMadeYet: the time is up, and AWS is still making or deleting it.
        Answered: not every device succeeded: 4, the time is up: 3, or AWS did not say how it stands: 5.
    """
    job_id, begun = job_id_of(site.settings.update_name), clock()
    found = await_update(site, report.note, sleep=sleep, clock=clock, timeout_s=timeout_s, poll_s=poll_s)
    waited_s = clock() - begun
    if isinstance(found, OtaError):
        moments: Iterable[Moment] = [Moment(None, (), 0.0, waited_s, is_last=True, unknown=found)]
    else:
        _check_watchable(site, found, waited_s)
        look = partial(find_rollout, site.cloud.iot, job_id)
        moments = follow(look, sleep=sleep, clock=clock, timeout_s=timeout_s - waited_s, poll_s=poll_s)
    is_hinted = False
    with screens.watching(report, job_id, as_json=as_json) as screen:
        for moment in moments:
            screen.show(moment)
            if moment.quiet_s >= silence_s and not (is_hinted or moment.is_last or moment.unknown):
                screen.hint(site, moment)
                is_hinted = True
    screen.end(moment, site)
    if moment.verdict is not Verdict.DONE:
        raise Answered(moment.verdict.value)


def show_checkup(scope: Scope, report: Report, open_site: Callable[[Cloud, Settings], Site], *, as_json: bool) -> None:
    """Everything that is wrong, each with the command that mends it; exit status 1 where ``all`` would fail."""
    around = Surroundings(scope.environ, datetime.now(timezone.utc))
    with report.live_line("looking"):
        findings = find_all(scope, open_site, around)
    screens.show_findings(report, findings, as_json=as_json)
    if of_severity(findings, Severity.FATAL):
        raise Answered(WOULD_FAIL)


def find_all(scope: Scope, open_site: Callable[[Cloud, Settings], Site], around: Surroundings) -> tuple[Finding, ...]:
    """All findings, as far as settings and credentials let any be made; the rest with what would mend the settings."""
    cloud = _connect(scope)
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
    if known is None:
        return (*about, *examine_locally(settings, around))
    return (*about, *examine(open_site(known, settings), around))


def _connect(scope: Scope) -> Cloud | OtaError:
    try:
        return attempt(scope.connect)
    except CredentialsError as error:
        return error


def _credentials_command(scope: Scope) -> str:
    """Sign in again; where keys are in files of one's own, open that."""
    profile = scope.environ.get("AWS_PROFILE")
    if profile:
        return f"aws sso login --profile {shlex.quote(profile)}"
    if not (scope.root_path / ".env").exists() and "AWS_ACCESS_KEY_ID" not in scope.environ:
        return "cp env.example .env && ${EDITOR:-vi} .env"
    return "${EDITOR:-vi} .env"


def _check_watchable(site: Site, update: Update | None, waited_s: float) -> None:
    name = site.settings.update_name
    if update is None:
        waited = f", and none came in {waited_s:.0f} seconds" if waited_s else ""
        raise NothingToWatch(f"There is no OTA update {name} to watch{waited}: `invoke all` makes it.")
    if update.status in BEING_CREATED or update.status == BEING_DELETED:
        doing = "deleting" if update.status == BEING_DELETED else "making"
        raise NotMadeYet(
            f"AWS is still {doing} the OTA update {name} after {waited_s:.0f} seconds. Go on with `invoke watch`."
        )
    if update.status == "CREATE_FAILED":
        raise NothingToWatch(
            f"AWS could not make the OTA update {name}: {update.error_message or 'it gave no reason'} "
            f"({update.error_code or update.status}). `invoke doctor` says what to do."
        )


class NothingToWatch(InTheWay):
    """There is no job that could be followed."""

    exit_code = Verdict.NOT_SET_UP.value


class NotMadeYet(WaitTimeout):
    """The time is up before there is a job."""

    exit_code = Verdict.IN_PROGRESS.value
