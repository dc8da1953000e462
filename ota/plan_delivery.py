"""What would become of bucket, role, image and update.

Without ``skip_build`` nobody knows what image the build makes. Then the image that is there is taken for it, and the
steps that hang on this say that they are not certain.

Source: ``buckets.judge_bucket``, ``roles.needed_repairs``, ``updates.judge_update``, ``verification.verify``: the
decisions of ``all``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import bucket_access, buckets, desired_state, images, ownership, roles, updates
from ota.errors import OtaError, SignatureError
from ota.findings import Severity, failure_text, of_severity
from ota.firmware import builds
from ota.firmware.signatures import signature_text
from ota.firmware.tree import check_application
from ota.firmware.verify import verify
from ota.outcomes import Action, Change, Verb
from ota.plan import Site, attempt, blocked
from ota.plan_identity import ACTIONS
from ota.policy_documents import difference
from ota.role_policies import Attached, find_attached, find_inline_document
from ota.settings.names import tidy_bucket_name
from ota.settings.readers import CleanBuild
from ota.threads import side_by_side
from ota.update_requests import Update, UpdateRequest, job_id_of
from ota.update_waits import BEING_CREATED, BEING_DELETED, Job, find_job, find_update

if TYPE_CHECKING:
    from ota.settings.settings import Settings


@dataclass(frozen=True)
class Delivery:
    """The update and what it would carry, as they are.

    Attributes:
        image: the image that is on this machine, with its signature; None where one of them is not there.
        update: by the settings' name, or why it could not be looked for.
        has_image: whether the image that the update brings still is in its bucket.
        job: by the id that its job has or would have.
        is_uploaded: whether this image is in the bucket.
    """

    image: builds.Image | None
    update: Update | OtaError | None
    has_image: bool | OtaError
    job: Job | OtaError | None
    is_uploaded: bool | OtaError = False


def plan_bucket(site: Site) -> Change:
    """The step of the bucket, looked up here."""
    cloud, settings, name = site.cloud, site.settings, site.settings.bucket_name
    other_name = f"invoke with --bucket-name {tidy_bucket_name(f'{name}-2')} all"
    found = attempt(partial(buckets.find_bucket, cloud.s3, name, cloud.account_id))
    if isinstance(found, OtaError):
        return blocked("bucket", name, found, other_name)
    verb = attempt(partial(buckets.judge_bucket, cloud.s3, found, cloud.account_id, settings.thing_name))
    if isinstance(verb, OtaError):
        return blocked("bucket", name, verb, other_name)
    if found is None or ownership.is_ours(found.tags) or verb is Verb.CHANGED:
        repairs = ", ".join(buckets.needed_repairs(found)) if found else ""
        return Change("bucket", ACTIONS[verb], name, f"{repairs} put right" if repairs else buckets.CLOSED)
    detail = buckets.foreign_detail(found)
    command = bucket_access.closing_command(cloud.s3, name, found.access)
    return Change("bucket", ACTIONS[verb], name, detail, brief=detail if command else "", command=command)


def plan_role(site: Site) -> Change:
    """The step of the role, looked up here with everything that hangs on it."""
    iam, name = site.cloud.iam, site.settings.iam_role_name
    found, there, attached = side_by_side(
        partial(attempt, partial(roles.find_role, iam, name)),
        partial(attempt, partial(find_inline_document, iam, name)),
        partial(attempt, partial(find_attached, iam, name)),
    )
    for refused in (found, there):
        if isinstance(refused, OtaError):
            return blocked("role", name, refused)
    if found is None:
        boundary = site.boundary_arn
        return Change(
            "role", Action.CREATE, name, f"with the boundary {boundary}" if boundary else "without a boundary"
        )
    if ownership.is_ours(found.tags, site.settings.thing_name):
        return _compare_role(site, found, there)
    return _check_role(site, found, None if isinstance(attached, OtaError) else attached)


def look_at_delivery(site: Site) -> Delivery:
    """The image on this machine; update, job and object, side by side."""
    iot, settings = site.cloud.iot, site.settings
    image = _image_here(site)
    (update, has_image), job, uploaded = side_by_side(
        partial(_look_at_update, site),
        partial(attempt, partial(find_job, iot, job_id_of(settings.update_name))),
        partial(attempt, partial(_is_uploaded, site, image)),
    )
    return Delivery(image, update, has_image, job, uploaded)


def _look_at_update(site: Site) -> tuple[Update | OtaError | None, bool | OtaError]:
    """The update, and whether the image that it brings still is in its bucket."""
    cloud = site.cloud
    update = attempt(partial(find_update, cloud.iot, site.settings.update_name))
    if not isinstance(update, Update) or not update.key:
        return update, False
    where = (update.bucket, update.key, update.version_id)
    return update, attempt(partial(images.is_there, cloud.s3, *where, account_id=cloud.account_id))


def plan_image(site: Site, delivery: Delivery, *, changes_header: bool, changes_certificate: bool) -> Change:
    """The step of the build. ``changes_…``: what an image of before could not know."""
    settings = site.settings
    name = settings.ota_binary if settings.target_application else "image"
    if settings.skip_build:
        outcome = attempt(lambda: builds.skip_build(settings.image_path, settings.signature_path))
        if isinstance(outcome, OtaError):
            return blocked("image", name, outcome, "invoke with --skip-build false build")
        return Change("image", Action.SKIP, outcome.name, outcome.detail)
    refusal = attempt(partial(_check_build, site))
    if isinstance(refusal, OtaError):
        return blocked("image", name, refusal)
    return Change("image", Action.BUILD, name, _build_detail(site, delivery, changes_header, changes_certificate))


def plan_update(site: Site, delivery: Delivery, image_step: Change) -> tuple[Change, ...]:
    """The steps of the image's object, of the update, and of waiting for its job."""
    if image_step.action is Action.BLOCKED:
        return ()
    is_certain = image_step.action is Action.SKIP
    request = attempt(partial(_request, site, delivery.image)) if delivery.image else None
    if is_certain and isinstance(request, OtaError):
        return (blocked("signature", site.settings.signature_file, request),)
    if request is None or isinstance(request, OtaError):
        return _plan_unknown(site, delivery)
    return tuple(replace(step, is_certain=is_certain) for step in _plan_known(site, delivery, request))


