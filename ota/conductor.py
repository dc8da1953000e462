"""Who does what in which order: the one place where the nouns meet.

A :class:`Conductor` lives as long as one command line. It opens settings and cloud on first use, remembers what every
step found or made, and hands one noun's result to the next. Bucket and role need nothing of the thing, so ``update``
gives them a head start: they run beside it, and their own tasks wait for them and print their lines.

It stays itself when copied, because invoke copies what stands in its configuration between tasks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
    things,
    updates,
    verification,
    wanted,
)
from ota.cloud import Cloud, side_by_side
from ota.errors import CredentialsError, InTheWay, OtaError, SignatureError, from_boto
from ota.findings import Severity, failure_text, of_severity
from ota.outcomes import Outcome, Verb
from ota.plans import Site
from ota.readers import OverwriteHeader
from ota.report import Report
from ota.scope import Scope
from ota.update_requests import Update, has_same_content
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

    @cached_property
    def loose_settings(self) -> Settings:
        """The same for tasks that name their objects themselves, so that nothing has to be set."""
        return self.scope.loose_settings.with_account(self.cloud.account_id, self.cloud.region)

    def site(self, cloud: Cloud | None = None, settings: Settings | None = None) -> Site:
        """What the look-only tasks look at; with another cloud or settings where this command line's cannot be had."""
        cloud = cloud or self.cloud
        settings = (settings or self.scope.settings).with_account(cloud.account_id, cloud.region)
        return Site(
            cloud, settings, self._boundary_arn(settings), self._header_choice(settings), prefix=self.scope.prefix
        )

    def look(self, show: Callable[..., None], *, as_json: bool, **options: Any) -> None:
        """One look-only task: ``show`` is one of ``looks``."""
        if as_json:
            self.report.keep_stdout_clear()
        show(self.site(), self.report, as_json=as_json, **options)

    def check_up(self, *, as_json: bool) -> None:
        """Everything that would make ``all`` fail; works where settings or credentials do not."""
        from ota.looks import show_checkup

        if as_json:
            self.report.keep_stdout_clear()
        show_checkup(self.scope, self.report, self.site, as_json=as_json)

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

    def stop_sandbox(self) -> None:
        """No stand-in any more; tasks after this one start another."""
        self.scope.stop_sandbox()
        self._forget()

    def reset_sandbox(self) -> None:
        """An empty stand-in for the tasks after this one."""
        self.scope.reset_sandbox()
        self._forget()

    def _forget(self) -> None:
        """The cloud is another one, and nothing that was found or made is in it."""
        self._done.clear()
        for name in ("cloud", "settings", "loose_settings"):
            vars(self).pop(name, None)

    def wind_up(self) -> None:
        """After a failure: wait for what was begun and tell what it came to, so that nothing happens unsaid."""
        begun, self._begun = self._begun, {}
        for name, future in begun.items():
            self._tell(name, future)

    def _tell(self, name: str, begun: Future[Any]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            result = begun.result()
        except OtaError as error:
            self._tell_failure(name, error)
        except (BotoCoreError, ClientError) as error:
            self._tell_failure(name, from_boto(error))
        else:
            if isinstance(result, Outcome):
                self.report.outcome(result)

    def _tell_failure(self, name: str, error: OtaError) -> None:
        """Credentials fail for every call alike: the failure that ended the run says it, once."""
        if not isinstance(error, CredentialsError):
            self.report.note(f"{name}: {error}")

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
                wanted.certificate_files(settings),
                existing_arn=settings.existing_certificate_arn,
            ),
            lambda: self.cloud.data_endpoint,
        )
        return found, local

    def _certificate(self) -> Outcome[certificates.Certificate]:
        found, local = self._once("thing as found", self._thing_as_found)
        return certificates.ensure_certificate(
            self.cloud.iot,
            wanted.certificate_files(self.settings),
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
        choice = self._header_choice(self.settings)
        return self.report.ask(question) if choice is None else choice

    def _header_choice(self, settings: Settings) -> bool | None:
        """Whether values put into the header by hand are replaced; None where somebody is there to be asked."""
        if self.scope.owns(settings.firmware_root):
            return True
        if settings.overwrite_header is OverwriteHeader.ASK:
            return None if self.report.can_ask else False
        return settings.overwrite_header is OverwriteHeader.ALWAYS

    def _policy(self) -> Outcome[policies.Policy]:
        cloud, settings = self.cloud, self.settings
        self.thing()
        certificate = self._once("certificate", self._certificate)
        return policies.ensure_policy(
            cloud.iot,
            settings.policy_name,
            wanted.policy_document(cloud),
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
        trust, permissions = wanted.role_documents(cloud, settings)
        return roles.ensure_role(
            cloud.iam,
            settings.iam_role_name,
            trust=trust,
            permissions=permissions,
            boundary_arn=self._boundary_arn(settings),
            thing_name=settings.thing_name,
        )

    def _boundary_arn(self, settings: Settings) -> str | None:
        """The permissions boundary; the sandbox has none of the user's account, so there only a flag's counts."""
        is_flag = settings.origins["permissions_boundary"].source == "with flag"
        return settings.permissions_boundary if is_flag or not self.scope.is_sandbox else None

    def _build(self) -> Outcome[builds.Image]:
        settings = self.settings
        if settings.skip_build:
            return builds.skip_build(settings.image_path, settings.signature_path)
        with self.report.live_line(f"building {settings.require_application()}") as on_line:
            request = wanted.build_request(settings, wanted.find_stale(settings))
            return builds.ensure_build(request, log_path=self.scope.own_path / BUILD_LOG, on_line=on_line)

    def _signature(self, image: builds.Image) -> str:
        """The signature's text, once all that can be known here says that the device will take the update.

        Raises:
            SignatureError: it would not, with what mends it.
        """
        findings = verification.verify(self.settings, prefix=self.scope.prefix)
        for finding in of_severity(findings, Severity.WARNING):
            self.report.note(f"note: {failure_text([finding])}")
        if mistakes := of_severity(findings, Severity.FATAL):
            raise SignatureError(f"{failure_text(mistakes)}\nNothing was uploaded.")
        return signature_files.read_signature(image.signature_path)

    def _upload(self, image: builds.Image) -> Outcome[images.ImageLocation]:
        key = wanted.image_key(self.settings, image)
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
        request = wanted.update_request(
            settings, image, self._signature(image), thing_arn=thing.arn, role_arn=self.role().arn
        )
        self.bucket()
        existing = self._once("update as found", self._update_as_found)
        if existing is None or existing.status != updates.COMPLETE or not has_same_content(existing, request):
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
            f"Next: start the device and it takes the update, or prove it first with a virtual one: "
            f"`{self.scope.prefix} device`; `{self.scope.prefix} clean` takes everything down again."
        )

    def device(self, **flags: Any) -> None:
        """A virtual device takes the update, or many do; ``device_runs.read_wish`` has the flags."""
        from ota import device_runs

        bench = device_runs.Bench(self.report, self.scope, lambda: self.cloud, self._rehearse)
        device_runs.run(bench, device_runs.read_wish(**flags))

    def _rehearse(self, thing_names: Sequence[str]) -> None:
        """Things of these names, and an update for all of them."""
        from ota import rehearsals

        self.policy()
        rehearsals.prepare(self.cloud, self.settings, self.report, self.update(), thing_names, self._patience())

    def verify(self, *, running_version: str | None, as_json: bool) -> None:
        """Whether image, signature, key and settings belong together, told without AWS."""
        findings = verification.verify(self.scope.settings, running_version=running_version, prefix=self.scope.prefix)
        mistakes = of_severity(findings, Severity.FATAL)
        if as_json:
            self.report.document({"ok": not mistakes, "findings": [finding.as_json() for finding in findings]})
        else:
            self.report.findings(findings)
        if mistakes:
            subjects = ", ".join(dict.fromkeys(finding.subject for finding in mistakes))
            raise SignatureError(f"The device would not take this update: {subjects}.")

    def explain(self, text: str, *, as_json: bool) -> None:
        """What a code or a status means, and what to do about it."""
        from ota.explanations import show

        show(self.report, text, as_json=as_json)

    def clean(self, *, force: bool, local: bool, all_certificates: bool = False) -> None:
        """Everything gone again, and proven gone; for every thing with a certificate here where that is asked for."""
        self._done.clear()  # what tasks before this one made is no longer there for those after it
        clean = partial(self._clean, force=force, local=local)
        if not all_certificates:
            clean(self.settings)
            return
        from ota.cleaning import clean_every

        clean_every(self.loose_settings, self.report, clean)

    def _clean(self, settings: Settings, *, force: bool, local: bool) -> None:
        from ota.teardown import Teardown

        with self.report.live_line("deleting"):
            teardown = Teardown(self.cloud, settings, wanted.certificate_files(settings), is_forced=force)
            remains = teardown.run(self.report.outcome)
        if local and not remains:
            self.report.outcome(_delete_local(settings, is_needed=teardown.keeps_certificate))
        if remains:
            raise InTheWay("Not everything is gone.\n" + "\n".join(remains))
        self.report.say(f"Proven: nothing that this tool made for {settings.thing_name} is left.")

    def show_lists(self, plural: str, *, limit: str, pattern: str, mine: bool, as_json: bool) -> None:
        """What is in the account, of one noun or of all."""
        from ota import by_hand
        from ota.listings import Query

        if as_json:
            self.report.keep_stdout_clear()
        rows = by_hand.read_limit(limit, self.scope.loose_settings.max_listed)
        by_hand.show_lists(self.cloud, self.report, plural, Query(rows, pattern, is_ours=mine), as_json=as_json)

    def delete(self, noun: str, names: Sequence[str], *, force: bool, prune: bool, yes: bool) -> None:
        """Objects that somebody names, gone."""
        from ota import by_hand

        settings = self.loose_settings
        wish = by_hand.Wish(
            tuple(names), force=force or settings.force_delete, prune=prune, yes=yes, prefix=self.scope.prefix
        )
        try:
            by_hand.delete_objects(self.cloud, settings, self.report, noun, wish, self._patience_to_delete())
        finally:
            self._done.clear()  # it may be gone for the tasks after this one

    def _patience_to_delete(self) -> Patience:
        """As ``_patience``, but no role is made: only one that the command line made before is given time to settle."""
        settings = self.loose_settings
        role = self._done.get("role")
        is_new = isinstance(role, Outcome) and role.verb is not Verb.REUSED
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=settings.role_settle_timeout_s if is_new else 0.0,
        )


def _delete_local(settings: Settings, *, is_needed: bool) -> Outcome[None]:
    if is_needed or settings.existing_certificate_arn:
        return Outcome("files", Verb.SKIPPED, settings.private_key_path.name, "of a certificate that stays")
    return certificates.delete_local(wanted.certificate_files(settings))
