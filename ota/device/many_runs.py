"""Plays many registered devices, a few at a time, and sums up how they took the update.

Each device is one of those that ``register`` made: its key and certificate are in ``certificates/<group>/<thing>/``.
In the sandbox, where none is registered yet, they are registered here, and an update for their group is made. So a
rehearsal goes the way of a real rollout, and ``clean`` takes it down.

Sixteen devices are connected at a time: the sandbox's broker is one thread, so more would only wait longer for it. A
device of many does not report the progress of its download, as the firmware does not, and keeps no copy of the image
that it runs, because thousands of copies would fill the disk.

Source: ``register.py`` in ``ota/fleet``; ``ota/device/runs.py``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ota import desired_state
from ota.device.device import FAILED, SUCCEEDED, DeviceResult
from ota.device.faults import Fault, assign_faults
from ota.device.options import DeviceOptions
from ota.device.runs import DeviceRun, RunContext, World, open_world, report_result, run, with_advice
from ota.errors import CertificateError, DeviceFailed, OtaError
from ota.firmware.image_versions import version_words
from ota.fleet.register import register
from ota.layout import natural_order
from ota.messages import Text, command, joined, message
from ota.outcomes import Outcome, Verb
from ota.set_up import SetUp
from ota.threads import begin

if TYPE_CHECKING:
    from ota.run import Run
    from ota.settings.settings import Settings

NOUN = "devices"
AT_ONCE = 16
MOST_NAMES = 5


def play(command_line: Run, options: DeviceOptions) -> None:
    """Play the devices of a command line: the one of the settings, or so many of the registered ones.

    Raises:
        DeviceFailed: a device does not run the update.
        OtaError: the devices cannot start.
    """
    command_line.end_turn()
    context = RunContext(command_line.report, command_line.scope, lambda: command_line.cloud)
    if options.count == 1:
        run(context, options)
        return
    if command_line.scope.is_sandbox and not _registered(context.scope.settings):
        _rehearse(command_line, options.count, as_json=options.as_json)
    run_many(context, options)


def run_many(context: RunContext, options: DeviceOptions) -> None:
    """Run so many registered devices to their end, and print what became of them.

    Raises:
        DeviceFailed: a device does not run the update.
        CertificateError: fewer devices are registered.
    """
    world = open_world(context, options)
    settings, begun = context.scope.settings, time.monotonic()
    names = _choose(settings, options.count)
    faults = assign_faults(names, options.shares)
    work = partial(_play_one, context, options, world, faults, begun)
    results: list[DeviceResult] = []
    with context.report.count_bar("playing devices", len(names)) as on_progress:
        for future in begin([partial(work, name) for name in names], AT_ONCE):
            results.append(future.result())
            on_progress(len(results))
    _report_end(context, options, results, time.monotonic() - begun)


@dataclass(frozen=True)
class ResultGroup:
    """Devices that ended in the same way."""

    results: Sequence[DeviceResult]

    @property
    def first(self) -> DeviceResult:
        """The one whose message is shown."""
        return self.results[0]

    @property
    def names(self) -> str:
        """The first names, and how many more there are."""
        shown = ", ".join(one.thing_name for one in self.results[:MOST_NAMES])
        more = len(self.results) - MOST_NAMES
        return f"{shown} and {more:,} more" if more > 0 else shown


def group_results(results: Sequence[DeviceResult]) -> list[ResultGroup]:
    """The devices that do not run the update, by how they failed, the largest group first."""
    groups: dict[tuple[str, str], list[DeviceResult]] = {}
    for result in results:
        if result.status not in ("", SUCCEEDED):
            groups.setdefault((result.status, result.kind), []).append(result)
    return [ResultGroup(found) for found in sorted(groups.values(), key=len, reverse=True)]


def _rehearse(command_line: Run, count: int, *, as_json: bool) -> None:
    """Register so many devices, and make an update for their group."""
    if as_json:
        command_line.report.keep_stdout_clear()
    register(command_line, file="", count=count, as_json=False)
    SetUp(command_line).offer()
    command_line.end_turn()


def _choose(settings: Settings, count: int) -> list[str]:
    """The first of the registered devices, in natural order.

    Raises:
        CertificateError: there are fewer.
    """
    names = _registered(settings)
    if len(names) < count:
        remedy = command("register", "--count", str(count))
        raise CertificateError(
            f"{len(names):,} devices are registered in {desired_state.fleet_path(settings)}, and --count asks for "
            f"{count:,}: ",
            remedy,
            " in the sandbox, or ",
            command("register", "--file", "devices.csv"),
            " registers more.",
            remedy=remedy,
        )
    return names[:count]


def _registered(settings: Settings) -> list[str]:
    """Names of the devices whose certificates are here, in natural order."""
    folder_path: Path = desired_state.fleet_path(settings)
    found = [path.name for path in folder_path.iterdir() if path.is_dir()] if folder_path.is_dir() else []
    here = [name for name in found if desired_state.registered_files(settings, name).certificate_path.exists()]
    return sorted(here, key=natural_order)


def _play_one(
    context: RunContext, options: DeviceOptions, world: World, faults: dict[str, Fault], begun: float, name: str
) -> DeviceResult:
    """Play one device; a failure of any kind is its result, so that the others go on."""
    left_s = None if options.timeout_s is None else max(options.timeout_s - (time.monotonic() - begun), 0.0)
    own = replace(options, fault=faults.get(name), timeout_s=left_s)
    device = DeviceRun(context, own, world, name, desired_state.registered_files(context.scope.settings, name))
    try:
        result = device.run(device.identify(command("register", "--count", str(options.count))))
    except OtaError as error:
        return DeviceResult(name, FAILED, why=error.message, kind=type(error).__name__)
    if result.image_path:
        result.image_path.unlink(missing_ok=True)
    return replace(result, image_path=None)


def _report_end(context: RunContext, options: DeviceOptions, results: Sequence[DeviceResult], lasted_s: float) -> None:
    """Print the sum; raises DeviceFailed where a device does not run the update."""
    if options.as_json:
        context.report.document([result.as_json() for result in results])
    else:
        _report_sum(context, results, lasted_s)
    groups = group_results(results)
    if not groups:
        return
    failed = sum(len(group.results) for group in groups)
    lines: list[Text] = [f"{failed:,} of {len(results):,} devices do not run the update."]
    lines += [
        message(f"  {len(group.results):,}: ", with_advice(group.first), f"\n    {group.names}") for group in groups
    ]
    raise DeviceFailed(joined("\n", lines))


def _report_sum(context: RunContext, results: Sequence[DeviceResult], lasted_s: float) -> None:
    """A line for those that run the update, and one for those that had none offered."""
    total, pace = len(results), f"in {lasted_s:.1f} s, {len(results) / max(lasted_s, 0.1):.1f} a second"
    changed = [one for one in results if one.status == SUCCEEDED]
    if changed:
        versions = f"{version_words(changed[0].before)} -> {version_words(changed[0].now)}"
        text = f"{versions}, job {changed[0].job_id}, {total:,} {pace}"
        context.report.outcome(Outcome(NOUN, Verb.CHANGED, f"{len(changed):,} of {total:,}", text))
    idle = [one for one in results if not one.status]
    if len(idle) == total:
        report_result(context.report, replace(idle[0], thing_name=f"{total:,} devices"))
    elif idle:
        context.report.outcome(Outcome(NOUN, Verb.SKIPPED, f"{len(idle):,} of {total:,}", "no job is offered to them"))
