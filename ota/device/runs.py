"""Runs one virtual device for the command line, to the end of its update or until it is stopped.

Exit status 0 means that every device runs the update, or that no job was offered, which the output says. Everything
else is exit status 1, and the error says what the cloud shows.

The firmware's header decides which cloud a device connects to, as for a real device (``ota/device/identity.py``). On
AWS this needs no credentials of the operator, because a device has none.

Source: ``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (client id and endpoint come from the header).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ota.desired_state import certificate_files
from ota.device import faults
from ota.device.device import FAILED, SUCCEEDED, Device, DeviceResult
from ota.device.firmware import Firmware
from ota.device.flash import Flash
from ota.device.identity import THING, CloudEndpoint, DeviceIdentity, find_endpoint, find_identity
from ota.device.options import DeviceOptions, Timing
from ota.device.refusals import Refused, explain, list_sandbox_refusals
from ota.errors import DeviceFailed, OtaError, WaitTimeout
from ota.firmware import signatures
from ota.firmware.image_versions import version_words
from ota.firmware.tree import has_model
from ota.messages import Command, Text, command, message
from ota.outcomes import Outcome, Verb
from ota.profiles import VersionRule

if TYPE_CHECKING:
    from ota.certificates.files import CertificateFiles
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.scope import Scope
    from ota.settings.settings import Settings

PROGRESS_LINES = 4


@dataclass(frozen=True)
class RunContext:
    """What a run of devices needs of the command line.

    Attributes:
        report: prints the lines.
        scope: settings and cloud of the command line.
        open_cloud: opens the cloud; called only where it is needed.
        timing: the devices' clock and limits.
    """

    report: Report
    scope: Scope
    open_cloud: Callable[[], Cloud]
    timing: Timing = field(default_factory=Timing)


def run(context: RunContext, options: DeviceOptions) -> None:
    """Run the device of the settings to its end, and print how it ended.

    Raises:
        DeviceFailed: it does not run the update.
        OtaError: it cannot start.
    """
    settings = context.scope.settings
    world = open_world(context, options)
    device = DeviceRun(context, options, world, settings.thing_name, certificate_files(settings))
    result = device.run(device.identify(THING))
    _report_end(context, options, result)


@dataclass(frozen=True)
class World:
    """What all devices of a run have in common: the cloud that they connect to, and their firmware."""

    endpoint: CloudEndpoint
    firmware: Firmware


def open_world(context: RunContext, options: DeviceOptions) -> World:
    """The world of a run.

    Raises:
        DeviceFailed: there is no key to verify an update with.
        OtaError: the firmware's header leads elsewhere; a fault that the firmware does not know.
    """
    if options.as_json:
        context.report.keep_stdout_clear()
    settings = context.scope.settings
    if faults.SAME_VERSION in options.faults and settings.profile.version_rule is VersionRule.NONE:
        raise OtaError(f"--fault same-version: {settings.profile.firmware} compares no versions by itself.")
    firmware = _firmware(settings, options)
    return World(find_endpoint(context.scope, context.report, context.open_cloud, settings), firmware)


def _firmware(settings: Settings, options: DeviceOptions) -> Firmware:
    """What the devices run; checks that its key can be used before anything is downloaded.

    Raises:
        DeviceFailed: there is no key, as before the first build.
        SignatureError: the key cannot verify signatures.
    """
    key_path = settings.code_signing_public_key
    if not key_path.exists():
        remedy = command("all")
        raise DeviceFailed(
            f"The device {settings.thing_name} cannot verify an update: there is no public key of the signer at "
            f"{key_path} (code_signing_public_key). Run ",
            remedy,
            " first: it builds the image, which creates the key, and offers the update.",
            remedy=remedy,
        )
    signatures.is_rsa_key(key_path)
    return Firmware(
        settings.profile, key_path, has_model(settings.target_application, settings.toolchain), options.is_faithful
    )


class DeviceRun:
    """The run of one device.

    Attributes:
        thing_name: the device's thing.
    """

    def __init__(
        self, context: RunContext, options: DeviceOptions, world: World, thing_name: str, files: CertificateFiles
    ) -> None:
        self._context, self._options, self._world = context, options, world
        self.thing_name = thing_name
        self._files = files
        self._begun_s = time.time()

    def identify(self, remedy: Command) -> DeviceIdentity:
        """The device's identity; raises CertificateError where its files are missing: ``remedy`` makes them."""
        return find_identity(self.thing_name, self._files, remedy=remedy)

    def run(self, identity: DeviceIdentity) -> DeviceResult:
        """Let the device take its update. An error becomes a result, so that other devices continue."""
        context, options = self._context, self._options
        screen = DeviceLines(context.report, self.thing_name, is_alone=options.count == 1)
        try:
            with Flash(context.scope.device_path / self.thing_name) as flash:
                if flash.assign_certificate(identity.certificate_id, is_fresh=options.is_fresh):
                    screen.say("flashed anew: runs the factory image")
                device = Device(
                    self._world.endpoint, identity, self._world.firmware, flash, options, context.timing, screen
                )
                with contextlib.closing(device):
                    return self._stay(device, identity) if options.is_forever else device.take_update()
        except OtaError as error:
            return self._failure(error, identity)

    def _stay(self, device: Device, identity: DeviceIdentity) -> DeviceResult:
        """Take updates until the time limit; the result is the last failure, or the last update where none failed."""
        last = DeviceResult(self.thing_name)
        while True:
            result = self._take_one(device, identity)
            if result.status == FAILED or last.status != FAILED:
                last = result
            try:
                device.wait_for_job()
            except WaitTimeout:
                return last

    def _take_one(self, device: Device, identity: DeviceIdentity) -> DeviceResult:
        """Take one update; an error is printed, and the device stays."""
        try:
            result = device.take_update()
        except WaitTimeout:
            raise
        except OtaError as error:
            result = self._failure(error, identity)
            self._context.report.note(message(f"{self.thing_name}: ", result.why))
        if result.status:
            report_result(self._context.report, result)
        return result

    def _failure(self, error: OtaError, identity: DeviceIdentity) -> DeviceResult:
        why = self._explained(error, identity) if isinstance(error, Refused) else error.message
        kind = f"{type(error).__name__} {error.stage} {error.symptom}" if isinstance(error, Refused) else ""
        return DeviceResult(self.thing_name, FAILED, why=why, kind=kind or type(error).__name__)

    def _explained(self, refused: Refused, identity: DeviceIdentity) -> Text:
        if not self._world.endpoint.sandbox:
            return explain(refused, [])
        refusals = list_sandbox_refusals(
            self._world.endpoint.sandbox,
            thing_name=identity.thing_name,
            certificate_id=identity.certificate_id,
            since_s=self._begun_s,
        )
        return explain(refused, refusals)


