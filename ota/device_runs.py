"""Runs virtual devices for the command line: one, one that stays, or many at once.

Exit status 0 means that every device runs the update, or that nothing was offered, which is said. Anything else is
status 1, and the words say what the cloud shows now.

Which cloud it is follows from the firmware's header, as for a real device; that the header is right is part of the
proof. In sandbox scope the endpoint in the header has to be the one that the sandbox gives, and is then looked for on
this machine. On AWS no credentials of the operator are needed, for a device has none.

Source: ``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (client id and endpoint come from the header).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota import device_faults, headers, signatures
from ota.device import FAILED, SUCCEEDED, Device
from ota.device_connection import Identity, Site, find_identity
from ota.device_firmware import Firmware
from ota.device_images import Store
from ota.device_manners import Manners, Result
from ota.device_messages import Encoding
from ota.device_refusals import Refused, ask_sandbox, explain
from ota.errors import DeviceFailed, FirmwareError, OtaError, WaitTimeout
from ota.firmware import has_model
from ota.outcomes import Outcome, Verb
from ota.profiles import VersionRule
from ota.wanted import certificate_files

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.scope import Scope
    from ota.settings import Settings

MOST_DEVICES = 100
DEFAULT_TIMEOUT_S = 900.0
PLAIN_STEPS = 4


@dataclass(frozen=True)
class Wish:
    """What the flags of ``device`` say.

    Attributes:
        encoding: of stream messages.
        fault: what goes wrong; None for nothing.
        is_faithful: the firmware's limits hold.
        is_forever: stay for updates to come.
        is_fresh: begin as from the factory.
        count: how many devices at once; 1 for the thing of the settings itself.
        timeout_s: how long all may take; None for ever.
        as_json: one JSON document on stdout.
    """

    encoding: Encoding = Encoding.JSON
    fault: device_faults.Fault | None = None
    is_faithful: bool = False
    is_forever: bool = False
    is_fresh: bool = False
    count: int = 1
    timeout_s: float | None = DEFAULT_TIMEOUT_S
    as_json: bool = False


@dataclass(frozen=True)
class Bench:
    """What devices run on.

    Attributes:
        report: where lines go.
        scope: settings and cloud of the command line.
        open_cloud: the cloud; only asked for where it is needed.
        prepare: makes the things of a rehearsal, by their names, and an update for them; in the sandbox only.
        sleep: waits so many seconds.
    """

    report: Report
    scope: Scope
    open_cloud: Callable[[], Cloud]
    prepare: Callable[[Sequence[str]], None]
    sleep: Callable[[float], None] = time.sleep


def read_wish(
    *, encoding: str, fault: str, faithful: bool, forever: bool, fresh: bool, count: int, timeout: str, as_json: bool
) -> Wish:
    """The flags, checked.

    Raises:
        OtaError: a value that cannot be, or two that exclude each other.
    """
    if encoding not in [one.value for one in Encoding]:
        raise OtaError(f"--encoding {encoding}: choose json or cbor.")
    if faithful and encoding != Encoding.JSON.value:
        raise OtaError("--faithful is Arm's firmware, which asks for JSON only: leave --encoding out.")
    if not 1 <= count <= MOST_DEVICES:
        raise OtaError(f"--count {count}: from 1 to {MOST_DEVICES} devices run at once.")
    if forever and (fault or count > 1):
        raise OtaError("--forever is for one device without a fault: leave --fault and --count out.")
    limit = _read_seconds(timeout) if timeout else (None if forever else DEFAULT_TIMEOUT_S)
    return Wish(Encoding(encoding), device_faults.read_fault(fault), faithful, forever, fresh, count, limit, as_json)


def run(bench: Bench, wish: Wish) -> None:
    """Run the devices to their end, and tell how it went.

    Raises:
        DeviceFailed: a device did not come to run the update.
        OtaError: it could not begin.
    """
    if wish.as_json:
        bench.report.keep_stdout_clear()
    settings = bench.scope.settings
    firmware = _firmware(settings, wish)
    names = _thing_names(settings.thing_name, wish.count)
    if wish.count > 1 and bench.scope.is_sandbox:
        bench.prepare(names)
    site = find_site(bench, settings)
    runs = [_Run(bench, wish, site, firmware, settings.with_values({"thing_name": name})) for name in names]
    results = _all_at_once(runs)
    _tell(bench, wish, results)


def find_site(bench: Bench, settings: Settings) -> Site:
    """Where the firmware's header says that the cloud is.

    Raises:
        FirmwareError: the header names another endpoint or thing than this device's, or nothing yet.
    """
    scope = bench.scope
    header = None
    if settings.target_application:
        header = headers.find_header(settings.firmware_root, settings.target_application)
    if header is None:
        endpoint = bench.open_cloud().data_endpoint
        bench.report.note(f"note: there is no firmware's header to look into; the account's endpoint is {endpoint}")
    else:
        endpoint = header.endpoint
        _check_header(header, settings.thing_name, scope.prefix)
    if not scope.is_sandbox:
        return Site(endpoint, endpoint)
    known = bench.open_cloud().data_endpoint
    if header is not None and endpoint != known:
        raise FirmwareError(
            f"{header.path} names the endpoint {endpoint!r}, and the sandbox's is {known!r}: a device built with it "
            f"connects to another cloud. `{scope.prefix} thing` writes the right one."
        )
    address = scope.address
    host, port = address.mqtt_host, address.mqtt_port
    if host is None or port is None:
        raise DeviceFailed("The sandbox that runs has no MQTT: `invoke sandbox.stop`, and the next one has.")
    return Site(endpoint, host, port, Path(address.ca_path), address.endpoint_url)


def _check_header(header: headers.Header, thing_name: str, prefix: str) -> None:
    if header.endpoint in headers.DUMMIES[headers.ENDPOINT_DEFINE]:
        raise FirmwareError(f"{header.path} names no endpoint yet: `{prefix} thing` writes it.")
    if header.thing_name != thing_name:
        raise FirmwareError(
            f"{header.path} names the thing {header.thing_name!r}, and this device is {thing_name!r}: the firmware "
            f"would connect by the other name. `{prefix} thing` writes the right one."
        )


def _firmware(settings: Settings, wish: Wish) -> Firmware:
    """What the device runs; whether its key can be used is asked before anything is loaded."""
    signatures.is_rsa_key(settings.code_signing_public_key)
    if wish.fault is device_faults.SAME_VERSION and settings.profile.version_rule is VersionRule.NONE:
        raise OtaError(f"--fault same-version: {settings.profile.firmware} compares no versions by itself.")
    return Firmware(
        settings.profile,
        settings.code_signing_public_key,
        has_model(settings.target_application, settings.toolchain),
        wish.is_faithful,
    )


def _thing_names(thing_name: str, count: int) -> list[str]:
    return [thing_name] if count == 1 else [f"{thing_name}-{number}" for number in range(1, count + 1)]


class _Run:
    """One device's part of a command line."""

    def __init__(self, bench: Bench, wish: Wish, site: Site, firmware: Firmware, settings: Settings) -> None:
        self._bench, self._wish, self._site, self._firmware = bench, wish, site, firmware
        self._thing_name = settings.thing_name
        self._files = certificate_files(settings)
        self._begun_s = time.time()

    def identify(self) -> Identity:
        """Who the device is; raises CertificateError where its files are not there."""
        prefix = self._bench.scope.prefix
        if self._wish.count > 1:
            prefix += f"{'' if ' with ' in prefix else ' with'} --thing-name {self._thing_name}"
        return find_identity(self._thing_name, self._files, prefix=prefix)

    def run(self, identity: Identity) -> Result:
        """Let the device take its update; an error comes back as a result, so that others go on."""
        wish = self._wish
        manners = Manners(
            wish.encoding,
            wish.fault,
            wish.is_forever,
            timeout_s=wish.timeout_s,
            sleep=self._bench.sleep,
        )
        talk = _Lines(self._bench.report, self._thing_name, has_bar=wish.count == 1)
        try:
            with Store(self._bench.scope.device_path / self._thing_name) as store:
                if store.flash(identity.certificate_id, is_fresh=wish.is_fresh):
                    talk.say("flashed anew: runs what the factory gave it")
                device = Device(self._site, identity, self._firmware, store, manners, talk)
                with contextlib.closing(device):
                    return self._stay(device, identity) if wish.is_forever else device.take_update()
        except OtaError as error:
            return self._failure(error, identity)

    def _stay(self, device: Device, identity: Identity) -> Result:
        """Take what comes until the time is up; the last failure, where there was one, is the result."""
        last = Result(self._thing_name)
        while True:
            result = self._take_one(device, identity)
            if result.status == FAILED or last.status != FAILED:
                last = result
            try:
                device.wait_for_job()
            except WaitTimeout:
                return last

    def _take_one(self, device: Device, identity: Identity) -> Result:
        """One update of a device that stays, whatever becomes of it."""
        try:
            result = device.take_update()
        except WaitTimeout:
            raise
        except OtaError as error:
            result = self._failure(error, identity)
            self._bench.report.note(f"{self._thing_name}: {result.why}")
        if result.status:
            _tell_one(self._bench.report, result)
        return result

    def _failure(self, error: OtaError, identity: Identity) -> Result:
        return Result(self._thing_name, FAILED, why=self._in_words(error, identity))

    def _in_words(self, error: OtaError, identity: Identity) -> str:
        if not isinstance(error, Refused):
            return str(error)
        said = []
        if self._site.sandbox_url:
            said = ask_sandbox(
                self._site.sandbox_url,
                thing_name=identity.thing_name,
                certificate_id=identity.certificate_id,
                since_s=self._begun_s,
            )
        return explain(error, said, prefix=self._bench.scope.prefix)


