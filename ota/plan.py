"""Plans ``all``: looks at every object and decides what has to become of it, as changes.

``set_up.py`` carries the same changes out, one object after the other, so that ``all`` is ``plan`` carried out. A plan
makes every look side by side, in four round trips with the one for the account's number. Only two looks take more: the
search for the certificate of a run that was cut off, which goes through the account's certificates, and a listing of
more than one page.

Without ``skip_build`` nobody knows the image that the build makes. Then the image on this machine is taken for it, and
the steps that depend on it say that they are not certain.

Source: ``set_up.py`` for the order of the objects; the ``decide_`` functions of the nouns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import desired_state, images, policies, targets, things
from ota.buckets import buckets
from ota.certificates import certificates
from ota.certificates import files as certificate_files
from ota.certificates.decisions import (
    chosen_arn,
    decide_certificate,
    look_at_field_certificate,
    writes_certificate_file,
)
from ota.errors import OtaError, SignatureError, attempt
from ota.firmware import builds, header_templates, headers
from ota.firmware.header_notes import NOTHING, find_note
from ota.firmware.signatures import signature_text
from ota.firmware.tree import check_tree, find_header_path, tree_problem
from ota.firmware.verify import verify
from ota.messages import Command, command
from ota.nouns import NOUNS, in_set_up_order
from ota.outcomes import QUIET, Action, Change, Severity, blocked, failure_text, of_severity
from ota.records import Noun
from ota.roles import roles
from ota.run import Run
from ota.settings.readers import CleanBuild
from ota.threads import side_by_side
from ota.updates import updates
from ota.updates.jobs import find_execution, find_job, job_id_of
from ota.updates.requests import BEING_CREATED, BEING_DELETED, CREATE_FAILED, UpdateRequest
from ota.updates.rollout_rules import Devices, sole_thing
from ota.updates.updates import FoundUpdate

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.settings.settings import Settings


__all__ = ["Plan", "Run", "attempt", "blocked"]

CHANGING = (Action.CHANGE, Action.ASK)


@dataclass(frozen=True)
class Plan:
    """All steps, in the order in which the command prints its lines."""

    steps: tuple[Change, ...]

    @property
    def blocked(self) -> tuple[Change, ...]:
        """The steps at which the command would fail."""
        return tuple(step for step in self.steps if step.action is Action.BLOCKED)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The steps that would change something."""
        return tuple(step for step in self.steps if step.action not in QUIET | {Action.BLOCKED})

    def counts(self) -> dict[str, int]:
        """How many steps there are of each action."""
        return dict(Counter(step.action.value for step in self.steps))

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "would_succeed": not self.blocked,
            "changes": len(self.changes),
            "counts": self.counts(),
            "steps": [step.as_json() for step in self.steps],
        }


def make_plan(run: Run, nouns: Sequence[Noun] = NOUNS) -> Plan:
    """What ``all`` would do, object by object; ``nouns`` are the records that it goes by.

    Raises:
        CredentialsError: AWS refuses the credentials, so that no look is possible.
    """
    for service in ("iot", "s3", "iam"):
        getattr(run.cloud, service)  # made one after the other, for making two at once takes no less time
    guess = run.settings.existing_certificate_arn or _arn_of_file(run)
    independent = [noun for noun in nouns if noun.find and noun.is_wanted(run.settings)]
    (certificate, thing), header, policy, role, found, sought_targets, *others = side_by_side(
        partial(plan_identity, run),
        partial(plan_header, run),
        partial(attempt, partial(_look_at_policy, run, guess)),
        partial(plan_role, run),
        partial(look_at_delivery, run),
        partial(targets.plan_targets, run.cloud, run.settings),
        *(partial(plan_noun, run, noun) for noun in independent),
    )
    arn = chosen_arn(certificate)
    if arn not in (None, guess):
        policy = attempt(partial(_look_at_policy, run, arn))
    image = plan_image(
        run,
        found,
        changes_header=header.action in CHANGING,
        changes_certificate=writes_certificate_file(certificate),
    )
    steps = [
        certificate,
        thing,
        header,
        plan_policy(run, policy, arn, attaches=certificate.action is not Action.BLOCKED),
        *others,
        role,
        image,
        *sought_targets,  # without a place of their own, because `all` does not make them
        *plan_update(run, found, image),
    ]
    return Plan(tuple(in_set_up_order(steps)))


