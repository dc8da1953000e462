"""Sets up what an update needs, from the thing to the update itself: who does what in which order.

Here the nouns meet: what one needs of another is handed on. Bucket and role need nothing of the thing, so ``update``
gives them a head start: they run beside it, and their own tasks wait for them and print their lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ota import buckets, certificates, desired_state, images, policies, roles, things, updates
from ota.errors import OtaError, SignatureError, attempt
from ota.findings import Severity, failure_text, of_severity
from ota.firmware import builds, headers, signatures, verify
from ota.firmware.header_notes import Written
from ota.jobs import Execution, find_execution
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side
from ota.update_requests import Update, has_same_content, job_id_of
from ota.update_waits import Patience, find_update

if TYPE_CHECKING:
    from ota.run import Run

BUILD_LOG = "build.log"
SETTLED_ROLE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class FoundUpdate:
    """The update that is there by the settings' name, before anything is made.

    Attributes:
        update: None where there is none.
        has_image: whether the image that it brings still is in its bucket.
        execution: the device's part of its job, or why AWS did not tell; None where there is none.
    """

    update: Update | None
    has_image: bool = False
    execution: Execution | OtaError | None = None


@dataclass(frozen=True)
class Offer:
    """An update, and what its device has done with it.

    Attributes:
        update: it exists, and so does its job.
        is_new: this run made it, or found it without an image, so its device cannot have finished with it.
        execution: the device's part of the job, or why AWS did not tell; None where the job has not reached the device.
    """

    update: Update
    is_new: bool
    execution: Execution | OtaError | None = None

    @property
    def is_over(self) -> bool:
        """Whether the device has finished with the update, so that the job offers it nothing."""
        return isinstance(self.execution, Execution) and self.execution.is_over


@dataclass(frozen=True)
class Ready:
    """All that ``all`` sets up: the thing's name, the image that the update brings, and the offer to the device."""

    thing_name: str
    image: builds.Image
    offer: Offer


