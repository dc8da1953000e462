"""Deletes what ``register`` made: the devices side by side, then their group and the role of the registration service.

A device is ours where its thing has the mark of a registration for the settings' thing. Its certificates are ours where
they are attached to no other thing. One device takes six calls, and eight devices are worked on at a time; botocore
slows all of them down when AWS throttles.

Each device is deleted in an order that a cut-off run can be repeated from: its certificate is inactive before it is
detached, and the thing goes last. So a thing of ours without a certificate says that one may be left, and it is looked
for among the inactive ones that have the policy.

Source: AWS IoT DeleteCertificate (INACTIVE, attached to no thing; ``forceDelete`` overrides policies), DeleteThing,
ListTargetsForPolicy, ListCertificates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import desired_state, groups, policies, things
from ota.certificates import certificates
from ota.certificates.certificates import INACTIVE, Certificate
from ota.certificates.decisions import decide_certificate_deletion
from ota.certificates.files import delete_local, find_certificate_file, is_requested_for
from ota.errors import CertificateError, attempt
from ota.fleet.registrations import find_running, stop_registration
from ota.fleet.running import Site, forget_registration
from ota.fleet.states import StateFiles
from ota.folders import remove_empty_folder
from ota.messages import Text, command, message
from ota.outcomes import Action, Change, Outcome, Verb
from ota.roles import roles
from ota.teardown.identity import Chain
from ota.threads import side_by_side_map
from ota.updates.retries import is_retry_of, retry_prefix

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from ota.cloud import Cloud
    from ota.report import Report
    from ota.settings.settings import Settings

NOUN = "devices"
MOST_TOLD = 20


class Cleaning:
    """The deletion of one registration's objects.

    Attributes:
        cloud: the account.
        settings: the names of the objects.
        report: prints lines and progress.
        is_forced: whether group and role are deleted even where this tool did not make them.
        local: whether keys and certificates on disk are deleted too.
    """

    def __init__(self, cloud: Cloud, settings: Settings, report: Report, *, is_forced: bool, local: bool) -> None:
        self.cloud, self.settings, self.report = cloud, settings, report
        self.is_forced, self.local = is_forced, local
        self._owner = None if is_forced else settings.thing_name
        self._site = Site(cloud, settings, report, StateFiles(desired_state.fleet_path(settings)))

    def has_traces(self) -> bool:
        """Whether a registration may have been made with these settings, as far as can be told without a call."""
        names_many = bool(self.settings.thing_group_name or self.settings.update_targets)
        return names_many or desired_state.fleet_path(self.settings).is_dir()

    def has_devices(self) -> bool:
        """Whether the account has a registered device of these settings; one call."""
        return next(things.list_registered(self.cloud.iot, self.settings.thing_name), None) is not None

    def plan(self) -> list[Change]:
        """What :meth:`run` would do; only looks."""
        found = self._list_devices()
        changes = [self._decide_group(), *self._decide_retry_groups(), self._decide_role()]
        first = [_decide_devices(found)] if found else []
        return [*first, *(change for change in changes if change and change.action is not Action.ABSENT)]

    def run(self) -> list[Text]:
        """Delete and prove; why something of ours remains."""
        self._end_registration()
        found = self._list_devices()
        remains = self._delete_devices(found) if found else []
        if remains:
            return remains  # group and role stay for the next try
        if found and not self.settings.thing_group_name:
            listing = command("list.groups", "--mine")
            self.report.note(
                message("thing_group_name is empty, so a group of these devices stays: ", listing, " shows it.")
            )
        chain = Chain()
        delete_group = partial(groups.delete_group, self.cloud.iot)
        for change, delete in (
            (self._decide_group(), delete_group),
            *((change, delete_group) for change in self._decide_retry_groups()),
            (self._decide_role(), partial(roles.delete_role, self.cloud.iam, force=self.is_forced)),
        ):
            if change:
                chain.take(change, partial(delete, change.name))
        if self.local:
            chain.outcomes.append(self._delete_files({thing.name for thing in found}))
        for outcome in chain.outcomes:
            self.report.outcome(outcome)
        return [*chain.remains, *self._still_there(chain)]

    def _end_registration(self) -> None:
        """Stop a registration of ours that still runs, and delete its input."""
        unfinished = self._site.state.find()
        running = find_running(self.cloud.iot)
        if running and self._is_ours(running.role_arn):
            self.report.note(f"stopping the registration task {running.task_id}")
            stop_registration(self.cloud.iot, running, timeout_s=self.settings.delete_timeout_s)
        if unfinished and unfinished.account == self.cloud.account_name:
            forget_registration(self._site, unfinished)

    def _is_ours(self, role_arn: str) -> bool:
        return role_arn.rpartition("/")[2] == self.settings.registration_role_name

    def _list_devices(self) -> list[things.Thing]:
        return list(things.list_registered(self.cloud.iot, self.settings.thing_name))

    def _delete_devices(self, found: Sequence[things.Thing]) -> list[Text]:
        """Delete them, and list what is left; why something is."""
        change = _decide_devices(found)
        orphans = Orphans(self.cloud.iot, self.settings, {thing.name for thing in found})
        delete = partial(_delete_device, self.cloud.iot, self.settings, orphans)
        remains: list[Text] = []
        with self.report.count_bar("deleting devices", len(found)) as on_progress:
            for number, reasons in enumerate(side_by_side_map(partial(_attempt, delete), found), 1):
                remains += reasons
                on_progress(number)
        remains = remains or [
            message(f"The thing {thing.name} is still there: run ", command("clean"), " again in a minute.")
            for thing in self._list_devices()
        ]
        if not remains:
            self.report.outcome(Outcome(NOUN, Verb.DELETED, change.name, change.detail))
        more = len(remains) - MOST_TOLD
        return [*remains[:MOST_TOLD], *([f"and {more:,} more"] if more > 0 else [])]

    def _decide_group(self) -> Change | None:
        name = self.settings.thing_group_name
        if not name:
            return None
        return groups.decide_group_deletion(groups.find_group(self.cloud.iot, name), name, self._owner)

    def _decide_retry_groups(self) -> list[Change]:
        """The groups that `retry` made because the things were more than an update takes as targets."""
        iot, name, owner = self.cloud.iot, self.settings.update_name, self.settings.thing_name
        named = [one.name for one in groups.list_groups(iot, retry_prefix(name)) if is_retry_of(one.name, name)]
        decided = [groups.decide_group_deletion(groups.find_group(iot, one), one, owner) for one in named]
        return [change for change in decided if change.action is Action.DELETE]

    def _decide_role(self) -> Change:
        name = self.settings.registration_role_name
        return roles.decide_role_deletion(roles.find_role(self.cloud.iam, name), name, self._owner)

    def _still_there(self, chain: Chain) -> list[Text]:
        """Look up again what was deleted; a sentence for each object that is there."""
        looks: dict[str, Callable[[str], object]] = {
            groups.NOUN: partial(groups.find_group, self.cloud.iot),
            "role": partial(roles.find_role, self.cloud.iam),
        }
        deleted = [one for one in chain.outcomes if one.verb is Verb.DELETED and one.noun in looks]
        return [
            message(f"The {one.noun} {one.name} is still there: run ", command("clean"), " again in a minute.")
            for one in deleted
            if looks[one.noun](one.name) is not None
        ]

    def _delete_files(self, deleted: Collection[str]) -> Outcome[None]:
        """Delete keys and certificates on disk, of devices that are deleted; those of a certificate that stays stay."""
        folder_path = desired_state.fleet_path(self.settings)
        names = [one.name for one in sorted(folder_path.glob("*")) if one.is_dir()] if folder_path.is_dir() else []
        going = [one for one in names if one in deleted or not self._has_certificate(one)]
        for name in going:
            delete_local(desired_state.registered_files(self.settings, name))
        remove_empty_folder(folder_path)
        detail = f"of {len(going):,} devices" if going else ""
        return Outcome("files", Verb.DELETED if going else Verb.ABSENT, str(folder_path), detail)

    def _has_certificate(self, thing_name: str) -> bool:
        """Whether the account has the certificate that is on disk for this device."""
        local = find_certificate_file(desired_state.registered_files(self.settings, thing_name).certificate_path)
        return local is not None and certificates.find_certificate(self.cloud.iot, local.id) is not None


class Orphans:
    """Certificates that a cut-off deletion left: inactive, with the policy, attached to nothing, of one of our devices.

    They are looked for once, when the first device without a certificate is met.
    """

    def __init__(self, iot: IoTClient, settings: Settings, names: Collection[str]) -> None:
        self._iot, self._settings, self._names = iot, settings, names
        self._lock = threading.Lock()
        self._found: list[Certificate] | None = None

    def of(self, thing_name: str) -> list[str]:
        """ARNs of the device's own, by the file on disk or by the subject of its certificate."""
        with self._lock:
            if self._found is None:
                self._found = list(self._look())
        local_id = _local_id(self._settings, thing_name)
        return [one.arn for one in self._found if one.id == local_id or _is_for(one, thing_name)]

    def _look(self) -> Iterator[Certificate]:
        iot = self._iot
        targets = set(policies.list_policy_targets(iot, self._settings.policy_name))
        inactive = [
            one.id for one in certificates.list_certificates(iot) if one.status == INACTIVE and one.arn in targets
        ]
        for found in certificates.describe_certificates(iot, inactive):
            if not certificates.other_things(iot, found.arn, None):
                yield found