def _all_at_once(runs: Sequence[_Run]) -> list[Result]:
    """Every run's result, in order; no run begins where one cannot."""
    pairs = [(run, run.identify()) for run in runs]
    if len(pairs) == 1:
        return [run.run(identity) for run, identity in pairs]
    with ThreadPool(len(pairs)) as pool:  # its threads do not outlive an interrupted command line
        return pool.starmap(_Run.run, pairs)


class _Lines:
    """What a device does, line by line; its progress as a bar on a terminal, else as a line now and then.

    Of many devices at once only the ends are told.
    """

    def __init__(self, report: Report, thing_name: str, *, has_bar: bool) -> None:
        self._report = report
        self._thing_name = thing_name
        self._has_bar = has_bar and report.is_terminal
        self._has_lines = has_bar

    def say(self, text: str) -> None:
        """One line."""
        if self._has_lines:
            self._report.say(f"{self._thing_name}: {text}")

    @contextlib.contextmanager
    def bar(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Progress over bytes."""
        if self._has_bar:
            with self._report.bytes_bar(label, total_bytes) as show:
                yield show
            return
        begun, told = time.monotonic(), [0]

        def show_line(done_bytes: int) -> None:
            step = PLAIN_STEPS * done_bytes // total_bytes
            if step > told[0]:
                told[0] = step
                rate = done_bytes / max(time.monotonic() - begun, 1e-3) / 1e6
                self.say(f"loaded {done_bytes:,} of {total_bytes:,} bytes, {rate:.1f} MB/s")

        yield show_line


def _tell(bench: Bench, wish: Wish, results: Sequence[Result]) -> None:
    """How it went, device by device, and as an error where one did not succeed."""
    if wish.as_json:
        bench.report.document([_as_json(result) for result in results])
    elif not wish.is_forever:
        for result in results:
            _tell_one(bench.report, result)
    failed = [_with_advice(result, bench.scope.prefix) for result in results if result.status not in ("", SUCCEEDED)]
    if failed and len(results) > 1:
        why = "\n".join(f"{result.thing_name}: {result.why}" for result in failed)
        raise DeviceFailed(f"{len(failed)} of {len(results)} devices do not run the update.\n{why}")
    if failed:
        raise DeviceFailed(f"{failed[0].thing_name}: {failed[0].why}")


def _with_advice(result: Result, prefix: str) -> Result:
    """Of an image that was not kept, also what to do: its version is the one thing that the desk can change."""
    if result.status != FAILED or not result.job_id or not result.now or result.size_bytes == 0:
        return result
    advice = (
        f"The image was not kept. `{prefix} verify --running-version {result.now}` tells which version it needs; build "
        f"and update with that. Or begin as from the factory: `{prefix} device --fresh`, with a new update."
    )
    return replace(result, why=f"{result.why}\n{advice}")


def _tell_one(report: Report, result: Result) -> None:
    """The device's line; one that failed before it could tell the cloud has its words in the error alone."""
    if not result.status:
        detail = "no job is offered to it; it runs what it ran"
        report.outcome(Outcome("device", Verb.SKIPPED, result.thing_name, detail))
    elif result.status == SUCCEEDED:
        where = f", image {result.image_path}" if result.image_path else ""
        rate = f" in {result.load_s:.1f} s" if result.load_s else ""
        detail = f"{result.before} -> {result.now}, job {result.job_id} {result.status}, "
        report.outcome(
            Outcome("device", Verb.CHANGED, result.thing_name, f"{detail}{result.size_bytes:,} bytes{rate}{where}")
        )
    elif result.job_id:
        detail = f"runs {result.now} as before, job {result.job_id} {result.status}"
        report.outcome(Outcome("device", Verb.REUSED, result.thing_name, detail))


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "thing": result.thing_name,
        "status": result.status or "NOTHING_OFFERED",
        "job": result.job_id or None,
        "before": result.before or None,
        "now": result.now or None,
        "why": result.why or None,
        "image": str(result.image_path) if result.image_path else None,
        "bytes": result.size_bytes,
        "seconds": round(result.load_s, 3),
    }


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise OtaError(f"--timeout {text}: write seconds, such as 60.")
    return seconds