class DeviceLines:
    """Prints what a device does, and its progress: as a bar on a terminal, else as a few lines.

    Of many devices at once only the results are printed.
    """

    def __init__(self, report: Report, thing_name: str, *, is_alone: bool) -> None:
        self._report = report
        self._thing_name = thing_name
        self._is_alone = is_alone

    def say(self, text: str) -> None:
        """Print one line."""
        if self._is_alone:
            self._report.say(f"{self._thing_name}: {text}")

    @contextlib.contextmanager
    def bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show progress over bytes."""
        if self._is_alone and self._report.is_terminal:
            with self._report.bytes_bar(label, total_bytes) as show:
                yield show
            return
        begun_s, last_step = time.monotonic(), 0

        def show_line(done_bytes: int) -> None:
            nonlocal last_step
            step = PROGRESS_LINES * done_bytes // total_bytes
            if step > last_step:
                last_step = step
                rate = done_bytes / max(time.monotonic() - begun_s, 1e-3) / 1e6
                self.say(f"loaded {done_bytes:,} of {total_bytes:,} bytes, {rate:.1f} MB/s")

        yield show_line


def _report_end(context: RunContext, options: DeviceOptions, result: DeviceResult) -> None:
    """Print the result; raises DeviceFailed where the device does not run the update."""
    if options.as_json:
        context.report.document([result.as_json()])
    elif not options.is_forever:
        report_result(context.report, result)
    if result.status not in ("", SUCCEEDED):
        raise DeviceFailed(message(f"{result.thing_name}: ", with_advice(result)))


def report_result(report: Report, result: DeviceResult) -> None:
    """The device's line; none for a device that failed before it reported to the cloud, because the error has it."""
    if not result.status:
        detail = message("no job is offered to it (", command("all"), " offers one, or says why not); nothing changed")
        report.outcome(Outcome("device", Verb.SKIPPED, result.thing_name, detail))
    elif result.status == SUCCEEDED:
        image = f", image {result.image_path}" if result.image_path else ""
        duration = f" in {result.load_s:.1f} s" if result.load_s else ""
        versions = f"{version_words(result.before)} -> {version_words(result.now)}"
        text = f"{versions}, job {result.job_id} {result.status}, {result.size_bytes:,} bytes{duration}{image}"
        report.outcome(Outcome("device", Verb.CHANGED, result.thing_name, text))
    elif result.job_id:
        text = f"runs {version_words(result.now)} as before, job {result.job_id} {result.status}"
        report.outcome(Outcome("device", Verb.REUSED, result.thing_name, text))


def with_advice(result: DeviceResult) -> Text:
    """Why the device failed; for an image that was not kept also what to do: build it with a higher version."""
    if result.status != FAILED or not result.job_id or not result.now or result.size_bytes == 0:
        return result.why
    return message(
        result.why,
        "\nThe image was not kept. ",
        command("verify", "--running-version", result.now),
        " says which version it needs; build and update with that. Or reset the device to its factory state: ",
        command("device", "--fresh"),
        ", with a new update.",
    )
