"""The task ``register``: makes things with certificates for a list of devices, in one task of AWS.

However few devices there are, this is the one way. First the list is checked, then the keys are made, then policy,
role and group, and then AWS makes things and certificates. A run that is cut off is carried on by the same command:
keys and certificates stay, and a task that still runs is found.

Source: AWS IoT Developer Guide, "Bulk registration".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import desired_state, groups, policies
from ota.certificates import keys
from ota.errors import Answered, InTheWay, OtaError
from ota.fleet.device_lists import (
    MOST_TOLD,
    Device,
    DeviceList,
    Refusal,
    failed_path,
    failed_text,
    made_up_list,
    read_device_list,
)
from ota.fleet.running import Causes, Site, carry_on, run_registration
from ota.fleet.signing_requests import KeyWork, make_signing_requests
from ota.fleet.sorting import Fate, of_fate, sort_devices
from ota.fleet.states import StateFiles
from ota.fleet.templates import Declaration, Kind, input_line, template_document
from ota.messages import Message, Text, command, joined, message
from ota.nouns import BUCKET
from ota.outcomes import Outcome, Verb
from ota.policies import FoundPolicy
from ota.roles import roles
from ota.set_up import SetUp
from ota.threads import side_by_side

if TYPE_CHECKING:
    from ota.run import Run

LISTS_FOLDER = "lists"
MADE_UP = "devices.csv"
NOUN = "devices"


def register(run: Run, *, file: str, count: int, as_json: bool) -> None:
    """Register the devices of the list.

    Args:
        run: the command line.
        file: the list's path; relative to the current folder.
        count: in the sandbox, how many devices to make up instead; 0 for none.
        as_json: print one JSON document.

    Raises:
        OtaError: the list has mistakes; nothing was done.
        InTheWay: some devices were refused; the others are registered.
        Answered: the same, where the document has said it.
    """
    path = _list_path(run, file, count)
    if count and not run.scope.settings.thing_group_name:
        run.choose_group()
    listed = read_device_list(path, own_thing=run.scope.settings.thing_name)
    run.take_turn()
    registration = _Registration(run, listed)
    registration.run()
    registration.show(as_json=as_json)


class _Registration:
    """One run of the task for one list."""

    def __init__(self, run: Run, listed: DeviceList) -> None:
        self._run, self._listed, self._settings = run, listed, run.settings
        folder_path = desired_state.fleet_path(self._settings)
        # Nothing of an earlier run: objects are made without a look first, and found where AWS says that they exist.
        self._is_first = not folder_path.exists()
        self._site = Site(run.cloud, self._settings, run.report, StateFiles(folder_path))
        self._declared = Declaration(
            listed.attributes, self._settings.policy_name, self._settings.thing_group_name, self._settings.thing_name
        )
        self._reused: list[Device] = []
        self._refused: list[Refusal] = []
        self._registered = 0

    def run(self) -> None:
        """Finish what an earlier run began, sort the devices, and register those that are left."""
        devices = self._listed.devices
        had = {one.name for one in devices if self._has_certificate(one)}
        carry_on(self._site)
        decided = sort_devices(self._run.cloud, self._settings, devices)
        self._refused += [Refusal(one.device, one.cause) for one in decided if one.fate is Fate.REFUSE]
        kept = of_fate(decided, Fate.REUSE)
        self._reused = [one for one in kept if one.name in had]
        self._registered = len(kept) - len(self._reused) + len(of_fate(decided, Fate.ADOPT))
        works = {Kind.NEW: of_fate(decided, Fate.NEW), Kind.REPAIR: of_fate(decided, Fate.REPAIR)}
        if not any(works.values()):
            return
        role = self._make_surroundings()
        for kind, chosen in works.items():
            if chosen:
                self._register(kind, chosen, role)

    def show(self, *, as_json: bool) -> None:
        """Print what became of the devices, and write the list of those that were refused."""
        path = self._write_failed()
        self._tell()
        if as_json and not self._refused:
            self._run.report.success(**self._document(path))
        elif as_json:
            self._run.report.incomplete(1, **self._document(path))
            raise Answered(1)
        elif self._refused:
            raise self._refusal(path)

    def _tell(self) -> None:
        """A line for the devices that are new, and one for those that were there."""
        total, where = len(self._listed.devices), desired_state.fleet_path(self._settings)
        group = f"in the group {self._settings.thing_group_name}, " if self._settings.thing_group_name else ""
        detail = f"{group}certificates in {where}"
        if self._registered:
            self._run.report.outcome(Outcome(NOUN, Verb.CREATED, f"{self._registered:,} of {total:,}", detail))
        if self._reused:
            self._run.report.outcome(Outcome(NOUN, Verb.REUSED, f"{len(self._reused):,} of {total:,}", detail))

    def _make_surroundings(self) -> roles.Role:
        """Policy, group and role, side by side; the role of the registration service."""
        in_group = [self._make_group] if self._settings.thing_group_name else []
        *others, role = side_by_side(self._make_policy, *in_group, self._make_role)
        for outcome in (*others, role):
            self._run.report.outcome(outcome)
        made: roles.Role = role.get()
        return made

    def _make_policy(self) -> Outcome[Any]:
        iot, name = self._run.cloud.iot, self._settings.policy_name
        wanted = desired_state.wanted_policy(self._run.cloud, self._settings)
        found: FoundPolicy = policies.look_at_policy(iot, name, wanted, None)
        return policies.make_policy(iot, policies.decide_policy(iot, name, found, wanted, None, attaches=False), None)

    def _make_group(self) -> Outcome[Any]:
        iot, name = self._run.cloud.iot, self._settings.thing_group_name
        found = None if self._is_first else groups.find_group(iot, name)
        outcome = groups.make_group(iot, groups.decide_group(found, name, self._settings.thing_name))
        groups.check_static(outcome.get())
        return outcome

    def _make_role(self) -> Outcome[Any]:
        iam = self._run.cloud.iam
        wanted = desired_state.wanted_registration_role(self._run.cloud, self._settings, self._run.boundary_arn)
        found = None if self._is_first else roles.find_role_with_policies(iam, wanted.name, wanted.thing_name)
        return roles.make_role(iam, roles.decide_role(iam, found, wanted))

    def _register(self, kind: Kind, devices: Sequence[Device], role: roles.Role) -> None:
        refused = len(self._refused)
        causes: Causes = run_registration(
            self._site,
            json.dumps(template_document(self._declared, kind)),
            self._input_lines(devices),
            role,
            partial(SetUp(self._run).independent, BUCKET.name),
        )
        failed = [one for one in devices if one.name in causes]
        # Where AWS's answer to the start was lost, another task may have refused what the first one has made.
        adopted = set(of_fate(sort_devices(self._run.cloud, self._settings, failed), Fate.ADOPT))
        self._refused += [Refusal(one, _spoken(causes[one.name])) for one in failed if one not in adopted]
        self._registered += len(devices) - (len(self._refused) - refused)

    def _input_lines(self, devices: Sequence[Device]) -> Iterator[str]:
        """The input of a task; keys and requests are made meanwhile. A device whose key cannot be used is refused."""
        works = [
            KeyWork(one.name, desired_state.registered_files(self._settings, one.name))
            for one in devices
            if not one.csr
        ]
        made = make_signing_requests(works, self._settings.device_key_type)
        with self._run.report.count_bar("making keys", len(devices)) as on_progress:
            for number, device in enumerate(devices, 1):
                done = None if device.csr else next(made)
                if done and done.problem:
                    self._refused.append(Refusal(device, done.problem))
                else:
                    csr = done.csr if done else device.csr
                    yield input_line(self._declared, device.name, csr, self._listed.attributes_of(device))
                on_progress(number)

    def _has_certificate(self, device: Device) -> bool:
        return desired_state.registered_files(self._settings, device.name).certificate_path.exists()

    def _write_failed(self) -> Path | None:
        """Write the refused lines; the file of an earlier run is deleted where there are none any more."""
        scope, listed = self._run.scope, self._listed
        folder_path = scope.sandbox_path / LISTS_FOLDER if scope.is_sandbox else listed.path.parent
        path = failed_path(listed.path, folder_path)
        if self._refused:
            self._refused.sort(key=lambda one: one.device.line)
            keys.write_atomically(path, failed_text(listed, [one.device for one in self._refused]).encode())
            return path
        if path != listed.path:
            path.unlink(missing_ok=True)
        return None

    def _document(self, path: Path | None) -> dict[str, Any]:
        return {
            "list": str(self._listed.path),
            "group": self._settings.thing_group_name,
            "folder": str(desired_state.fleet_path(self._settings)),
            "devices": len(self._listed.devices),
            "registered": self._registered,
            "reused": len(self._reused),
            "refused": [
                {"line": one.device.line, "thing_name": one.device.name, "cause": one.cause} for one in self._refused
            ],
            "failed_list": str(path) if path else "",
        }

    def _refusal(self, path: Path | None) -> InTheWay:
        told: list[Text] = [one.text for one in self._refused[:MOST_TOLD]]
        more = len(self._refused) - len(told)
        again = command("register", "--file", str(path))
        return InTheWay(
            f"{len(self._refused):,} of {len(self._listed.devices):,} devices were not registered:\n  ",
            joined("\n  ", [*told, *([f"and {more:,} more"] if more else [])]),
            f"\nTheir lines are in {path}. Remove the causes, then ",
            again,
            ".",
            remedy=again,
        )


def _list_path(run: Run, file: str, count: int) -> Path:
    """The list to register; one that is made up in the sandbox is written first.

    Raises:
        OtaError: no list is named, or both are.
    """
    if bool(file) == bool(count):
        example = command("register", "--file", MADE_UP)
        raise OtaError("Name the list of devices: ", example, ".", remedy=example)
    if file:
        return Path(file).expanduser().absolute()
    if not run.scope.is_sandbox:
        example = command("sandbox").then("register", "--count", str(count))
        raise OtaError("`--count` makes devices up, which only the sandbox does: ", example, ".", remedy=example)
    path = run.scope.sandbox_path / LISTS_FOLDER / MADE_UP
    keys.write_atomically(path, made_up_list(run.scope.settings.thing_name, count).encode())
    return path


def _spoken(cause: str) -> Message | str:
    """AWS's cause, with the way out where the thing exists already."""
    if "ConflictingResourceUpdate" in cause or "ResourceConflict" in cause or "ResourceAlreadyExists" in cause:
        return message("a thing of this name exists, and it was not registered from here (", cause, ")")
    return cause
