"""A virtual device: takes an update as the firmware would, in its order and with its messages.

It connects, asks for its job (start-next), subscribes to the stream, fetches the image, proves the signature, reports
IN_PROGRESS with ``updatedBy``, installs, restarts, asks for its job again, and by the version rule keeps the new image
(SUCCEEDED) or goes back to the old one (FAILED). So certificate, policy, header, job document, stream and signature
are all proven before any hardware is flashed. Where the firmware says nothing, this says nothing to the cloud either,
and tells here why.

One thing it does that the firmware does not: it reports ``receive: n/m`` at most every tenth of the way, for whoever
watches. ``--faithful`` leaves that out.

Source: ``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx and its logs in ``docs/applications``; AWS IoT
Developer Guide, "Jobs device MQTT API".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ota import device_faults as faults
from ota.device_connection import Connection, Identity, Site
from ota.device_download import FAITHFUL_PACE, BlockStream, Pace, fetch_over_http
from ota.device_faults import Trouble
from ota.device_firmware import Firmware, version_of
from ota.device_images import Download, Pending, Phase, Store
from ota.device_manners import Manners, Result, Talk
from ota.device_messages import (
    HTTP,
    Execution,
    Offer,
    Topics,
    offer_id,
    read_answer,
    read_execution,
    read_offer,
    start_next_request,
    update_request,
)
from ota.device_refusals import Place, Refused, Symptom
from ota.errors import DeviceFailed, SignatureError, WaitTimeout

SUCCEEDED, FAILED, REJECTED, IN_PROGRESS, QUEUED = "SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS", "QUEUED"
PROGRESS_STEPS = 10
RECONNECT_S = 1.0
RECONNECT_LATER_S = 5.0
NOTIFY_POLL_S = 1.0
# The firmware counts with these: taken is 2, reported before the restart is 3.
FAITHFUL_VERSIONS = {IN_PROGRESS: 2, SUCCEEDED: 3, FAILED: 3}
UNDERSTOOD = b"_unknown_"


class Device:
    """One device. Close it in the end."""

    def __init__(
        self, site: Site, identity: Identity, firmware: Firmware, store: Store, manners: Manners, talk: Talk
    ) -> None:
        self._site, self._identity, self._firmware = site, identity, firmware
        self._store, self._manners, self._talk = store, manners, talk
        self._topics = Topics(identity.thing_name)
        self._trouble = Trouble(manners.fault)
        self._connection: Connection | None = None
        self._begun = manners.clock()
        self._seen: set[str] = set()
        self._version = 0
        self._load_s = 0.0
        self._has_progressed = False

    def take_update(self) -> Result:
        """Take the update that is offered, from the first start to the last report; or go on with it.

        Raises:
            DeviceFailed: it did not come to an end that the cloud was told; the words say what it shows.
            SignatureError: the image is not what was signed.
            WaitTimeout: the time was up.
        """
        if self._connection is None:
            self._start()
        while True:
            try:
                result = self._run()
            except Refused as refused:
                self._check_may_reconnect(refused)
                self._manners.sleep(RECONNECT_S)
                self._start()
                continue
            if result is not None:
                return result
            self._talk.say("restarts")
            self._start()

    def wait_for_job(self) -> None:
        """Return once the cloud tells of a job, or the connection is lost: then it is worth asking again.

        Raises:
            WaitTimeout: the time was up.
        """
        while True:
            self._check_time()
            try:
                message = self._open.receive(NOTIFY_POLL_S, Place.NOTIFY)
            except Refused:
                self.close()
                self._manners.sleep(RECONNECT_LATER_S)
                return
            if message and message.topic == self._topics.notify_next and "execution" in read_answer(message.payload):
                return

    def close(self) -> None:
        """Leave the cloud."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise Refused(Place.CONNECT, Symptom.DROPPED)
        return self._connection

    def _start(self) -> None:
        """Start as after a reset: the boot loader looks what to start, then the firmware connects."""
        self.close()
        pending = self._store.state.pending
        if pending is not None and pending.phase is Phase.INSTALLED:
            self._store.save(replace(pending, phase=Phase.TRIAL))
            self._talk.say(f"starts {pending.image_name} {pending.version} on trial".replace("  ", " "))
        manners = self._manners
        self._connection = Connection(
            self._site, self._identity, answer_timeout_s=manners.answer_timeout_s, clock=manners.clock
        )
        self._connection.open()
        self._has_progressed = False
        self._talk.say(f"connected to {self._site.endpoint}")
        if manners.is_forever:
            self._connection.subscribe(self._topics.notify_next, Place.NOTIFY)

    def _check_may_reconnect(self, refused: Refused) -> None:
        """A connection that breaks while blocks come is made again; one that brings none is not."""
        is_loading = refused.place in (Place.BLOCKS, Place.REPORT) and self._has_progressed
        is_worth_it = is_loading and refused.symptom is Symptom.DROPPED
        if not is_worth_it:
            raise refused
        self._check_time()
        self._talk.say(f"the connection broke ({refused}); connects again")

    def _check_time(self) -> None:
        limit = self._manners.timeout_s
        if limit is not None and self._manners.clock() - self._begun >= limit:
            raise WaitTimeout(
                f"{self._identity.thing_name}: the {limit:g} s of --timeout are over; run it again to go on."
            )

    def _run(self) -> Result | None:
        """From one start to the next; the result, or None where a restart comes next."""
        self._check_time()
        execution = self._ask_for_job()
        if execution is None:
            return self._offered_nothing("no job is offered any more")
        offer = read_offer(execution.document, self._firmware.profile)
        pending = self._pending_of(execution, offer)
        if pending is None:
            return self._offered_nothing("the job is one that failed in this run already")
        if pending.phase is Phase.DOWNLOADING:
            return self._take(execution, offer, pending)
        if pending.phase is Phase.TRIAL:
            pending = self._self_test(pending)
        return self._finish(execution, pending)

    def _ask_for_job(self) -> Execution | None:
        rejects = self._trouble.has(faults.REJECTS)
        topic = self._topics.peek if rejects else self._topics.start_next
        answer = self._open.ask(topic, start_next_request(self._identity.thing_name), Place.JOB)
        execution = read_execution(answer.members)
        if execution is not None:
            self._version = execution.version
            self._firmware.check_message(answer.size_bytes)
        return execution

    def _offered_nothing(self, why: str) -> Result:
        self._drop(self._store.state.pending, why)
        return Result(self._identity.thing_name)

    def _drop(self, pending: Pending | None, why: str) -> None:
        if pending is not None:
            if pending.phase is not Phase.CONFIRMED:
                self._talk.say(f"drops what it has of {pending.job_id}: {why}")
            self._store.forget()

    def _pending_of(self, execution: Execution, offer: Offer) -> Pending | None:
        """How far this offer has come; None for one that this run failed at: the firmware looks at none twice."""
        identity = offer_id(execution, offer)
        pending = self._store.state.pending
        if pending is not None and pending.offer_id == identity:
            return pending
        if identity in self._seen:
            return None
        self._drop(pending, f"{execution.job_id} offers another image")
        return Pending(identity, execution.job_id, offer.file_path, offer.size_bytes)

    def _take(self, execution: Execution, offer: Offer, pending: Pending) -> Result | None:
        """Everything up to the restart."""
        running = self._store.running(offer.file_path)
        self._talk.say(
            f"offered {offer.file_path}, {offer.size_bytes:,} bytes, by job {execution.job_id}; runs {running.version}"
        )
        self._seen.add(pending.offer_id)
        if self._trouble.has(faults.REJECTS):
            return self._reject(execution, running.version)
        self._firmware.check_offer(offer)
        if self._trouble.has(faults.TIMES_OUT):
            raise self._go_silent(execution)
        self._store.save(pending)
        self._load(execution, offer, pending)
        self._install(execution, offer, pending)
        if self._trouble.has(faults.POWER_CUT):
            raise DeviceFailed(
                "the power is cut (--fault power-cut) before the restart. The cloud shows IN_PROGRESS with updatedBy; "
                "run the device again without the fault: it goes on from here."
            )
        return None

    def _load(self, execution: Execution, offer: Offer, pending: Pending) -> None:
        begun = self._manners.clock()
        with self._store.open_download(pending.image_name, pending.size_bytes) as download:
            if download.done_bytes:
                self._talk.say(f"goes on after {download.done_count} of {download.block_count} blocks")
            with self._talk.bar(f"{self._identity.thing_name} loads {offer.file_path}", offer.size_bytes) as show:
                self._follow(execution, download, self._fetch(offer, download), show)
        self._load_s = self._manners.clock() - begun
        self._has_progressed = False

    def _fetch(self, offer: Offer, download: Download) -> Iterator[int]:
        if offer.protocol == HTTP:
            return fetch_over_http(offer, download, self._trouble)
        encoding = self._manners.encoding
        self._open.subscribe(self._topics.stream(offer.stream, "data", encoding), Place.SUBSCRIBE)
        pace = self._manners.pace or (FAITHFUL_PACE if self._firmware.is_faithful else Pace())
        return BlockStream(self._open, self._topics, offer, encoding, pace, self._trouble).fetch(download)

    def _follow(
        self, execution: Execution, download: Download, progress: Iterator[int], show: Callable[[int], None]
    ) -> None:
        """Let the download run; note and report how far it is, ten times at most."""
        told = PROGRESS_STEPS * download.done_bytes // download.size_bytes
        for done_bytes in progress:
            self._has_progressed = True
            show(done_bytes)
            step = PROGRESS_STEPS * done_bytes // download.size_bytes
            if step == told:
                continue
            told = step
            self._check_time()
            download.save()
            if not self._firmware.is_faithful:
                receive = f"{download.done_count}/{download.block_count}"
                self._report(execution, IN_PROGRESS, {"receive": receive})

    def _install(self, execution: Execution, offer: Offer, pending: Pending) -> None:
        """Verify, report, and put the image where the boot loader finds it."""
        path = self._store.part_path(pending.image_name)
        if self._trouble.has(faults.BAD_SIGNATURE):
            _spoil(path)
        try:
            proof = self._firmware.verify(path, offer)
        except SignatureError:
            self._store.forget()
            raise
        self._talk.say(f"signature proven: {proof}")
        version = version_of(path)
        if self._trouble.has(faults.SAME_VERSION):
            self._store.pretend(pending.image_name, version)
        before = self._store.running(pending.image_name).version
        updated_by = self._firmware.number_of(before)
        self._report(execution, IN_PROGRESS, {"updatedBy": str(updated_by)})
        installed = replace(pending, phase=Phase.INSTALLED, before=before, updated_by=updated_by, version=version)
        self._store.install(installed)
        self._talk.say(f"installed {pending.image_name} {version}".rstrip())

    def _self_test(self, pending: Pending) -> Pending:
        """Keep the new image, or go back to the old one."""
        why = self._why_not(pending)
        if not why:
            self._store.confirm(pending)
            return replace(pending, phase=Phase.CONFIRMED)
        self._talk.say(f"the self-test fails: {why}; goes back to {pending.before}")
        pending = replace(pending, phase=Phase.REVERTED)
        self._store.save(pending)
        return pending

    def _why_not(self, pending: Pending) -> str:
        return self._firmware.self_test(pending.version, pending.before, pending.updated_by) or ""

    def _finish(self, execution: Execution, pending: Pending) -> Result:
        """Tell the cloud how it ended; the application then does its work."""
        is_kept = pending.phase is Phase.CONFIRMED
        self._report(execution, SUCCEEDED if is_kept else FAILED, {"updatedBy": str(pending.updated_by)})
        self._store.forget()
        if is_kept and self._firmware.publishes_inference:
            self._open.publish_surely(self._topics.inference, UNDERSTOOD, Place.INFERENCE)
        path = self._store.image_path(pending.image_name)
        return Result(
            self._identity.thing_name,
            SUCCEEDED if is_kept else FAILED,
            execution.job_id,
            before=pending.before,
            now=self._store.running(pending.image_name).version,
            why="" if is_kept else self._why_not(pending),
            image_path=path if path.exists() else None,
            size_bytes=pending.size_bytes,
            load_s=self._load_s,
        )

    def _reject(self, execution: Execution, version: str) -> Result:
        """Refuse the job; one that was begun already can only fail."""
        status = REJECTED if execution.status == QUEUED else FAILED
        self._report(execution, status, None)
        return Result(self._identity.thing_name, status, execution.job_id, version, version, why=faults.REJECTS.happens)

    def _go_silent(self, execution: Execution) -> DeviceFailed:
        self._report(execution, IN_PROGRESS, None, step_minutes=1)
        return DeviceFailed(
            "goes silent (--fault times-out). The cloud shows IN_PROGRESS, and in a minute TIMED_OUT: AWS ends a step "
            "that takes longer than the device gave itself."
        )

    def _report(self, execution: Execution, status: str, details: dict[str, str] | None, **extra: Any) -> None:
        is_counted = self._firmware.is_faithful and not extra and details is not None
        version = FAITHFUL_VERSIONS[status] if is_counted else self._version
        payload = update_request(status, details, version, **extra)
        self._open.ask(self._topics.update(execution.job_id), payload, Place.REPORT)
        self._version += 1
        if not details or "receive" not in details:
            words = "".join(f", {name} {value}" for name, value in (details or {}).items())
            self._talk.say(f"reports {status}{words}")


def _spoil(path: Path) -> None:
    """Turn one byte in the middle of the file over."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))