class SetUp:
    """The set-up of one run; each object is looked at and made once, whichever tasks ask for it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def thing(self) -> things.Thing:
        """Thing, certificate and the firmware's header."""
        self._run.take_turn()
        self._run.steps.do("certificate", self._certificate)
        thing = self._run.steps.do("thing", self._thing).get()
        self._run.steps.do("header", self._header)
        return thing

    def policy(self) -> None:
        """The IoT policy, attached to the certificate."""
        self._run.take_turn()
        self._run.steps.do("policy", self._policy)

    def bucket(self) -> buckets.Bucket:
        """The bucket for images."""
        self._run.take_turn()
        return self._run.steps.do("bucket", self._bucket).get()

    def role(self) -> roles.Role:
        """The role that the OTA service assumes."""
        self._run.take_turn()
        return self._run.steps.do("role", self._role).get()

    def build(self) -> builds.Image:
        """The signed image."""
        self._run.take_turn()
        return self._run.steps.do("build", self._build).get()

    def update(self) -> Update:
        """The OTA update, once signature and image are proven."""
        self._run.take_turn()
        return self._run.steps.do("update", self._update).get()

    def offer(self) -> Offer:
        """The OTA update, and what its device has done with one that was there before."""
        update = self.update()
        is_reused = self._run.steps.find("update").verb is Verb.REUSED
        found = self._run.steps.do("update as found", self._update_as_found)
        is_new = not (is_reused and found.has_image)  # one that AWS was still making has no image to look at yet
        return Offer(update, is_new, None if is_new else found.execution)

    def everything(self) -> Ready:
        """All that an update needs, and the update; the certificate is still active at the end.

        Raises:
            CertificateError: somebody deactivated it meanwhile.
        """
        ready = Ready(self.thing().name, self.build(), self.offer())
        self._check_still_active()
        return ready

    def head_start(self) -> None:
        """Begin what an update needs and no task before it waits for: bucket, role, and a look at the update."""
        settings = self._run.settings
        if not settings.skip_build:
            settings.require_application()
        self._run.take_turn()
        self._run.steps.begin({"bucket": self._bucket, "role": self._role, "update as found": self._update_as_found})

    def _check_still_active(self) -> None:
        """Look at the certificate again, unless nothing took any time since the first look."""
        outcomes = [self._run.steps.find(name) for name in ("certificate", "thing", "policy", "update")]
        if self._run.settings.skip_build and all(one.verb is Verb.REUSED for one in outcomes):
            return
        certificates.check_active(self._run.cloud.iot, outcomes[0].get().id)

    def _thing_as_found(self) -> tuple[things.Thing | None, certificates.Certificate | None]:
        """What is there of thing and certificate, and the endpoint for the header, looked up side by side."""
        settings, cloud = self._run.settings, self._run.cloud
        arn = desired_state.iot_arn(cloud, f"thing/{settings.thing_name}")
        found, local, _ = side_by_side(
            partial(things.find_thing_by_principals, cloud.iot, settings.thing_name, arn),
            partial(
                certificates.find_local_certificate,
                cloud.iot,
                desired_state.certificate_files(settings),
                existing_arn=settings.existing_certificate_arn,
            ),
            lambda: cloud.data_endpoint,
        )
        return found, local

    def _certificate(self) -> Outcome[certificates.Certificate]:
        found, local = self._run.steps.do("thing as found", self._thing_as_found)
        return certificates.ensure_certificate(
            self._run.cloud.iot,
            desired_state.certificate_files(self._run.settings),
            found=local,
            attached=found.principals if found else (),
            thing_name=self._run.settings.thing_name,
            existing_arn=self._run.settings.existing_certificate_arn,
        )

    def _thing(self) -> Outcome[things.Thing]:
        found, _ = self._run.steps.do("thing as found", self._thing_as_found)
        thing = things.ensure_thing(self._run.cloud.iot, self._run.settings.thing_name, found)
        certificate_arn = self._run.steps.do("certificate", self._certificate).get().arn
        is_ours = self._run.settings.existing_certificate_arn is None
        return things.ensure_attached(self._run.cloud.iot, thing, certificate_arn, is_exclusive=is_ours)

    def _header(self) -> Outcome[headers.Header]:
        settings = self._run.settings
        if not settings.target_application:
            return Outcome("header", Verb.SKIPPED, "aws_clientcredential.h", "target_application is not set")
        with self._sole_build():
            return self._header_as_wanted()

    def _header_as_wanted(self) -> Outcome[headers.Header]:
        settings = self._run.settings
        return headers.ensure_header(
            settings.firmware_root,
            settings.target_application,
            Written(self._run.cloud.data_endpoint, settings.thing_name, self._run.cloud.account_name),
            notes_path=self._run.scope.header_notes_path(settings.firmware_root),
            confirm=self._may_replace_header,
        )

    def _may_replace_header(self, question: str) -> bool:
        choice = self._run.may_replace_header
        return self._run.report.ask(question) if choice is None else choice

    def _policy(self) -> Outcome[policies.Policy]:
        cloud, settings = self._run.cloud, self._run.settings
        self.thing()
        thing, certificate = (self._run.steps.find(name) for name in ("thing", "certificate"))
        policy = policies.ensure_policy(
            cloud.iot,
            settings.policy_name,
            desired_state.policy_document(cloud),
            certificate_arn=certificate.get().arn,
            thing_name=settings.thing_name,
            is_new_certificate=certificate.verb is Verb.CREATED,
            is_likely_absent=certificate.verb is Verb.CREATED and thing.verb is Verb.CREATED,
        )
        is_ours = settings.existing_certificate_arn is None
        if is_ours and policy.verb is not Verb.CREATED and thing.verb is not Verb.REUSED:
            self._check_alone(certificate)
        return policy

    def _check_alone(self, certificate: Outcome[certificates.Certificate]) -> None:
        """Take the certificate back where another run has attached its own, seconds ago, from another folder.

        The policy tells: AWS makes it once, and of two runs that set up a thing only the first one makes it, after
        its certificate is attached. So whoever makes it need not look.

        Raises:
            CertificateError: another run did.
        """
        iot, settings = self._run.cloud.iot, self._run.settings
        name = settings.thing_name
        rivals = certificates.find_rivals(list(things.list_principals(iot, name)), certificate.get().arn)
        if rivals:
            files = desired_state.certificate_files(settings)
            raise certificates.withdraw_certificate(iot, files, certificate, name, rivals)

    def _bucket(self) -> Outcome[buckets.Bucket]:
        cloud, settings = self._run.cloud, self._run.settings
        return buckets.ensure_bucket(
            cloud.s3, settings.bucket_name, cloud.region, cloud.account_id, settings.thing_name
        )

    def _role(self) -> Outcome[roles.Role]:
        cloud, settings = self._run.cloud, self._run.settings
        trust, permissions = desired_state.role_documents(cloud, settings)
        return roles.ensure_role(
            cloud.iam,
            settings.iam_role_name,
            trust=trust,
            permissions=permissions,
            boundary_arn=self._run.boundary_arn,
            thing_name=settings.thing_name,
        )

    def _build(self) -> Outcome[builds.Image]:
        settings = self._run.settings
        if settings.skip_build:
            return builds.skip_build(settings.image_path, settings.signature_path)
        label = f"building {settings.require_application()}"
        with self._sole_build() as tree_lock:
            self._header_as_wanted()  # another run may have written its own thing's name since
            with self._run.report.live_line(label) as on_line:
                request = desired_state.build_request(settings, desired_state.find_stale(settings))
                return builds.ensure_build(
                    request,
                    self._run.scope.build_environment(settings.build_environment),
                    log_path=self._run.scope.own_path / BUILD_LOG,
                    on_line=on_line,
                    held_locks=(*tree_lock, *self._run.turn),
                )

    def _sole_build(self) -> AbstractContextManager[Sequence[int]]:
        settings = self._run.settings
        return builds.sole_build(settings.build_script_path, self._tell_wait, settings.lock_timeout_s)

    def _tell_wait(self) -> None:
        settings = self._run.settings
        self._run.report.note(
            f"another run builds in {settings.firmware_root}: this one waits until that has ended, for "
            f"{settings.lock_timeout_s:g} s at most (Ctrl-C ends it)"
        )

    def _signature(self, image: builds.Image) -> str:
        """The signature's text, once all that can be known here says that the device will take the update.

        Raises:
            SignatureError: it would not, with what mends it.
        """
        findings = verify.verify(self._run.settings, image)
        for finding in of_severity(findings, Severity.WARNING):
            self._run.report.note(f"note: {failure_text([finding])}")
        if mistakes := of_severity(findings, Severity.FATAL):
            raise SignatureError(f"{failure_text(mistakes)}\nNothing was uploaded.")
        return signatures.signature_text(image.signature)

    def _upload(self, image: builds.Image) -> Outcome[images.ImageLocation]:
        key = desired_state.image_key(self._run.settings, image)
        with self._run.report.bytes_bar(f"uploading {image.path.name}", image.size_bytes) as on_progress:
            return images.upload_image(
                self._run.cloud.s3,
                self._run.settings.bucket_name,
                image.file,
                key,
                on_progress,
                account_id=self._run.cloud.account_id,
            )

    def _update_as_found(self) -> FoundUpdate:
        """The update that is there by the name; where it is complete, its image and its device's part of the job."""
        cloud, settings = self._run.cloud, self._run.settings
        update = find_update(cloud.iot, settings.update_name)
        if update is None or update.status != updates.COMPLETE or not update.key:
            return FoundUpdate(update)
        where = (update.bucket, update.key, update.version_id)
        has_image, execution = side_by_side(
            partial(images.is_there, cloud.s3, *where, account_id=cloud.account_id),
            partial(attempt, partial(find_execution, cloud.iot, job_id_of(update.update_id), settings.thing_name)),
        )
        return FoundUpdate(update, has_image, execution)

    def _update(self) -> Outcome[Update]:
        settings = self._run.settings
        thing, image = self.thing(), self.build()
        builds.check_unchanged(image)
        request = desired_state.update_request(
            settings, image, self._signature(image), thing_arn=thing.arn, role_arn=self.role().arn
        )
        self.bucket()
        found = self._run.steps.do("update as found", self._update_as_found)
        existing = found.update
        if existing is None or not found.has_image or not has_same_content(existing, request):
            location = self._run.steps.do("image object", partial(self._upload, image)).get()
            request = replace(request, version_id=location.version_id)
        with self._run.report.live_line(f"waiting for AWS to create {request.update_id}"):
            return updates.ensure_update(
                self._run.cloud.iot,
                request,
                existing=existing,
                may_replace_running=settings.replace_running_update,
                patience=self.patience(),
            )

    def patience(self) -> Patience:
        """The bounds of waiting; a young role, whichever run made it, gets the rest of the time that IAM needs."""
        settings, role = self._run.settings, self.role()
        left_s = role.left_to_settle_s(settings.role_settle_timeout_s)
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=max(left_s, min(SETTLED_ROLE_TIMEOUT_S, settings.role_settle_timeout_s)),
        )
