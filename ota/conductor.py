"""Who does what in which order: the one place where the nouns meet.

A :class:`Conductor` lives as long as one command line. It opens settings and cloud on first use, remembers what every
step found or made, and hands one noun's result to the next. Bucket and role need nothing of the thing, so ``update``
gives them a head start: they run beside it, and their own tasks wait for them and print their lines.

It stays itself when copied, because invoke copies what stands in its configuration between tasks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ota import (
    buckets,
    builds,
    certificates,
    headers,
    images,
    policies,
    roles,
    signature_files,
    signatures,
    things,
    updates,
)
from ota.cloud import Cloud, side_by_side
from ota.errors import InTheWay, OtaError
from ota.firmware import header_path
from ota.outcomes import Outcome, Verb
from ota.readers import CleanBuild, OverwriteHeader
from ota.report import Report
from ota.scope import Scope
from ota.update_requests import Update, UpdateRequest, has_same_content
from ota.update_waits import Patience, find_update

if TYPE_CHECKING:
    from ota.settings import Settings

T = TypeVar("T")
BUILD_LOG = "build.log"
SETTLED_ROLE_TIMEOUT_S = 10.0


class Conductor:
    """One command line's work.

    Attributes:
        report: where lines go.
        scope: which settings and which cloud the command line is about.
    """

    def __init__(self, root_path: Path, report: Report | None = None) -> None:
        self.report = report or Report()
        self.scope = Scope(root_path, os.environ, self.report)
        self._done: dict[str, Any] = {}
        self._begun: dict[str, Future[Any]] = {}

    def __copy__(self) -> Conductor:
        return self

    @cached_property
    def cloud(self) -> Cloud:
        """The cloud, opened and named in the run's first line."""
        return self.scope.open_cloud()

    @cached_property
    def settings(self) -> Settings:
        """All settings, with account and region filled in."""
        return self.scope.settings.with_account(self.cloud.account_id, self.cloud.region)

    def thing(self) -> things.Thing:
        """Thing, certificate and the firmware's header."""
        self._once("certificate", self._certificate)
        thing = self._once("thing", self._thing).get()
        self._once("header", self._header)
        return thing

    def policy(self) -> None:
        """The IoT policy, attached to the certificate."""
        self._once("policy", self._policy)

    def bucket(self) -> buckets.Bucket:
        """The bucket for images."""
        return self._once("bucket", self._bucket).get()

    def role(self) -> roles.Role:
        """The role that the OTA service assumes."""
        return self._once("role", self._role).get()

    def build(self) -> builds.Image:
        """The signed image."""
        return self._once("build", self._build).get()

    def update(self) -> Update:
        """The OTA update, once signature and image are proven."""
        return self._once("update", self._update).get()

    def head_start(self) -> None:
        """Begin what an update needs and no task before it waits for: bucket, role, and a look at the update."""
        settings = self.settings
        if not settings.skip_build:
            settings.require_application()
        pool = ThreadPoolExecutor(max_workers=3)
        looks: dict[str, Callable[[], Any]] = {
            "bucket": self._bucket,
            "role": self._role,
            "update as found": self._update_as_found,
        }
        for name, work in looks.items():
            if name not in self._done:
                self._begun[name] = pool.submit(work)
        pool.shutdown(wait=False)

    def wind_up(self) -> None:
        """After a failure: wait for what was begun and tell what it came to, so that nothing happens unsaid."""
        for name, future in self._begun.items():
            if future.exception() is None and isinstance(future.result(), Outcome):
                self.report.outcome(future.result())
            elif isinstance(future.exception(), OtaError):
                self.report.note(f"{name}: {future.exception()}")
        self._begun.clear()

    def _once(self, name: str, work: Callable[[], T]) -> T:
        """What this step came to: remembered, or begun before, or done now. Its line is printed the first time."""
        if name not in self._done:
            begun = self._begun.pop(name, None)
            self._done[name] = begun.result() if begun else work()
            if isinstance(self._done[name], Outcome):
                self.report.outcome(self._done[name])
        result: T = self._done[name]
        return result

    def _thing_as_found(self) -> tuple[things.Thing | None, certificates.Certificate | None]:
        """What is there of thing and certificate, and the endpoint for the header, looked up side by side."""
        settings, iot = self.settings, self.cloud.iot
        found, local, _ = side_by_side(
            partial(things.find_thing, iot, settings.thing_name),
            partial(
                certificates.find_local_certificate,
                iot,
                certificate_files(settings),
                existing_arn=settings.existing_certificate_arn,
            ),
            lambda: self.cloud.data_endpoint,
        )
        return found, local

    def _certificate(self) -> Outcome[certificates.Certificate]:
        found, local = self._once("thing as found", self._thing_as_found)
        return certificates.ensure_certificate(
            self.cloud.iot,
            certificate_files(self.settings),
            found=local,
            attached=found.principals if found else (),
            thing_name=self.settings.thing_name,
            existing_arn=self.settings.existing_certificate_arn,
        )

    def _thing(self) -> Outcome[things.Thing]:
        found, _ = self._once("thing as found", self._thing_as_found)
        thing = things.ensure_thing(self.cloud.iot, self.settings.thing_name, found)
        certificate_arn = self._once("certificate", self._certificate).get().arn
        is_ours = self.settings.existing_certificate_arn is None
        return things.ensure_attached(self.cloud.iot, thing, certificate_arn, is_exclusive=is_ours)

    def _header(self) -> Outcome[headers.Header]:
        settings = self.settings
        if not settings.target_application:
            return Outcome("header", Verb.SKIPPED, "aws_clientcredential.h", "target_application is not set")
        return headers.ensure_header(
            settings.firmware_root,
            settings.target_application,
            self.cloud.data_endpoint,
            settings.thing_name,
            confirm=self._may_replace_header,
        )

    def _may_replace_header(self, question: str) -> bool:
        if self.scope.owns(self.settings.firmware_root):
            return True
        choice = self.settings.overwrite_header
        return self.report.ask(question) if choice is OverwriteHeader.ASK else choice is OverwriteHeader.ALWAYS

    def _policy(self) -> Outcome[policies.Policy]:
        cloud, settings = self.cloud, self.settings
        self.thing()
        certificate = self._once("certificate", self._certificate)
        return policies.ensure_policy(
            cloud.iot,
            settings.policy_name,
            policies.device_policy_document(cloud.partition, cloud.region, cloud.account_id),
            certificate_arn=certificate.get().arn,
            thing_name=settings.thing_name,
            is_new_certificate=certificate.verb is Verb.CREATED,
        )

    def _bucket(self) -> Outcome[buckets.Bucket]:
        cloud, settings = self.cloud, self.settings
        return buckets.ensure_bucket(
            cloud.s3, settings.bucket_name, cloud.region, cloud.account_id, settings.thing_name
        )

    def _role(self) -> Outcome[roles.Role]:
        cloud, settings = self.cloud, self.settings
        role_arn = roles.role_arn(cloud.partition, cloud.account_id, settings.iam_role_name)
        return roles.ensure_role(
            cloud.iam,
            settings.iam_role_name,
            trust=roles.role_trust_document(cloud.account_id, cloud.region, cloud.partition),
            permissions=roles.role_permissions_document(
                cloud.partition, cloud.region, cloud.account_id, settings.bucket_name, role_arn
            ),
            boundary_arn=settings.permissions_boundary,
            thing_name=settings.thing_name,
        )

    def _build(self) -> Outcome[builds.Image]:
        settings = self.settings
        if settings.skip_build:
            return builds.skip_build(settings.image_path, settings.signature_path)
        with self.report.live_line(f"building {settings.require_application()}") as on_line:
            return builds.ensure_build(self._build_request(), log_path=self.scope.own_path / BUILD_LOG, on_line=on_line)

    def _build_request(self) -> builds.BuildRequest:
        settings = self.settings
        application = settings.require_application()
        header = header_path(settings.firmware_root, application)
        reason = builds.needs_clean(header, settings.certificate_path, settings.image_path)
        return builds.BuildRequest(
            firmware_root=settings.firmware_root,
            build_script_path=settings.build_script_path,
            target_application=application,
            certificate_path=settings.certificate_path,
            private_key_path=settings.private_key_path,
            target_platform=settings.target_platform,
            inference=settings.inference,
            audio=settings.audio,
            toolchain=settings.toolchain,
            clean=reason is not None
            if settings.clean_build is CleanBuild.AUTO
            else settings.clean_build is CleanBuild.ALWAYS,
            image_path=settings.image_path,
            signature_path=settings.signature_path,
        )

    def _signature(self, image: builds.Image) -> str:
        """The signature's text, checked and, where the public key is there, proven against the image."""
        settings = self.settings
        signatures.check_algorithms(settings.hash_algorithm, settings.signature_algorithm)
        signature = signature_files.read_signature(image.signature_path)
        if not (settings.code_signing_public_key.is_file() or settings.is_chosen("code_signing_public_key")):
            self.report.note(
                f"note: the signature is not proven, for there is no public key at {settings.code_signing_public_key}; "
                "set code_signing_public_key to where it is."
            )
            return signature
        signatures.verify_signature(
            image.path,
            signature,
            settings.code_signing_public_key,
            signature_algorithm=settings.signature_algorithm,
            hash_algorithm=settings.hash_algorithm,
        )
        return signature

    def _upload(self, image: builds.Image) -> Outcome[images.ImageLocation]:
        key = images.image_key(self.settings.thing_name, image.sha256, image.path.name)
        with self.report.bytes_bar(f"uploading {image.path.name}", image.size_bytes) as on_progress:
            return images.upload_image(
                self.cloud.s3,
                self.settings.bucket_name,
                image.path,
                key,
                image.sha256,
                on_progress,
                account_id=self.cloud.account_id,
            )

    def _update_as_found(self) -> Update | None:
        return find_update(self.cloud.iot, self.settings.update_name)

    def _update(self) -> Outcome[Update]:
        settings = self.settings
        thing, image = self.thing(), self.build()
        request = self._update_request(thing, image, self._signature(image))
        existing = self._once("update as found", self._update_as_found)
        if existing is None or not has_same_content(existing, request):
            location = self._once("image object", partial(self._upload, image)).get()
            request = replace(request, version_id=location.version_id)
        with self.report.live_line(f"waiting for AWS to create {request.update_id}"):
            return updates.ensure_update(
                self.cloud.iot,
                request,
                existing=existing,
                may_replace_running=settings.replace_running_update,
                patience=self._patience(),
            )

    def _update_request(self, thing: things.Thing, image: builds.Image, signature: str) -> UpdateRequest:
        settings = self.settings
        return UpdateRequest(
            update_id=settings.update_name,
            thing_name=thing.name,
            thing_arn=thing.arn,
            role_arn=self.role().arn,
            bucket=self.bucket().name,
            key=images.image_key(thing.name, image.sha256, image.path.name),
            image_sha256=image.sha256,
            file_name=settings.image_file_name,
            signature=signature,
            hash_algorithm=settings.hash_algorithm,
            signature_algorithm=settings.signature_algorithm,
        )

    def _patience(self) -> Patience:
        """The bounds of waiting; a role made in this run gets the time that IAM needs to settle."""
        settings = self.settings
        is_settled = self._once("role", self._role).verb is Verb.REUSED
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=min(SETTLED_ROLE_TIMEOUT_S, settings.role_settle_timeout_s)
            if is_settled
            else settings.role_settle_timeout_s,
        )

    def summary(self) -> None:
        """What stands now, and what comes next."""
        image, update = self.build(), self.update()
        self.report.say(
            f"Ready: {self.thing().name} is offered {image.path.name} ({image.size_bytes:,} bytes) "
            f"as update {update.update_id}.\n"
            "Next: start the device and it takes the update; `invoke clean` takes everything down again."
        )

    def clean(self, *, force: bool, local: bool) -> None:
        """Everything gone again, and proven gone."""
        from ota.teardown import Teardown

        with self.report.live_line("deleting"):
            teardown = Teardown(self.cloud, self.settings, certificate_files(self.settings), is_forced=force)
            remains = teardown.run(self.report.outcome)
        if local and not remains:
            self.report.outcome(self._delete_local())
        if remains:
            raise InTheWay("Not everything is gone.\n" + "\n".join(remains))
        self.report.say(f"Proven: nothing that this tool made for {self.settings.thing_name} is left.")

    def _delete_local(self) -> Outcome[None]:
        settings = self.settings
        if settings.existing_certificate_arn:
            name = settings.private_key_path.name
            return Outcome("files", Verb.SKIPPED, name, "of the certificate that existing_certificate_arn names, stay")
        return certificates.delete_local(certificate_files(settings))


def certificate_files(settings: Settings) -> certificates.CertificateFiles:
    """Where the device's identity is on this machine."""
    return certificates.CertificateFiles(settings.private_key_path, settings.public_key_path, settings.certificate_path)
