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

import math
from dataclasses import replace
from typing import Any

from ota.device import faults as faults
from ota.device.blocks import Download
from ota.device.connection import Connection
from ota.device.faults import Trouble
from ota.device.firmware import Firmware, version_of
from ota.device.identity import Identity, Site
from ota.device.images import Store
from ota.device.jobs import FAILED, IN_PROGRESS, QUEUED, REJECTED, SUCCEEDED, Jobs
from ota.device.loading import Loader
from ota.device.manners import Manners, Result, Talk
from ota.device.memory import Pending, Phase
from ota.device.messages import Execution, Topics, read_answer
from ota.device.offers import Offer, offer_id, read_offer
from ota.device.refusals import Place, Refused, Symptom
from ota.errors import DeviceFailed, SignatureError, WaitTimeout
from ota.firmware.image_versions import version_words

RECONNECT_S = 1.0
RECONNECT_LATER_S = 5.0
NOTIFY_POLL_S = 1.0
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
        self._jobs = Jobs(self._topics, firmware, talk)
        self._loader = Loader(self._topics, store, manners, talk, self._trouble, is_faithful=firmware.is_faithful)

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
            left_s = self._check_time()
            try:
                message = self._open.receive(min(NOTIFY_POLL_S, left_s), Place.NOTIFY)
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
        self._loader.has_progressed = False
        self._talk.say(f"connected to {self._site.endpoint}")
        if manners.is_forever:
            self._connection.subscribe(self._topics.notify_next, Place.NOTIFY)

    def _check_may_reconnect(self, refused: Refused) -> None:
        """A connection that breaks while blocks come is made again; one that brings none is not."""
        is_loading = refused.place in (Place.BLOCKS, Place.REPORT) and self._loader.has_progressed
        is_worth_it = is_loading and refused.symptom is Symptom.DROPPED
        if not is_worth_it:
            raise refused
        self._check_time()
        self._talk.say(f"the connection broke ({refused}); connects again")

    def _check_time(self) -> float:
        """How many seconds are left."""
        limit_s = self._manners.timeout_s
        if limit_s is None:
            return math.inf
        left_s = limit_s - (self._manners.clock() - self._begun)
        if left_s <= 0:
            raise WaitTimeout(
                f"{self._identity.thing_name}: the {limit_s:g} s of --timeout are over; run it again to go on."
            )
        return left_s

    def _run(self) -> Result | None:
        """From one start to the next; the result, or None where a restart comes next."""
        self._check_time()
        execution = self._jobs.ask(self._open, only_look=self._trouble.has(faults.REJECTS))
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
            f"offered {offer.file_path}, {offer.size_bytes:,} bytes, by job {execution.job_id}; "
            f"runs {version_words(running.version)}"
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
        """Load the image, reporting at every tenth of the way, which the firmware does not."""

        def on_step(download: Download) -> None:
            self._check_time()
            if not self._firmware.is_faithful:
                self._report(execution, IN_PROGRESS, {"receive": f"{download.done_count}/{download.block_count}"})

        self._loader.load(self._open, offer, pending, on_step)

    def _install(self, execution: Execution, offer: Offer, pending: Pending) -> None:
        """Verify, report, and put the image where the boot loader finds it."""
        path = self._store.part_path(pending.image_name)
        if self._trouble.has(faults.BAD_SIGNATURE):
            faults.spoil(path)
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
        self._talk.say(f"the self-test fails: {why}; goes back to {version_words(pending.before)}")
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
            load_s=self._loader.load_s,
        )

    def _reject(self, execution: Execution, version: str) -> Result:
        """Refuse the job; one that was begun already can only fail."""
        status = REJECTED if execution.status == QUEUED else FAILED
        self._report(execution, status)
        return Result(self._identity.thing_name, status, execution.job_id, version, version, why=faults.REJECTS.happens)

    def _go_silent(self, execution: Execution) -> DeviceFailed:
        self._report(execution, IN_PROGRESS, step_minutes=1)
        return DeviceFailed(
            "goes silent (--fault times-out). The cloud shows IN_PROGRESS, and in a minute TIMED_OUT: AWS ends a step "
            "that takes longer than the device gave itself."
        )

    def _report(self, execution: Execution, status: str, details: dict[str, str] | None = None, **extra: Any) -> None:
        self._jobs.report(self._open, execution, status, details, **extra)