def plan_identity(run: Run) -> tuple[Change, Change]:
    """The changes of the certificate and of the thing."""
    iot, settings = run.cloud.iot, run.settings
    files, existing_arn = desired_state.certificate_files(settings), settings.existing_certificate_arn
    thing_arn = desired_state.iot_arn(run.cloud, f"thing/{settings.thing_name}")
    thing, found = side_by_side(
        partial(attempt, partial(things.find_thing_by_principals, iot, settings.thing_name, thing_arn)),
        partial(attempt, partial(certificates.find_local_certificate, iot, files, existing_arn=existing_arn)),
    )
    if isinstance(thing, OtaError):
        return _blocked_certificate(run, thing), blocked("thing", settings.thing_name, thing)
    look = partial(
        certificates.look_at_certificate,
        iot,
        files,
        attached=thing.principals if thing else (),
        thing_name=settings.thing_name,
        existing_arn=existing_arn,
    )
    if settings.existing_device:
        return _plan_field_identity(run, thing, files)
    state = found if isinstance(found, OtaError) else attempt(partial(look, found=found))
    certificate = _plan_certificate(run, state)
    arn = chosen_arn(certificate)
    is_attached = thing is not None and arn is not None and thing.is_attached(arn)
    attaches = not is_attached and certificate.action is not Action.BLOCKED
    return certificate, things.decide_thing(settings.thing_name, thing, attaches=attaches)


def _plan_field_identity(
    run: Run, thing: things.Thing | None, files: certificate_files.CertificateFiles
) -> tuple[Change, Change]:
    """Thing and certificate of a device in the field: checked, never made."""
    iot, name = run.cloud.iot, run.settings.thing_name
    change = things.decide_field_thing(name, thing)
    if thing is None:
        return blocked("certificate", f"of {name}", change.problem or OtaError(change.detail)), change
    look = partial(look_at_field_certificate, iot, files, attached=thing.principals, thing_name=name)
    state = attempt(look)
    return _blocked_certificate(run, state) if isinstance(state, OtaError) else decide_certificate(state), change


def plan_header(run: Run) -> Change:
    """The change of the firmware's header; asks AWS for the endpoint."""
    settings, header_format = run.settings, run.settings.header_format
    path = find_header_path(settings)
    name = path.name if path else header_format.name
    if path is None:
        unset = "header_path" if settings.has_own_layout else "target_application"
        return Change(headers.NOUN, Action.SKIP, name, f"{unset} is not set")
    if problem := tree_problem(settings):
        return Change(headers.NOUN, Action.SKIP, name, problem)
    if settings.header_template:
        return _plan_made_header(run)
    found = attempt(lambda: headers.read_header(check_tree(settings) or path, header_format))
    if isinstance(found, OtaError):
        return blocked(headers.NOUN, name, found)
    wanted = headers.Header(found.path, header_format, run.cloud.data_endpoint, settings.thing_name)
    notes = [find_note(path, found.path) for path in run.header_notes_paths]
    note = next((one for one in notes if one is not NOTHING), NOTHING)
    return headers.decide_header(found, wanted, note, may_replace=run.may_replace_header)


def _plan_made_header(run: Run) -> Change:
    """The change of a header that is made from a template."""
    settings = run.settings
    wanted = attempt(partial(header_templates.wanted_header, settings, run.cloud.data_endpoint))
    if isinstance(wanted, OtaError):
        return blocked(headers.NOUN, settings.header_format.name, wanted)
    found = attempt(partial(header_templates.find_data, wanted.path))
    if isinstance(found, OtaError):
        return blocked(headers.NOUN, wanted.path.name, found)
    notes_path = run.scope.header_notes_path(settings.firmware_root)
    note = header_templates.find_note(notes_path, wanted.path)
    return header_templates.decide_header(found, wanted, note, may_replace=run.may_replace_header)


def plan_policy(
    run: Run, found: policies.FoundPolicy | OtaError, certificate_arn: str | None, *, attaches: bool = True
) -> Change:
    """The change of the policy; ``attaches`` is False where no certificate can be used."""
    iot, name, wanted = (
        run.cloud.iot,
        run.settings.policy_name,
        desired_state.wanted_policy(run.cloud, run.settings),
    )
    if isinstance(found, OtaError):
        return blocked("policy", name, found, command("all", policy_name=f"{name}-ota"))
    if run.settings.existing_device:
        return policies.decide_field_policy(name, found, wanted)
    return policies.decide_policy(iot, name, found, wanted, certificate_arn, attaches=attaches)


def _look_at_policy(run: Run, certificate_arn: str | None) -> policies.FoundPolicy:
    wanted = desired_state.wanted_policy(run.cloud, run.settings)
    return policies.look_at_policy(run.cloud.iot, run.settings.policy_name, wanted, certificate_arn)


def _plan_certificate(run: Run, state: certificates.FoundCertificate | OtaError) -> Change:
    if isinstance(state, OtaError):
        return _blocked_certificate(run, state)
    change = decide_certificate(state)
    is_blocked = change.action is Action.BLOCKED
    return replace(change, command=change.command or _another_certificate(run)) if is_blocked else change


def _blocked_certificate(run: Run, error: OtaError) -> Change:
    name = run.settings.existing_certificate_arn or run.settings.certificate_path.name
    return blocked("certificate", name, error, _another_certificate(run))