def _compare_role(site: Site, found: roles.Role, there: Any) -> Change:
    trust, permissions = desired_state.role_documents(site.cloud, site.settings)
    repairs = roles.needed_repairs(found, there, trust, permissions, site.boundary_arn)
    if not repairs:
        return Change("role", Action.REUSE, found.name)
    differences = {
        "permissions": difference(there or {}, permissions, f"permissions of {found.name}"),
        "trust": difference(found.trust, trust, f"trust of {found.name}"),
        "boundary": f"-boundary {found.boundary_arn or 'none'}\n+boundary {site.boundary_arn}",
    }
    shown = "\n".join(differences[what] for what in repairs)
    return Change("role", Action.CHANGE, found.name, f"{', '.join(repairs)} put right", shown)


def _check_role(site: Site, found: roles.Role, attached: Attached | None) -> Change:
    trust, permissions = desired_state.role_documents(site.cloud, site.settings)
    refusal = attempt(partial(roles.check_foreign, site.cloud.iam, found, trust, permissions, attached))
    if isinstance(refusal, OtaError):
        return blocked("role", found.name, refusal, f"invoke with --iam-role-name {found.name}-ota all")
    return Change("role", Action.REUSE, found.name, "not made by this tool; grants what is needed")


def _image_here(site: Site) -> builds.Image | None:
    settings = site.settings
    if not settings.target_application and not settings.is_chosen("ota_binary"):
        return None
    return builds.find_image(settings.image_path, settings.signature_path)


def _is_uploaded(site: Site, image: builds.Image | None) -> bool:
    cloud, settings = site.cloud, site.settings
    if image is None:
        return False
    key = desired_state.image_key(settings, image)
    return images.is_uploaded(cloud.s3, settings.bucket_name, key, image.sha256, account_id=cloud.account_id)


def _check_build(site: Site) -> None:
    settings = site.settings
    check_application(settings.firmware_root, settings.require_application())
    builds.check_script(settings.build_script_path)


def _build_detail(site: Site, delivery: Delivery, changes_header: bool, changes_certificate: bool) -> str:
    settings = site.settings
    stale = _stale(settings, changes_header, changes_certificate) if delivery.image else None
    if desired_state.is_clean_build(settings.clean_build, stale):
        return f"from clean: {stale or 'clean_build is true'}"
    if settings.clean_build is CleanBuild.NEVER:
        return "not from clean: clean_build is false"
    nothing_new = "nothing that the image knows has changed"
    return f"not from clean: {nothing_new if delivery.image else 'there is no image yet'}"


def _stale(settings: Settings, changes_header: bool, changes_certificate: bool) -> str | None:
    """Why the image would be old by the time of the build."""
    if changes_header:
        return "the header changes"
    return "the certificate changes" if changes_certificate else desired_state.find_stale(settings)


