"""Plans ``all``: looks at every object and decides what has to become of it, as changes.

``set_up.py`` carries the same changes out, one object after the other, so that ``all`` is ``plan`` carried out. A plan
makes every look side by side, in four round trips with the one for the account's number. Only two looks take more: the
search for the certificate of a run that was cut off, which goes through the account's certificates, and a listing of
more than one page.

Source: ``set_up.py`` for the order of the objects; the ``decide_`` functions of the nouns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ota import certificates, desired_state, policies, things
from ota.certificate_decisions import chosen_arn, decide_certificate, writes_certificate_file
from ota.certificate_files import find_certificate_file
from ota.command_lines import AND, INVOKE, aim
from ota.errors import CredentialsError, OtaError, from_boto
from ota.firmware import headers
from ota.firmware.header_notes import NOTHING, find_note
from ota.firmware.tree import has_firmware_tree, missing_tree_text
from ota.messages import PLAIN, AnyCommand, Command, CommandLine, Remedy, command
from ota.nouns import in_set_up_order
from ota.outcomes import QUIET, Action, Change, blocked
from ota.threads import side_by_side

if TYPE_CHECKING:
    from pathlib import Path

    from ota.cloud import Cloud
    from ota.settings.settings import Settings

T = TypeVar("T")

CHANGING = (Action.CHANGE, Action.ASK)

SANDBOX_SHELL = f'eval "$({INVOKE} sandbox.env)"'


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


@dataclass(frozen=True)
class Site:
    """What a look is about.

    Attributes:
        cloud: the account.
        settings: for that account.
        boundary_arn: the permissions boundary that a role gets.
        may_replace_header: whether values that somebody put into the header are replaced; None where somebody at
            a terminal would be asked.
        header_notes_paths: where the notes of what was written into firmware headers are.
        command_line: how this command line began, for the commands that mend.
        prefix: how this command line began, for the commands that mend: "invoke sandbox with --thing-name lamp-2".
    """

    cloud: Cloud
    settings: Settings
    boundary_arn: str | None = None
    may_replace_header: bool | None = False
    prefix: str = INVOKE
    command_line: CommandLine = PLAIN
    header_notes_paths: tuple[Path, ...] = ()

    def command(self, command: str | AnyCommand | Remedy) -> str:
        """A remedy as this command line has to give it: on the same settings and the same cloud. Done once or twice."""
        if not isinstance(command, str):
            return self.command_line.remedy(command)
        if SANDBOX_SHELL in command:
            return command
        return AND.join(self._aimed(part) for part in aim(command, self.prefix).split(AND)) if command else ""

    def _aimed(self, part: str) -> str:
        if part.startswith("aws ") and self.cloud.is_sandbox:
            # In a shell of its own, so that the user's is not left pointing at the sandbox.
            return f"({SANDBOX_SHELL} && {part})"
        return part


def attempt(look: Callable[[], T]) -> T | OtaError:
    """What a look found, or its error as a value, so that the other looks go on.

    Raises:
        CredentialsError: no look can be made with these.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return look()
    except CredentialsError:
        raise
    except OtaError as error:
        return error
    except (BotoCoreError, ClientError) as error:
        translated = from_boto(error)
        if isinstance(translated, CredentialsError):
            raise translated from error
        return translated


def aimed(site: Site, steps: Iterable[Change]) -> Plan:
    """The plan, with each command as this command line has to give it."""
    return Plan(tuple(replace(step, command=site.command(step.command)) for step in steps))


def make_plan(site: Site) -> Plan:
    """What ``all`` would do, object by object.

    Raises:
        CredentialsError: AWS refuses the credentials, so that no look is possible.
    """
    from ota import plan_delivery as delivery  # it imports this module

    for service in ("iot", "s3", "iam"):
        getattr(site.cloud, service)  # made one after the other, for making two at once takes no less time
    guess = site.settings.existing_certificate_arn or _arn_of_file(site)
    (certificate, thing), header, policy, bucket, role, found = side_by_side(
        partial(plan_identity, site),
        partial(plan_header, site),
        partial(attempt, partial(_look_at_policy, site, guess)),
        partial(delivery.plan_bucket, site),
        partial(delivery.plan_role, site),
        partial(delivery.look_at_delivery, site),
    )
    arn = chosen_arn(certificate)
    if arn not in (None, guess):
        policy = attempt(partial(_look_at_policy, site, arn))
    image = delivery.plan_image(
        site,
        found,
        changes_header=header.action in CHANGING,
        changes_certificate=writes_certificate_file(certificate),
    )
    steps = [
        certificate,
        thing,
        header,
        plan_policy(site, policy, arn, attaches=certificate.action is not Action.BLOCKED),
        bucket,
        role,
        image,
        *delivery.plan_update(site, found, image),
    ]
    return aimed(site, in_set_up_order(steps))


