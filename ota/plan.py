"""Plans ``all``: looks at every object and decides what has to become of it, as changes.

``set_up.py`` carries the same changes out, one object after the other, so that ``all`` is ``plan`` carried out. A plan
makes every look side by side, in four round trips with the one for the account's number. Only two looks take more: the
search for the certificate of a run that was cut off, which goes through the account's certificates, and a listing of
more than one page.

Source: ``set_up.py`` for the order of the objects; the ``decide_`` functions of the nouns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ota import certificates, desired_state, policies, things
from ota import plan_delivery as delivery
from ota.certificate_decisions import chosen_arn, decide_certificate, writes_certificate_file
from ota.certificate_files import find_certificate_file
from ota.errors import OtaError, attempt
from ota.firmware import headers
from ota.firmware.header_notes import NOTHING, find_note
from ota.firmware.tree import has_firmware_tree, missing_tree_text
from ota.messages import Command, command
from ota.nouns import in_set_up_order
from ota.outcomes import QUIET, Action, Change, blocked
from ota.run import Run
from ota.threads import side_by_side

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


def make_plan(run: Run) -> Plan:
    """What ``all`` would do, object by object.

    Raises:
        CredentialsError: AWS refuses the credentials, so that no look is possible.
    """
    for service in ("iot", "s3", "iam"):
        getattr(run.cloud, service)  # made one after the other, for making two at once takes no less time
    guess = run.settings.existing_certificate_arn or _arn_of_file(run)
    (certificate, thing), header, policy, bucket, role, found = side_by_side(
        partial(plan_identity, run),
        partial(plan_header, run),
        partial(attempt, partial(_look_at_policy, run, guess)),
        partial(delivery.plan_bucket, run),
        partial(delivery.plan_role, run),
        partial(delivery.look_at_delivery, run),
    )
    arn = chosen_arn(certificate)
    if arn not in (None, guess):
        policy = attempt(partial(_look_at_policy, run, arn))
    image = delivery.plan_image(
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
        bucket,
        role,
        image,
        *delivery.plan_update(run, found, image),
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
    state = found if isinstance(found, OtaError) else attempt(partial(look, found=found))
    certificate = _plan_certificate(run, state)
    arn = chosen_arn(certificate)
    is_attached = thing is not None and arn is not None and thing.is_attached(arn)
    attaches = not is_attached and certificate.action is not Action.BLOCKED
    return certificate, things.decide_thing(settings.thing_name, thing, attaches=attaches)


def plan_header(run: Run) -> Change:
    """The change of the firmware's header; asks AWS for the endpoint."""
    settings, header_format = run.settings, run.settings.profile.header_format
    skipped = partial(Change, headers.NOUN, Action.SKIP, header_format.name)
    if not settings.target_application:
        return skipped("target_application is not set")
    if not has_firmware_tree(settings.firmware_root):
        return skipped(missing_tree_text(settings.firmware_root))
    root, application = settings.firmware_root, settings.target_application
    found = attempt(partial(headers.find_header, root, application, header_format))
    if isinstance(found, OtaError) or found is None:
        return blocked(headers.NOUN, header_format.name, found or OtaError(missing_tree_text(root)))
    wanted = headers.Header(found.path, header_format, run.cloud.data_endpoint, settings.thing_name)
    notes = [find_note(path, found.path) for path in run.header_notes_paths]
    note = next((one for one in notes if one is not NOTHING), NOTHING)
    return headers.decide_header(found, wanted, note, may_replace=run.may_replace_header)


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
    local = attempt(partial(find_certificate_file, run.settings.certificate_path))
    if local is None or isinstance(local, OtaError):
        return None
    return desired_state.iot_arn(run.cloud, f"cert/{local.id}")