def _decide_devices(found: Sequence[things.Thing]) -> Change:
    first, more = found[0].name, len(found) - 1
    detail = "registered, with its certificate" if not more else f"and {more:,} more registered, with certificates"
    return Change(NOUN, Action.DELETE, first, detail, found=found)


def _attempt(delete: Callable[[things.Thing], list[Text]], thing: things.Thing) -> list[Text]:
    """Delete one device; a failure is a reason and does not stop the others."""
    outcome = attempt(partial(delete, thing))
    return outcome if isinstance(outcome, list) else [message(f"{thing.name}: ", outcome.message)]


def _delete_device(iot: IoTClient, settings: Settings, orphans: Orphans, thing: things.Thing) -> list[Text]:
    """Delete one device's certificates and thing. A certificate that other things have too stays with them."""
    principals = list(things.list_principals(iot, thing.name))
    attached = [one.arn for one in principals if ":cert/" in one.arn]
    going = [arn for arn in attached if _is_deleted(iot, settings, thing.name, arn)]
    for arn in going:
        certificates.deactivate_certificate(iot, certificates.id_in(arn))
    things.detach_principals(iot, replace(thing, principals=tuple(principals)))
    for arn in going or orphans.of(thing.name):
        certificates.delete_certificate(iot, arn, detached_from=thing.name)
    things.delete_thing(iot, thing.name, replace(thing, principals=()))
    return []


def _is_deleted(iot: IoTClient, settings: Settings, thing_name: str, arn: str) -> bool:
    others = certificates.other_things(iot, arn, thing_name)
    existing_arn = settings.existing_certificate_arn
    change = decide_certificate_deletion(arn, thing_name, is_thing_ours=True, others=others, existing_arn=existing_arn)
    return change.action is Action.DELETE


def _local_id(settings: Settings, thing_name: str) -> str:
    try:
        local = find_certificate_file(desired_state.registered_files(settings, thing_name).certificate_path)
    except CertificateError:
        return ""
    return local.id if local else ""


def _is_for(certificate: Certificate, thing_name: str) -> bool:
    return certificate.pem is not None and is_requested_for(certificate.pem, thing_name)