def plan_identity(site: Site) -> tuple[Change, Change]:
    """The changes of the certificate and of the thing."""
    iot, settings = site.cloud.iot, site.settings
    files, existing_arn = desired_state.certificate_files(settings), settings.existing_certificate_arn
    thing_arn = desired_state.iot_arn(site.cloud, f"thing/{settings.thing_name}")
    thing, found = side_by_side(
        partial(attempt, partial(things.find_thing_by_principals, iot, settings.thing_name, thing_arn)),
        partial(attempt, partial(certificates.find_local_certificate, iot, files, existing_arn=existing_arn)),
    )
    if isinstance(thing, OtaError):
        return _blocked_certificate(site, thing), blocked("thing", settings.thing_name, thing)
    look = partial(
        certificates.look_at_certificate,
        iot,
        files,
        attached=thing.principals if thing else (),
        thing_name=settings.thing_name,
        existing_arn=existing_arn,
    )
    state = found if isinstance(found, OtaError) else attempt(partial(look, found=found))
    certificate = _plan_certificate(site, state)
    arn = chosen_arn(certificate)
    is_attached = thing is not None and arn is not None and thing.is_attached(arn)
    attaches = not is_attached and certificate.action is not Action.BLOCKED
    return certificate, things.decide_thing(settings.thing_name, thing, attaches=attaches)


def plan_header(site: Site) -> Change:
    """The change of the firmware's header; asks AWS for the endpoint."""
    settings, header_format = site.settings, site.settings.profile.header_format
    skipped = partial(Change, headers.NOUN, Action.SKIP, header_format.name)
    if not settings.target_application:
        return skipped("target_application is not set")
    if not has_firmware_tree(settings.firmware_root):
        return skipped(missing_tree_text(settings.firmware_root))
    root, application = settings.firmware_root, settings.target_application
    found = attempt(partial(headers.find_header, root, application, header_format))
    if isinstance(found, OtaError) or found is None:
        return blocked(headers.NOUN, header_format.name, found or OtaError(missing_tree_text(root)))
    wanted = headers.Header(found.path, header_format, site.cloud.data_endpoint, settings.thing_name)
    notes = [find_note(path, found.path) for path in site.header_notes_paths]
    note = next((one for one in notes if one is not NOTHING), NOTHING)
    return headers.decide_header(found, wanted, note, may_replace=site.may_replace_header)


def plan_policy(
    site: Site, found: policies.FoundPolicy | OtaError, certificate_arn: str | None, *, attaches: bool = True
) -> Change:
    """The change of the policy; ``attaches`` is False where no certificate can be used."""
    iot, name, wanted = (
        site.cloud.iot,
        site.settings.policy_name,
        desired_state.wanted_policy(site.cloud, site.settings),
    )
    if isinstance(found, OtaError):
        return blocked("policy", name, found, command("all", policy_name=f"{name}-ota"))
    return policies.decide_policy(iot, name, found, wanted, certificate_arn, attaches=attaches)


def _look_at_policy(site: Site, certificate_arn: str | None) -> policies.FoundPolicy:
    wanted = desired_state.wanted_policy(site.cloud, site.settings)
    return policies.look_at_policy(site.cloud.iot, site.settings.policy_name, wanted, certificate_arn)


def _plan_certificate(site: Site, state: certificates.FoundCertificate | OtaError) -> Change:
    if isinstance(state, OtaError):
        return _blocked_certificate(site, state)
    change = decide_certificate(state)
    is_blocked = change.action is Action.BLOCKED
    return replace(change, command=change.command or _another_certificate(site)) if is_blocked else change


def _blocked_certificate(site: Site, error: OtaError) -> Change:
    name = site.settings.existing_certificate_arn or site.settings.certificate_path.name
    return blocked("certificate", name, error, _another_certificate(site))


def _another_certificate(site: Site) -> Command:
    """The way out where a problem has none of its own: a certificate apart from the one in the way."""
    settings = site.settings
    if settings.existing_certificate_arn:
        return command("all", existing_certificate_arn="CREATE_NEW_CERTIFICATE")
    return command("all", credentials_path=f"{settings.credentials_path.name}-{settings.thing_name}")


def _arn_of_file(site: Site) -> str | None:
    """The ARN that the certificate in the file has in this account; None where no readable file is."""
    local = attempt(partial(find_certificate_file, site.settings.certificate_path))
    if local is None or isinstance(local, OtaError):
        return None
    return desired_state.iot_arn(site.cloud, f"cert/{local.id}")
