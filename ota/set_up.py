"""Sets up what an update needs, from the thing to the update itself: who does what in which order.

Here the nouns meet: what one needs of another is handed on. Bucket and role need nothing of the thing, so ``update``
gives them a head start: they run beside it, and their own tasks wait for them and print their lines.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import (
    buckets,
    build_locks,
    builds,
    certificates,
    headers,
    images,
    policies,
    roles,
    signature_files,
    things,
    updates,
    verification,
    wanted,
)
from ota.errors import SignatureError
from ota.findings import Severity, failure_text, of_severity
from ota.header_notes import Written
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side
from ota.update_requests import Update, has_same_content
from ota.update_waits import Patience, find_update

if TYPE_CHECKING:
    from ota.run import Run

BUILD_LOG = "build.log"
SETTLED_ROLE_TIMEOUT_S = 10.0


class SetUp:
    """The set-up of one run; each object is looked at and made once, whichever tasks ask for it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def thing(self) -> things.Thing:
        """Thing, certificate and the firmware's header."""
        self._run.steps.do("certificate", self._certificate)
        thing = self._run.steps.do("thing", self._thing).get()
        self._run.steps.do("header", self._header)
        return thing

    def policy(self) -> None:
        """The IoT policy, attached to the certificate."""
        self._run.steps.do("policy", self._policy)

    def bucket(self) -> buckets.Bucket:
        """The bucket for images."""
        return self._run.steps.do("bucket", self._bucket).get()

    def role(self) -> roles.Role:
        """The role that the OTA service assumes."""
        return self._run.steps.do("role", self._role).get()

    def build(self) -> builds.Image:
        """The signed image."""
        return self._run.steps.do("build", self._build).get()

    def update(self) -> Update:
        """The OTA update, once signature and image are proven."""
        return self._run.steps.do("update", self._update).get()

    def head_start(self) -> None:
        """Begin what an update needs and no task before it waits for: bucket, role, and a look at the update."""
        settings = self._run.settings
        if not settings.skip_build:
            settings.require_application()
        self._run.steps.begin({"bucket": self._bucket, "role": self._role, "update as found": self._update_as_found})

    def summary(self) -> None:
        """What stands now, and what comes next; where a virtual device runs already, how it takes the update."""
        from ota.following import follow_device

        image, update, name = self.build(), self.update(), self.thing().name
        self._run.report.say(
            f"Ready: {name} is offered {image.path.name} ({image.size_bytes:,} bytes) as update {update.update_id}."
        )
        if not follow_device(self._run.site(), self._run.report, self._run.scope.device_path / name):
            self._run.report.say(
                "Next: start the device and it takes the update, or prove it first with a virtual one: "
                "`invoke device`; `invoke clean` takes everything down again."
            )

    def _thing_as_found(self) -> tuple[things.Thing | None, certificates.Certificate | None]:
        """What is there of thing and certificate, and the endpoint for the header, looked up side by side."""
        settings, iot = self._run.settings, self._run.cloud.iot
        found, local, _ = side_by_side(
            partial(things.find_thing, iot, settings.thing_name),
            partial(
                certificates.find_local_certificate,
                iot,
                wanted.certificate_files(settings),
                existing_arn=settings.existing_certificate_arn,
            ),
            lambda: self._run.cloud.data_endpoint,
        )
        return found, local

    def _certificate(self) -> Outcome[certificates.Certificate]:
        found, local = self._run.steps.do("thing as found", self._thing_as_found)
        return certificates.ensure_certificate(
            self._run.cloud.iot,
            wanted.certificate_files(self._run.settings),
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
        with build_locks.sole_build(settings.build_script_path, self._tell_wait):
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
        choice = self._run.header_choice(self._run.settings)
        return self._run.report.ask(question) if choice is None else choice

    def _policy(self) -> Outcome[policies.Policy]:
        cloud, settings = self._run.cloud, self._run.settings
        self.thing()
        certificate = self._run.steps.do("certificate", self._certificate)
        return policies.ensure_policy(
            cloud.iot,
            settings.policy_name,
            wanted.policy_document(cloud),
            certificate_arn=certificate.get().arn,
            thing_name=settings.thing_name,
            is_new_certificate=certificate.verb is Verb.CREATED,
        )

    def _bucket(self) -> Outcome[buckets.Bucket]:
        cloud, settings = self._run.cloud, self._run.settings
        return buckets.ensure_bucket(
            cloud.s3, settings.bucket_name, cloud.region, cloud.account_id, settings.thing_name
        )

    def _role(self) -> Outcome[roles.Role]:
        cloud, settings = self._run.cloud, self._run.settings
        trust, permissions = wanted.role_documents(cloud, settings)
        return roles.ensure_role(
            cloud.iam,
            settings.iam_role_name,
            trust=trust,
            permissions=permissions,
            boundary_arn=self._run.boundary_arn(settings),
            thing_name=settings.thing_name,
        )

    def _build(self) -> Outcome[builds.Image]:
        settings = self._run.settings
        if settings.skip_build:
            return builds.skip_build(settings.image_path, settings.signature_path)
        label = f"building {settings.require_application()}"
        with build_locks.sole_build(settings.build_script_path, self._tell_wait):
            self._header_as_wanted()  # another run may have written its own thing's name since
            with self._run.report.live_line(label) as on_line:
                request = wanted.build_request(settings, wanted.find_stale(settings))
                return builds.ensure_build(request, log_path=self._run.scope.own_path / BUILD_LOG, on_line=on_line)

    def _tell_wait(self) -> None:
        root = self._run.settings.firmware_root
        self._run.report.note(f"another run builds in {root}: this one waits until that has ended (Ctrl-C ends it)")

    def _signature(self, image: builds.Image) -> str:
        """The signature's text, once all that can be known here says that the device will take the update.

        Raises:
            SignatureError: it would not, with what mends it.
        """
        findings = verification.verify(self._run.settings)
        for finding in of_severity(findings, Severity.WARNING):
            self._run.report.note(f"note: {failure_text([finding])}")
        if mistakes := of_severity(findings, Severity.FATAL):
            raise SignatureError(f"{failure_text(mistakes)}\nNothing was uploaded.")
        return signature_files.read_signature(image.signature_path)

    def _upload(self, image: builds.Image) -> Outcome[images.ImageLocation]:
        key = wanted.image_key(self._run.settings, image)
        with self._run.report.bytes_bar(f"uploading {image.path.name}", image.size_bytes) as on_progress:
            return images.upload_image(
                self._run.cloud.s3,
                self._run.settings.bucket_name,
                image.path,
                key,
                image.sha256,
                on_progress,
                account_id=self._run.cloud.account_id,
            )

    def _update_as_found(self) -> tuple[Update | None, bool]:
        """The update that is there by the name, and whether the image that it brings still is."""
        cloud = self._run.cloud
        update = find_update(cloud.iot, self._run.settings.update_name)
        if update is None or update.status != updates.COMPLETE or not update.key:
            return update, False
        where = (update.bucket, update.key, update.version_id)
        return update, images.is_there(cloud.s3, *where, account_id=cloud.account_id)

    def _update(self) -> Outcome[Update]:
        settings = self._run.settings
        thing, image = self.thing(), self.build()
        build_locks.check_unchanged(image)
        request = wanted.update_request(
            settings, image, self._signature(image), thing_arn=thing.arn, role_arn=self.role().arn
        )
        self.bucket()
        existing, has_image = self._run.steps.do("update as found", self._update_as_found)
        if existing is None or not has_image or not has_same_content(existing, request):
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
        """The bounds of waiting; a role made in this run gets the time that IAM needs to settle."""
        settings = self._run.settings
        is_settled = self._run.steps.do("role", self._role).verb is Verb.REUSED
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=min(SETTLED_ROLE_TIMEOUT_S, settings.role_settle_timeout_s)
            if is_settled
            else settings.role_settle_timeout_s,
        )