def _another_certificate(run: Run) -> Command:
    """The way out where a problem has none of its own: a certificate apart from the one in the way."""
    settings = run.settings
    if settings.existing_certificate_arn:
        return command("all", existing_certificate_arn="CREATE_NEW_CERTIFICATE")
    return command("all", credentials_path=f"{settings.credentials_path.name}-{settings.thing_name}")


def _arn_of_file(run: Run) -> str | None:
    """The ARN that the certificate in the file has in this account; None where no readable file is."""
    local = attempt(partial(certificate_files.find_certificate_file, run.settings.certificate_path))
    if local is None or isinstance(local, OtaError):
        return None
    return desired_state.iot_arn(run.cloud, f"cert/{local.id}")


@dataclass(frozen=True)
class Delivery:
    """The update and the image that it would deliver, as they are.

    Attributes:
        image: the image on this machine, with its signature; None where one of them is missing.
        update: the update by the settings' name, or why nobody could look for it.
        is_uploaded: whether this image is in the bucket.
        devices: how many get the update, or why AWS did not tell; None where it is for one thing.
    """

    image: builds.Image | None
    update: FoundUpdate | OtaError
    is_uploaded: bool | OtaError = False
    devices: Devices | OtaError | None = None


def plan_noun(run: Run, noun: Noun) -> Change:
    """The change of a noun that needs nothing of another one: looked at and decided as its record says."""
    assert noun.find  # noqa: S101 - only such nouns come here
    assert noun.decide  # noqa: S101
    change: Change = noun.decide(attempt(partial(noun.find.load(), run.cloud, run.settings)), run.cloud, run.settings)
    return change


def find_bucket(cloud: Cloud, settings: Settings) -> buckets.Bucket | None:
    """The bucket of the settings."""
    wanted = desired_state.wanted_bucket(cloud, settings)
    return buckets.find_bucket(cloud.s3, wanted.name, wanted.account_id, wanted.default_name)


def decide_bucket(found: buckets.Bucket | OtaError | None, cloud: Cloud, settings: Settings) -> Change:
    """What has to become of the bucket of the settings."""
    return buckets.decide_bucket(cloud.s3, found, desired_state.wanted_bucket(cloud, settings))


def plan_role(run: Run) -> Change:
    """The step of the role, looked up here."""
    iam, wanted = run.cloud.iam, desired_state.wanted_role(run.cloud, run.settings, run.boundary_arn)
    look = partial(roles.find_role_with_policies, iam, wanted.name, wanted.thing_name, reads_ahead=True)
    return roles.decide_role(iam, attempt(look), wanted)


def look_at_delivery(run: Run) -> Delivery:
    """The image on this machine; the update, the object and the count of devices, side by side."""
    image = _image_here(run)
    update, uploaded, devices = side_by_side(
        partial(attempt, partial(find_update_with_job, run.cloud, run.settings, looks_for_job=True)),
        partial(attempt, partial(_is_uploaded, run, image)),
        partial(attempt, partial(targets.count_devices, run.cloud, run.settings)),
    )
    return Delivery(image, update, uploaded, devices)


def find_update_with_job(cloud: Cloud, settings: Settings, *, looks_for_job: bool) -> FoundUpdate:
    """The update by the settings' name with all that decides what becomes of it, in two round trips.

    ``looks_for_job``: where there is no update, look for a job that has the id of its job.
    """
    iot, job_id = cloud.iot, job_id_of(settings.update_name)
    update = updates.find_update(iot, settings.update_name)
    if update is None:
        return FoundUpdate(job=attempt(partial(find_job, iot, job_id)) if looks_for_job else None)
    where = (update.bucket, update.key, update.version_id)
    needs_job = update.status == CREATE_FAILED or not sole_thing(update.targets)
    look_at_image = partial(images.is_there, cloud.s3, *where, account_id=cloud.account_id)
    is_at_rest = update.status not in {*BEING_CREATED, BEING_DELETED}
    thing_name = sole_thing(update.targets)
    has_image, execution, job = side_by_side(
        lambda: attempt(look_at_image) if update.key else False,
        lambda: attempt(partial(find_execution, iot, job_id, thing_name)) if is_at_rest and thing_name else None,
        lambda: attempt(partial(find_job, iot, job_id)) if is_at_rest and needs_job else None,
    )
    return FoundUpdate(update, has_image, execution, job)


