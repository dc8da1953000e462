"""Sets up what an update needs, from the thing to the update itself, by carrying out the changes of ``plan.py``.

Each noun gets here what it needs of the others. Bucket and role need nothing of the thing, so ``update`` starts them
first: they run side by side with it, and their own tasks wait for them and print their lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import desired_state, images, plan, policies, targets, things
from ota.buckets import buckets
from ota.certificates import certificates
from ota.certificates import decisions as certificate_decisions
from ota.errors import OtaError, SignatureError
from ota.firmware import builds, header_templates, headers, signatures, verify
from ota.firmware.tree import find_header_path
from ota.messages import message
from ota.nouns import BUCKET, NOUNS, UPDATE
from ota.outcomes import Action, Change, Outcome, Severity, Verb, failure_text, of_severity
from ota.plan import find_update_with_job
from ota.roles import roles
from ota.threads import side_by_side
from ota.updates import updates
from ota.updates.jobs import ENDED_JOB, Execution, Job, Patience
from ota.updates.requests import BEING_CREATED, BEING_DELETED, COMPLETE, Update
from ota.updates.updates import FoundUpdate

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.records import Noun
    from ota.run import Run

BUILD_LOG = "build.log"
SETTLED_ROLE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class UpdateOffer:
    """An update, and what its device has done with it.

    Attributes:
        update: it exists, and so does its job.
        is_new: this run made it, or found it without an image, so its device cannot have finished with it.
        execution: the device's part of the job, or why AWS did not tell; None where the job has not reached the device,
            and where the update is for more than one thing.
        job: the job of an update for more than one thing, or why AWS did not tell.
    """

    update: Update
    is_new: bool
    execution: Execution | OtaError | None = None
    job: Job | OtaError | None = None

    @property
    def is_over(self) -> bool:
        """Whether the devices have finished with the update, so that the job offers them nothing."""
        if isinstance(self.job, Job):
            return self.job.status in ENDED_JOB
        return isinstance(self.execution, Execution) and self.execution.is_over


@dataclass(frozen=True)
class Ready:
    """All that ``all`` sets up.

    Attributes:
        thing_name: the thing's name.
        image: what the update brings.
        offer: the update, and what its devices have done with it.
        target: who gets it, in words: ``lamp``, ``the group lamps``.
    """

    thing_name: str
    image: builds.Image
    offer: UpdateOffer
    target: str

    @property
    def is_for_many(self) -> bool:
        """Whether the update is for more than the one thing of the settings."""
        return self.target != self.thing_name


def make_bucket(cloud: Cloud, change: Change) -> Outcome[buckets.Bucket]:
    """Carry out the change of the bucket."""
    return buckets.make_bucket(cloud.s3, change)


class SetUp:
    """The set-up of one run; each object is looked at and made once, whichever tasks need it."""

    def __init__(self, run: Run, nouns: Sequence[Noun] = NOUNS) -> None:
        self._run = run
        independent = (noun for noun in nouns if noun.find)
        self._nouns = {noun.name: noun for noun in sorted(independent, key=lambda noun: noun.set_up or 0)}

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

    def independent(self, name: str) -> Any:
        """The object of a noun that needs nothing of another one, such as the bucket."""
        self._run.take_turn()
        return self._run.steps.do(name, partial(self._independent, self._nouns[name])).get()

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

    def offer(self) -> UpdateOffer:
        """The OTA update, and what its device has done with one that was there before."""
        update = self.update()
        is_reused = self._run.steps.find("update").verb is Verb.REUSED
        found = self._run.steps.do("update as found", self._find_update)
        was_complete = found.update is not None and found.update.status == COMPLETE
        is_new = not (is_reused and was_complete)
        return UpdateOffer(update, is_new) if is_new else UpdateOffer(update, is_new, found.execution, found.job)

    def everything(self) -> Ready:
        """All that an update needs, and the update; the certificate is still active at the end.

        Raises:
            CertificateError: somebody deactivated it meanwhile.
        """
        for name, noun in self._nouns.items():
            if noun.is_wanted(self._run.settings):
                self.independent(name)
        target = targets.target_name(self._run.cloud, self._run.settings)
        ready = Ready(self.thing().name, self.build(), self.offer(), target)
        self._check_still_active()
        return ready

    def head_start(self) -> None:
        """Start in the background what does not depend on the thing: bucket, role, and a look at the update."""
        settings = self._run.settings
        if not settings.skip_build:
            settings.build_name  # noqa: B018 - reports that target_application is missing before the first call
        self._run.take_turn()
        needed = [noun for name, noun in self._nouns.items() if name in UPDATE.needs]
        independent = {noun.name: partial(self._independent, noun) for noun in needed}
        self._run.steps.begin({**independent, "role": self._role, "update as found": self._find_update})

    def _check_still_active(self) -> None:
        """Look at the certificate again, unless the run took no time since the first look."""
        outcomes = [self._run.steps.find(name) for name in ("certificate", "thing", "policy", "update")]
        if self._run.settings.skip_build and all(one.verb is Verb.REUSED for one in outcomes):
            return
        certificate_decisions.check_active(self._run.cloud.iot, outcomes[0].get().id)

    def _identity(self) -> tuple[Change, Change]:
        """The changes of certificate and thing, and the endpoint for the header, looked up side by side."""
        self._run.settings  # noqa: B018 - reports a mistake in them before the first call
        certificate, thing = side_by_side(
            partial(plan.plan_identity, self._run), lambda: self._run.cloud.data_endpoint
        )[0]
        return certificate, thing

    def _certificate(self) -> Outcome[certificates.Certificate]:
        change, _ = self._run.steps.do("identity", self._identity)
        return certificate_decisions.make_certificate(self._run.cloud.iot, change)

    def _thing(self) -> Outcome[things.Thing]:
        _, change = self._run.steps.do("identity", self._identity)
        certificate_arn = self._run.steps.do("certificate", self._certificate).get().arn
        is_ours = self._run.settings.existing_certificate_arn is None
        return things.make_thing(self._run.cloud.iot, change, certificate_arn, is_exclusive=is_ours)

    def _header(self) -> Outcome[Any]:
        if find_header_path(self._run.settings) is None:
            return self._make_header()
        with self._sole_build():
            return self._make_header()

    def _make_header(self) -> Outcome[Any]:
        change = plan.plan_header(self._run)
        is_from_template = isinstance(change.wanted, header_templates.MadeHeader)
        make = header_templates.make_header if is_from_template else headers.make_header
        return make(
            change,
            self._run.cloud.account_name,
            notes_path=self._run.scope.header_notes_path(self._run.settings.firmware_root),
            confirm=self._run.report.ask,
        )

    def _policy(self) -> Outcome[policies.Policy]:
        iot, settings = self._run.cloud.iot, self._run.settings
        self.thing()
        thing, certificate = (self._run.steps.find(name) for name in ("thing", "certificate"))
        certificate_arn, is_new = certificate.get().arn, certificate.verb is Verb.CREATED
        found = self._policy_as_found(None if is_new else certificate_arn, is_likely_absent=thing.verb is Verb.CREATED)
        change = plan.plan_policy(self._run, found, certificate_arn)
        if settings.existing_device:
            change.check()
            return Outcome(policies.NOUN, Verb.REUSED, change.name, change.detail, found.policy)
        policy = policies.make_policy(iot, change, certificate_arn)
        is_ours = settings.existing_certificate_arn is None
        if is_ours and policy.verb is not Verb.CREATED and thing.verb is not Verb.REUSED:
            self._check_alone(certificate)
        return policy

    def _policy_as_found(self, certificate_arn: str | None, *, is_likely_absent: bool) -> policies.FoundPolicy:
        """The policy, and the policies of a certificate that is not new.

        Where this run made both thing and certificate, the policy is most likely absent. The look is left out then,
        because a set-up from nothing has no budget for it; ``make_policy`` looks where AWS says that the policy exists.
        """
        if certificate_arn is None and is_likely_absent:
            return policies.FoundPolicy()
        wanted = desired_state.wanted_policy(self._run.cloud, self._run.settings)
        return policies.look_at_policy(self._run.cloud.iot, self._run.settings.policy_name, wanted, certificate_arn)

    def _check_alone(self, certificate: Outcome[certificates.Certificate]) -> None:
        """Take the certificate back where a run from another folder attached its own at the same time.

        Of two runs that set up a thing, only the first one creates the policy, after its certificate is attached. So a
        run that created the policy need not look.

        Raises:
            CertificateError: another run did.
        """
        iot, settings = self._run.cloud.iot, self._run.settings
        name = settings.thing_name
        rivals = certificates.find_rivals(list(things.list_principals(iot, name)), certificate.get().arn)
        if rivals:
            files = desired_state.certificate_files(settings)
            raise certificate_decisions.withdraw_certificate(iot, files, certificate, name, rivals)

    def _independent(self, noun: Noun) -> Outcome[Any]:
        """An object that needs nothing of another one: looked at, decided and made as its record says."""
        assert noun.make  # noqa: S101 - only such nouns come here
        made: Outcome[Any] = noun.make(self._run.cloud, plan.plan_noun(self._run, noun))
        return made

    def _role(self) -> Outcome[roles.Role]:
        iam, settings = self._run.cloud.iam, self._run.settings
        wanted = desired_state.wanted_role(self._run.cloud, settings, self._run.boundary_arn)
        found = roles.find_role_with_policies(iam, wanted.name, wanted.thing_name)
        return roles.make_role(iam, roles.decide_role(iam, found, wanted))

    def _build(self) -> Outcome[builds.Image]:
        settings = self._run.settings
        if settings.skip_build:
            return builds.skip_build(settings.image_path, settings.signature_path)
        label = f"building {settings.build_name}"
        with self._sole_build() as tree_lock:
            self._make_header()  # another run may have written its own thing's name since
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
        return builds.sole_build(settings.build_lock_path, self._tell_wait, settings.lock_timeout_s)

    def _tell_wait(self) -> None:
        settings = self._run.settings
        self._run.report.note(
            f"another run builds in {settings.firmware_root}: this one waits until that has ended, for "
            f"{settings.lock_timeout_s:g} s at most (Ctrl-C ends it)"
        )

    def _signature(self, image: builds.Image) -> str:
        """The signature's text, once image, signature and key are proven to belong together.

        Raises:
            SignatureError: they do not; the message has what to do.
        """
        findings = verify.verify(self._run.settings, image)
        for finding in of_severity(findings, Severity.WARNING):
            self._run.report.note(message("note: ", failure_text([finding])))
        if mistakes := of_severity(findings, Severity.FATAL):
            raise SignatureError(failure_text(mistakes), "\nNothing was uploaded.")
        return signatures.signature_text(image.signature)

    def _upload(self, image: builds.Image) -> Outcome[images.ImageLocation]:
        wanted = desired_state.wanted_image(self._run.cloud, self._run.settings, image)
        change = images.decide_image(wanted, is_uploaded=False)
        with self._run.report.bytes_bar(f"uploading {image.path.name}", image.size_bytes) as on_progress:
            return images.make_image(self._run.cloud.s3, change, on_progress)

    def _find_update(self) -> FoundUpdate:
        return find_update_with_job(self._run.cloud, self._run.settings, looks_for_job=False)

    def _update(self) -> Outcome[Update]:
        cloud, settings = self._run.cloud, self._run.settings
        iot = cloud.iot
        self.thing()
        image = self.build()
        builds.check_unchanged(image)
        request = desired_state.update_request(cloud, settings, image, self._signature(image), self.role().arn)
        self.independent(BUCKET.name)
        patience = self.patience()
        with self._run.report.live_line(f"waiting for AWS to be done with {request.update_id}"):
            found = self._update_at_rest(patience)
        may_replace_running = settings.replace_running_update
        change = updates.decide_update(iot, found, request, may_replace_running=may_replace_running)
        change.check()
        if change.action is not Action.REUSE:
            location = self._run.steps.do("image object", partial(self._upload, image)).get()
            change = replace(change, wanted=replace(request, version_id=location.version_id))
        with self._run.report.live_line(f"waiting for AWS to create {request.update_id}"):
            return updates.make_update(iot, change, may_replace_running=may_replace_running, patience=patience)

    def _update_at_rest(self, patience: Patience) -> FoundUpdate:
        """The update as it was found; where AWS was still making or deleting it, as it is after that."""
        found = self._run.steps.do("update as found", self._find_update)
        if found.update is None or found.update.status not in {*BEING_CREATED, BEING_DELETED}:
            return found
        updates.wait_at_rest(self._run.cloud.iot, found.update, patience)
        return self._find_update()

    def patience(self) -> Patience:
        """The bounds of waiting; a young role, whichever run made it, gets the rest of the time that IAM needs."""
        settings, role = self._run.settings, self.role()
        left_s = role.left_to_settle_s(settings.role_settle_timeout_s)
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=max(left_s, min(SETTLED_ROLE_TIMEOUT_S, settings.role_settle_timeout_s)),
        )
