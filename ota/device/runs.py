"""Runs virtual devices for the command line: one, one that stays, or many at once.

Exit status 0 means that every device runs the update, or that nothing was offered, which is said. Anything else is
status 1, and the words say what the cloud shows now.

Which cloud it is follows from the firmware's header, as for a real device (``device_identity``). On AWS no credentials
of the operator are needed, for a device has none.

Source: ``docs/applications`` of FreeRTOS/iot-reference-arm-corstone3xx (client id and endpoint come from the header).
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

from ota.desired_state import certificate_files
from ota.device import faults, rehearsals
from ota.device.device import Device
from ota.device.firmware import Firmware
from ota.device.identity import Identity, Site, find_identity, find_site
from ota.device.images import Store
from ota.device.jobs import FAILED, SUCCEEDED
from ota.device.lines import Lines, as_json, tell_end, with_advice
from ota.device.manners import Manners, Result
from ota.device.refusals import Refused, ask_sandbox, explain
from ota.device.rehearsals import thing_names
from ota.device.wishes import Wish, read_wish
from ota.errors import DeviceFailed, OtaError, WaitTimeout
from ota.firmware import signatures
from ota.firmware.tree import has_model
from ota.profiles import VersionRule
from ota.set_up import SetUp

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.report import Report
    from ota.run import Run
    from ota.scope import Scope
    from ota.settings.settings import Settings

__all__ = ["Bench", "Wish", "play", "read_wish", "run"]


@dataclass(frozen=True)
class Bench:
    """What devices run on.

    Attributes:
        report: where lines go.
        scope: settings and cloud of the command line.
        open_cloud: the cloud; only asked for where it is needed.
        prepare: makes the things of a rehearsal, by their names, and an update for them; in the sandbox only.
        sleep: waits so many seconds.
        clock: a count of seconds that never goes back.
    """

    report: Report
    scope: Scope
    open_cloud: Callable[[], Cloud]
    prepare: Callable[[Sequence[str]], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def play(command_line: Run, wish: Wish) -> None:
    """Run the devices for a command line, which may make the things of a rehearsal first."""
    command_line.end_turn()
    prepare = partial(_rehearse, command_line)
    run(Bench(command_line.report, command_line.scope, lambda: command_line.cloud, prepare), wish)


def _rehearse(run: Run, names: Sequence[str]) -> None:
    """Make things of these names, and an update for all of them."""
    set_up = SetUp(run)
    set_up.policy()
    rehearsals.prepare(run.cloud, run.settings, run.report, set_up.update(), names, set_up.patience())
    run.end_turn()


def run(bench: Bench, wish: Wish) -> None:
    """Run the devices to their end, and tell how it went.

    Raises:
        DeviceFailed: a device did not come to run the update.
        OtaError: it could not begin.
    """
    if wish.as_json:
        bench.report.keep_stdout_clear()
    settings = bench.scope.settings
    _check_fault(settings, wish)
    names = [settings.thing_name] if wish.count == 1 else thing_names(settings.thing_name, wish.count)
    if wish.count > 1 and bench.scope.is_sandbox:
        bench.prepare(names)
        wish = replace(wish, is_fresh=True)  # a rehearsal has an update of its own, which no device has begun or has
    firmware = _firmware(settings, wish)
    site = find_site(bench.scope, bench.report, bench.open_cloud, settings)
    runs = [_Run(bench, wish, site, firmware, settings.with_values({"thing_name": name})) for name in names]
    results = _all_at_once(runs)
    _tell(bench, wish, results)


def _check_fault(settings: Settings, wish: Wish) -> None:
    if wish.fault is faults.SAME_VERSION and settings.profile.version_rule is VersionRule.NONE:
        raise OtaError(f"--fault same-version: {settings.profile.firmware} compares no versions by itself.")


def _firmware(settings: Settings, wish: Wish) -> Firmware:
    """What the device runs; whether its key can be used is asked before anything is loaded.

    Raises:
        DeviceFailed: there is no key yet, as before the first build.
        SignatureError: it can be used for no signature.
    """
    key_path = settings.code_signing_public_key
    if not key_path.exists():
        raise DeviceFailed(
            f"The device {settings.thing_name} has nothing to prove an update with: there is no public key of its "
            f"signer at {key_path} (code_signing_public_key). Run `invoke all` first: it builds the image, which "
            "brings the key, and offers the update."
        )
    signatures.is_rsa_key(key_path)
    return Firmware(
        settings.profile,
        settings.code_signing_public_key,
        has_model(settings.target_application, settings.toolchain),
        wish.is_faithful,
    )


class _Run:
    """One device's part of a command line."""

    def __init__(self, bench: Bench, wish: Wish, site: Site, firmware: Firmware, settings: Settings) -> None:
        self._bench, self._wish, self._site, self._firmware = bench, wish, site, firmware
        self._thing_name = settings.thing_name
        self._files = certificate_files(settings)
        self._begun_s = time.time()

    def identify(self) -> Identity:
        """Who the device is; raises CertificateError where its files are not there."""
        chosen = f"with --thing-name {shlex.quote(self._thing_name)} " if self._wish.count > 1 else ""
        return find_identity(self._thing_name, self._files, command=f"invoke {chosen}thing")

    def run(self, identity: Identity) -> Result:
        """Let the device take its update; an error comes back as a result, so that others go on."""
        wish = self._wish
        manners = Manners(
            wish.encoding,
            wish.fault,
            wish.is_forever,
            timeout_s=wish.timeout_s,
            sleep=self._bench.sleep,
            clock=self._bench.clock,
        )
        talk = Lines(self._bench.report, self._thing_name, has_bar=wish.count == 1)
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
            tell_end(self._bench.report, result)
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
        return explain(error, said)


def _all_at_once(runs: Sequence[_Run]) -> list[Result]:
    """Every run's result, in order; no run begins where one cannot."""
    pairs = [(run, run.identify()) for run in runs]
    if len(pairs) == 1:
        return [run.run(identity) for run, identity in pairs]
    with ThreadPool(len(pairs)) as pool:  # its threads do not outlive an interrupted command line
        return pool.starmap(_Run.run, pairs)


def _tell(bench: Bench, wish: Wish, results: Sequence[Result]) -> None:
    """How it went, device by device, and as an error where one did not succeed."""
    if wish.as_json:
        bench.report.document([as_json(result) for result in results])
    elif not wish.is_forever:
        for result in results:
            tell_end(bench.report, result)
    failed = [with_advice(result) for result in results if result.status not in ("", SUCCEEDED)]
    if failed and len(results) > 1:
        why = "\n".join(f"{result.thing_name}: {result.why}" for result in failed)
        raise DeviceFailed(f"{len(failed)} of {len(results)} devices do not run the update.\n{why}")
    if failed:
        raise DeviceFailed(f"{failed[0].thing_name}: {failed[0].why}")