def plan_image(run: Run, delivery: Delivery, *, changes_header: bool, changes_certificate: bool) -> Change:
    """The step of the build. ``changes_…``: what an older image does not have in it."""
    settings = run.settings
    name = settings.ota_binary if settings.names_image else "image"
    if settings.skip_build:
        outcome = attempt(lambda: builds.skip_build(settings.image_path, settings.signature_path))
        if isinstance(outcome, OtaError):
            return blocked("image", name, outcome, command("build", skip_build="false"))
        return Change("image", Action.SKIP, outcome.name, outcome.detail)
    refusal = attempt(partial(_check_build, run))
    if isinstance(refusal, OtaError):
        return blocked("image", name, refusal)
    return Change("image", Action.BUILD, name, _build_detail(run, delivery, changes_header, changes_certificate))


def plan_update(run: Run, delivery: Delivery, image_step: Change) -> tuple[Change, ...]:
    """The steps of the image's object, of the update, and of waiting for its job."""
    if image_step.action is Action.BLOCKED:
        return ()
    is_certain = image_step.action is Action.SKIP
    request = attempt(partial(_request, run, delivery.image)) if delivery.image else None
    if is_certain and isinstance(request, OtaError):
        return (blocked("signature", run.settings.signature_file, request),)
    if request is None or isinstance(request, OtaError):
        steps = _plan_unknown(run, delivery)
    else:
        steps = tuple(replace(step, is_certain=is_certain) for step in _plan_known(run, delivery, request))
    return tuple(targets.with_rollout(run.cloud, run.settings, step, delivery.devices) for step in steps)


def _image_here(run: Run) -> builds.Image | None:
    settings = run.settings
    if not settings.names_image:
        return None
    return builds.find_image(settings.image_path, settings.signature_path)


def _is_uploaded(run: Run, image: builds.Image | None) -> bool:
    if image is None:
        return False
    return images.is_uploaded(run.cloud.s3, desired_state.wanted_image(run.cloud, run.settings, image))


def _check_build(run: Run) -> None:
    settings = run.settings
    check_tree(settings)
    if settings.has_own_build:
        builds.check_program(settings.build_command, settings.firmware_root, run.scope.environ)
    else:
        builds.check_script(settings.build_script_path)


def _build_detail(run: Run, delivery: Delivery, changes_header: bool, changes_certificate: bool) -> str:
    settings = run.settings
    stale = _stale(settings, changes_header, changes_certificate) if delivery.image else None
    if desired_state.is_clean_build(settings.clean_build, stale):
        return f"from clean: {stale or 'clean_build is true'}"
    if settings.clean_build is CleanBuild.NEVER:
        return "not from clean: clean_build is false"
    nothing_new = "nothing that the image knows has changed"
    return f"not from clean: {nothing_new if delivery.image else 'there is no image yet'}"


def _stale(settings: Settings, changes_header: bool, changes_certificate: bool) -> str | None:
    """Why the image on this machine would be out of date at the time of the build."""
    if changes_header:
        return "the header changes"
    is_stale = changes_certificate and settings.has_certificate_in_image
    return "the certificate changes" if is_stale else desired_state.find_stale(settings)


def _request(run: Run, image: builds.Image) -> UpdateRequest:
    """The request for the update; refused for the reasons for which ``all`` refuses it."""
    cloud, settings = run.cloud, run.settings
    mistakes = of_severity(verify(settings, image), Severity.FATAL)
    if mistakes:
        remedy = next((mistake.command for mistake in mistakes if mistake.command), ())
        raise SignatureError(failure_text(mistakes), remedy=remedy)
    signature, role_arn = signature_text(image.signature), desired_state.role_arn(cloud, settings)
    return desired_state.update_request(cloud, settings, image, signature, role_arn)


def _plan_unknown(run: Run, delivery: Delivery) -> tuple[Change, ...]:
    """Where there is no image to compare with."""
    name, found = run.settings.update_name, delivery.update
    if isinstance(found, OtaError):
        return (blocked("update", name, found),)
    action = Action.CREATE if found.update is None else Action.REPLACE
    upload = Change("object", Action.UPLOAD, run.settings.ota_binary, "what the build makes", is_certain=False)
    return upload, Change("update", action, name, is_certain=found.update is None), _wait(run)


def _plan_known(run: Run, delivery: Delivery, request: UpdateRequest) -> tuple[Change, ...]:
    settings, found = run.settings, delivery.update
    change = updates.decide_update(run.cloud.iot, found, request, may_replace_running=settings.replace_running_update)
    if change.action is Action.BLOCKED or delivery.image is None:
        return (change,)
    if change.action is Action.REUSE:
        is_being_created = isinstance(found, FoundUpdate) and found.update and found.update.status in BEING_CREATED
        return (change, _wait(run)) if is_being_created else (change,)
    wanted = desired_state.wanted_image(run.cloud, settings, delivery.image)
    return images.decide_image(wanted, is_uploaded=delivery.is_uploaded is True), change, _wait(run)


def _wait(run: Run) -> Change:
    settings = run.settings
    detail = f"until AWS has made it, {settings.update_timeout_s:g} s at most"
    return Change("job", Action.WAIT, job_id_of(settings.update_name), detail)