def _request(site: Site, image: builds.Image) -> UpdateRequest:
    """The update that would be asked for; refused for the reasons for which the task refuses it."""
    cloud, settings = site.cloud, site.settings
    mistakes = of_severity(verify(settings, image), Severity.FATAL)
    if mistakes:
        command = next((mistake.command for mistake in mistakes if mistake.command), "")
        raise SignatureError(failure_text(mistakes), remedy=command)
    return desired_state.update_request(
        settings,
        image,
        signature_text(image.signature),
        thing_arn=desired_state.iot_arn(cloud, f"thing/{settings.thing_name}"),
        role_arn=desired_state.role_arn(cloud, settings),
    )


def _plan_unknown(site: Site, delivery: Delivery) -> tuple[Change, ...]:
    """Where no image is there that could be compared."""
    name, update = site.settings.update_name, delivery.update
    if isinstance(update, OtaError):
        return (blocked("update", name, update),)
    action = Action.CREATE if update is None else Action.REPLACE
    upload = Change("object", Action.UPLOAD, site.settings.ota_binary, "what the build makes", is_certain=False)
    return upload, Change("update", action, name, is_certain=update is None, found=update), _wait(site)


def _plan_known(site: Site, delivery: Delivery, request: UpdateRequest) -> tuple[Change, ...]:
    update, name = delivery.update, site.settings.update_name
    if isinstance(update, OtaError):
        return (blocked("update", name, update),)
    expected = _at_rest(update)
    try:
        verb = _judge(delivery, expected, request)
        if verb is Verb.CHANGED and update and not site.settings.replace_running_update:
            _check_not_running(site, update)
        has_own_job = expected.status != updates.CREATE_FAILED if expected else update is not None
        if not has_own_job and isinstance(delivery.job, Job):
            updates.check_job(delivery.job, request)
    except OtaError as error:
        return (blocked("update", name, error, f"invoke with --update-name {name}-2 all"),)
    if verb is Verb.REUSED:
        waits = (_wait(site),) if update and update.status in BEING_CREATED else ()
        return Change("update", Action.REUSE, name, f"job {job_id_of(name)}"), *waits
    action = Action.CREATE if verb is Verb.CREATED else Action.REPLACE
    left = update or (delivery.job if isinstance(delivery.job, Job) else None)
    step = Change("update", action, name, _why(delivery, update), found=left)
    return _plan_object(delivery, request), step, _wait(site)


def _check_not_running(site: Site, update: Update) -> None:
    """Refuse as the task does, and where AWS does not tell whether a device is at work.

    Raises:
        OtaError: a device is, or nobody knows.
    """
    refusal = attempt(partial(updates.check_not_running, site.cloud.iot, update))
    if isinstance(refusal, OtaError):
        raise refusal


def _judge(delivery: Delivery, expected: Update | None, request: UpdateRequest) -> Verb:
    """What becomes of the update; one whose image is gone is replaced, whatever it brings.

    Raises:
        OtaError: nothing can, or nobody knows.
    """
    verb = updates.judge_update(expected, request)
    if verb is not Verb.REUSED or expected != delivery.update:
        return verb
    if isinstance(delivery.has_image, OtaError):
        raise delivery.has_image
    return verb if delivery.has_image else Verb.CHANGED


def _plan_object(delivery: Delivery, request: UpdateRequest) -> Change:
    image, bucket = delivery.image, request.bucket
    name = image.path.name if image else ""
    if delivery.is_uploaded is True:
        return Change("object", Action.REUSE, name, f"in s3://{bucket}")
    size = f"{image.size_bytes:,} bytes, " if image else ""
    return Change("object", Action.UPLOAD, name, f"{size}to s3://{bucket}")


def _at_rest(update: Update | None) -> Update | None:
    """The update as it most likely is once AWS has done with it."""
    if update is None or update.status == BEING_DELETED:
        return None
    return replace(update, status=updates.COMPLETE) if update.status in BEING_CREATED else update


def _why(delivery: Delivery, update: Update | None) -> str:
    if update is None:
        return "once its leftover job is deleted" if isinstance(delivery.job, Job) else ""
    if update.status == BEING_DELETED:
        return "once the old one is gone"
    if update.status != updates.COMPLETE:
        return ": ".join(filter(None, [f"it is {update.status}", update.error_message]))
    old, new = update.image_sha256[:12] or "unknown", delivery.image.sha256[:12] if delivery.image else "unknown"
    if old != new:
        return f"image sha256 {old}, wanted {new}"
    if delivery.has_image is False:
        return "its image is no longer in the bucket"
    return "same image, other signature, name, target or protocol"


def _wait(site: Site) -> Change:
    settings = site.settings
    detail = f"until AWS has made it, {settings.update_timeout_s:g} s at most"
    return Change("job", Action.WAIT, job_id_of(settings.update_name), detail)
