"""The task ``retry``: a new update for just those devices that did not take the last one.

Image, signature, protocols and rules of the rollout are those of the first update. Its targets are things by name, or,
where they are more than AWS takes, a thing group that is made for it. The rollout is a snapshot in any case, because
nobody joins it later.

Of a rollout that was stopped, AWS knows only those devices that were offered it. The others are found by comparing the
members of the targets with them.

Source: AWS IoT ListJobExecutionsForJob (``status``), ListThingsInThingGroup, CreateOTAUpdate; AWS IoT Device Management
quotas (100 targets of a job).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ota import desired_state, groups, ownership
from ota.errors import InTheWay, NotOurs
from ota.fleet.grouping import fill_group
from ota.messages import command, message
from ota.outcomes import Outcome, Verb
from ota.roles.permissions import role_arn
from ota.threads import side_by_side_map
from ota.updates.jobs import IN_PROGRESS, Job, Patience, job_id_of, list_executions
from ota.updates.refusals import not_ours
from ota.updates.requests import BEING_CREATED, BEING_DELETED, COMPLETE, Update, request_like
from ota.updates.retries import retry_name, retry_number
from ota.updates.rollout_rules import SNAPSHOT, is_group, rules_from, spoken_names
from ota.updates.rollouts import UNSUCCESSFUL, Rollout, find_rollout
from ota.updates.updates import FoundUpdate, decide_update, find_update, list_updates, make_update, wait_at_rest

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.report import Report
    from ota.run import Run

ShowFailures = Callable[["Report", Rollout], None]

MOST_TARGETS = 100
NOT_REACHED = "NOT_REACHED"


@dataclass(frozen=True)
class Source:
    """The update that is sent again, and what there is of the retry.

    Attributes:
        update: the last one of the first update and its retries that AWS made.
        name: the new update's name.
        broken: an update by that name that AWS could not make; None where there is none.
    """

    update: Update
    name: str
    broken: Update | None = None


def retry(run: Run, show_failures: ShowFailures, *, as_json: bool) -> None:
    """Send the update again to those that failed, timed out, were rejected or cancelled, or were not reached.

    Args:
        run: the command line.
        show_failures: prints the failures of a rollout by cause, with the first names of each.
        as_json: print one JSON document.

    Raises:
        InTheWay: there is no update, or its rollout still runs.
        NotOurs: this tool did not make the update for the thing of the settings.
    """
    settings = run.settings
    run.take_turn()
    iot = run.cloud.iot
    patience = Patience(timeout_s=settings.update_timeout_s, delete_timeout_s=settings.delete_timeout_s)
    with run.report.live_line("looking"):
        source = _find_source(iot, settings.update_name, settings.thing_name, patience)
        rollout = find_rollout(iot, job_id_of(source.update.update_id))
        job = _ended_job(source.update, rollout)
        chosen = _find_devices(iot, job)
    names = [name for found in chosen.values() for name in found]
    if rollout is None or not names:
        _tell_none(run, job, as_json=as_json)
        return
    _tell_who(run, job, chosen)
    show_failures(run.report, rollout)
    made = _send(run, source, names, patience)
    run.report.outcome(made)
    if as_json:
        run.report.success(update=source.name, of=source.update.update_id, things=chosen)
        return
    run.report.say(message("Next: ", command("watch", update_name=source.name), " follows it."))


def _find_source(iot: IoTClient, update_id: str, thing_name: str, patience: Patience) -> Source:
    """The update that is sent again.

    Raises:
        InTheWay: there is none, or AWS could not make it.
        NotOurs: the first, or its last retry, is somebody else's.
    """
    numbers = sorted({retry_number(one.update_id, update_id) for one in list_updates(iot)} - {-1}, reverse=True)
    broken: Update | None = None
    for number in numbers:
        name = update_id if number == retry_number(update_id, update_id) else retry_name(update_id, number)
        found = _at_rest(iot, name, patience)
        if found is not None and not found.is_ours(thing_name):
            raise not_ours(found, thing_name)
        if found is not None and found.status == COMPLETE:
            return Source(found, broken.update_id if broken else retry_name(update_id, number + 1), broken)
        broken = found
    make = command("all")
    raise InTheWay(f"There is no OTA update {update_id} that could be sent again: ", make, " makes it.", remedy=make)


def _at_rest(iot: IoTClient, name: str, patience: Patience) -> Update | None:
    found = find_update(iot, name)
    is_busy = found is not None and found.status in {*BEING_CREATED, BEING_DELETED}
    return wait_at_rest(iot, found, patience) if found is not None and is_busy else found


def _ended_job(update: Update, rollout: Rollout | None) -> Job:
    """The update's job.

    Raises:
        InTheWay: it still runs, or somebody deleted it.
    """
    name = update.update_id
    if rollout is None or rollout.job is None:
        again = command("delete.update", "--name", name).then("update")
        raise InTheWay(
            f"The job of the OTA update {name} is gone, so AWS does not know who failed. Send it to all: ", again, "."
        )
    if rollout.job.has_ended:
        return rollout.job
    why = " It is for devices that join later too, so it does not end by itself." if rollout.job.is_continuous else ""
    watch, cancel = command("watch", update_name=name), command("cancel", update_name=name)
    raise InTheWay(
        f"The rollout of {name} still runs.{why} Let it end (",
        watch,
        "), or stop it (",
        cancel,
        "), then run the same command again.",
        remedy=watch if rollout.job.counts and not rollout.job.is_continuous else cancel,
    )


def _find_devices(iot: IoTClient, job: Job) -> dict[str, list[str]]:
    """Names of the things that the update is sent to again, by how they ended; none of them succeeded."""
    if job.status != "CANCELED":
        asked = [status for status in UNSUCCESSFUL if job.counts.get(status)]
        found = side_by_side_map(lambda status: list(list_executions(iot, job.job_id, status=status)), asked)
        listed = zip(asked, found, strict=True)
        return {status: [one.thing_name for one in executions] for status, executions in listed if executions}
    chosen: dict[str, list[str]] = {}
    offered: set[str] = set()
    for one in list_executions(iot, job.job_id):
        offered.add(one.thing_name)
        if one.status in UNSUCCESSFUL:
            chosen.setdefault(one.status, []).append(one.thing_name)
    missed = sorted(_things_of(iot, job.targets) - offered)
    return {**chosen, **({NOT_REACHED: missed} if missed else {})}


def _things_of(iot: IoTClient, arns: Sequence[str]) -> set[str]:
    """Names of the things that these targets are, or have as members."""
    found = {arn.rpartition("/")[2] for arn in arns if not is_group(arn)}
    for arn in filter(is_group, arns):
        found.update(groups.list_members(iot, arn.rpartition("/")[2], is_recursive=True))
    return found


def _send(run: Run, source: Source, names: Sequence[str], patience: Patience) -> Outcome[Update]:
    """Make the update for these things."""
    cloud, update = run.cloud, source.update
    if len(names) > MOST_TARGETS:
        arns: tuple[str, ...] = (_make_group(run, source.name, names),)
    else:
        arns = tuple(desired_state.iot_arn(cloud, f"thing/{name}") for name in names)
    role = role_arn(cloud.partition, cloud.account_id, update.role_name or run.settings.iam_role_name)
    rules = replace(rules_from(update.rollout_mark), selection=SNAPSHOT)
    request = replace(request_like(update, source.name, arns, role), rules=rules)
    change = decide_update(cloud.iot, FoundUpdate(source.broken), request)
    with run.report.live_line(f"waiting for AWS to create {source.name}"):
        return make_update(cloud.iot, change, patience=patience)


def _make_group(run: Run, name: str, names: Sequence[str]) -> str:
    """A thing group of these things; its ARN.

    Raises:
        NotOurs: somebody else has a group by this name.
        InTheWay: some things could not be added.
    """
    iot, owner = run.cloud.iot, run.settings.thing_name
    found = groups.find_group(iot, name)
    if found is not None and not ownership.is_ours(found.attributes, owner):
        delete = command("delete.group", "--name", name)
        raise NotOurs(f"The thing group {name} was not made by this tool. If nobody needs it: ", delete, ".")
    outcome = groups.make_group(iot, groups.decide_group(found, name, owner))
    failed = fill_group(iot, name, names, run.report, f"adding to {name}")
    if failed:
        first, error = next(iter(failed.items()))
        count = f"{len(failed):,} things could not be added to the group {name}. "
        raise InTheWay(count, f"The first is {first}: ", error.message)
    run.report.outcome(replace(outcome, verb=Verb.CREATED, detail=f"{len(names):,} things, for the update"))
    return outcome.get().arn


def _tell_none(run: Run, job: Job, *, as_json: bool) -> None:
    told = ", ".join(f"{count:,} {status}" for status, count in job.counts.items()) or "no device"
    run.report.say(f"Nobody needs it again: {job.job_id} is {job.status} ({told}).")
    if as_json:
        run.report.success(update="", of=job.job_id, things={})


def _tell_who(run: Run, job: Job, chosen: Mapping[str, Sequence[str]]) -> None:
    count = sum(map(len, chosen.values()))
    told = ", ".join(f"{len(names):,} {status}" for status, names in chosen.items())
    who = "1 device gets it" if count == 1 else f"{count:,} devices get it"
    run.report.say(f"{who} again: {told}.")
    if missed := chosen.get(NOT_REACHED):
        run.report.say(f"Not reached before the rollout was stopped: {spoken_names(missed)}.")
    if at_work := job.counts.get(IN_PROGRESS):
        run.report.note(f"note: {at_work:,} are still at work on {job.job_id}, and are left out.")
