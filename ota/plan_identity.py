"""What would become of certificate, thing, header and policy.

The looks run side by side, the policies of the certificate file's own certificate among them: its ARN is known from
the file. Only where another certificate is chosen, one that a cut-off run left, are its policies asked for after that.

Source: ``certificates.choose_certificate``, ``policies.judge_policy``, ``headers``: the decisions of ``all``.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ota import certificates, desired_state, policies, things
from ota.certificate_files import find_certificate_file
from ota.errors import OtaError
from ota.firmware import headers
from ota.firmware.header_notes import NOTHING, find_note
from ota.firmware.tree import has_firmware_tree, missing_tree_text
from ota.outcomes import Action, Change, Verb, blocked
from ota.plan import Site, attempt
from ota.policy_documents import difference
from ota.threads import side_by_side

ACTIONS = {Verb.CREATED: Action.CREATE, Verb.REUSED: Action.REUSE, Verb.CHANGED: Action.CHANGE}


@dataclass(frozen=True)
class Identity:
    """Thing and certificate as they are.

    Attributes:
        thing: as found, or why it could not be looked for.
        choice: what is to become of the certificate, or why none can be used.
        attached: names of the policies that the chosen certificate has.
    """

    thing: things.Thing | OtaError | None
    choice: certificates.Choice | OtaError
    attached: Collection[str] | OtaError = ()

    @property
    def certificate_arn(self) -> str | None:
        """The certificate that would be used; None for one that is yet to be made."""
        certificate = None if isinstance(self.choice, OtaError) else self.choice.certificate
        return certificate.arn if certificate else None

    @property
    def writes_certificate(self) -> bool:
        """Whether the certificate file would change."""
        return not isinstance(self.choice, OtaError) and self.choice.writes_file


@dataclass(frozen=True)
class PolicyLook:
    """The policy by the settings' name with its tags; for each, why it could not be looked for."""

    found: policies.Policy | OtaError | None
    tags: Mapping[str, str] | OtaError | None

    def given_tags(self) -> Mapping[str, str] | None:
        """The tags; raises why they are not known."""
        if isinstance(self.tags, OtaError):
            raise self.tags
        return self.tags


def look_at_identity(site: Site) -> Identity:
    """Thing, certificate and its policies."""
    iot, settings = site.cloud.iot, site.settings
    files, existing_arn = desired_state.certificate_files(settings), settings.existing_certificate_arn
    find_local = partial(certificates.find_local_certificate, iot, files, existing_arn=existing_arn)
    guess = existing_arn or _arn_of_file(site)
    thing, found, attached = side_by_side(
        partial(attempt, partial(things.find_thing, iot, settings.thing_name)),
        partial(attempt, find_local),
        partial(attempt, partial(_attached, site, guess)),
    )
    if isinstance(thing, OtaError):
        return Identity(thing, thing)
    if isinstance(found, OtaError):
        return Identity(thing, found)
    choose = partial(
        certificates.choose_certificate,
        iot,
        files,
        found=found,
        attached=thing.principals if thing else (),
        thing_name=settings.thing_name,
        existing_arn=existing_arn,
    )
    identity = Identity(thing, attempt(choose), attached)
    if identity.certificate_arn in (None, guess):
        return identity
    return Identity(thing, identity.choice, attempt(partial(_attached, site, identity.certificate_arn)))


def plan_identity(site: Site, identity: Identity) -> tuple[Change, Change]:
    """The certificate's step and the thing's."""
    return _plan_certificate(site, identity), _plan_thing(site, identity)


def plan_header(site: Site) -> Change:
    """The step of the firmware's header; asks AWS for the endpoint."""
    settings = site.settings
    header_format = settings.profile.header_format
    if not settings.target_application:
        return Change("header", Action.SKIP, header_format.name, "target_application is not set")
    if not has_firmware_tree(settings.firmware_root):
        return Change("header", Action.SKIP, header_format.name, missing_tree_text(settings.firmware_root))
    found = attempt(partial(headers.find_header, settings.firmware_root, settings.target_application, header_format))
    if isinstance(found, OtaError) or found is None:
        return blocked("header", header_format.name, found or OtaError(missing_tree_text(settings.firmware_root)))
    wanted_header = headers.Header(found.path, header_format, site.cloud.data_endpoint, settings.thing_name)
    return _compare_header(site, found, wanted_header)


def look_at_policy(site: Site) -> PolicyLook:
    """The policy, and its tags."""
    cloud, name = site.cloud, site.settings.policy_name
    arn = policies.policy_arn(cloud.partition, cloud.region, cloud.account_id, name)
    found, tags = side_by_side(
        partial(attempt, partial(policies.find_policy, cloud.iot, name)),
        partial(attempt, partial(policies.find_policy_tags, cloud.iot, arn)),
    )
    return PolicyLook(found, tags)


def plan_policy(site: Site, look: PolicyLook, identity: Identity) -> Change:
    """The step of the policy: its document, and whether it hangs on the certificate."""
    settings, name, found = site.settings, site.settings.policy_name, look.found
    if isinstance(found, OtaError):
        return blocked("policy", name, found)
    document = desired_state.policy_document(site.cloud)
    other_name = f"invoke with --policy-name {name}-ota all"
    try:
        verb = policies.judge_policy(found, document, settings.thing_name, look.given_tags)
        attaches = _attaches(site, identity)
    except OtaError as error:
        return blocked("policy", name, error, other_name)
    detail = ["other document: a new default version"] if verb is Verb.CHANGED else []
    changed = difference(found.document or {}, document, name) if found and verb is Verb.CHANGED else ""
    if attaches:
        detail.append("attached to the certificate")
        verb = Verb.CHANGED if verb is Verb.REUSED else verb
    return Change("policy", ACTIONS[verb], name, ", ".join(detail), changed)


def _plan_certificate(site: Site, identity: Identity) -> Change:
    choice, settings = identity.choice, site.settings
    if isinstance(choice, OtaError):
        name = settings.existing_certificate_arn or settings.certificate_path.name
        folder = shlex.quote(f"{settings.credentials_path.name}-{settings.thing_name}")
        own_folder = f"invoke with --credentials-path {folder} all"
        new_one = "invoke with --existing-certificate-arn CREATE_NEW_CERTIFICATE all"
        step = blocked("certificate", name, choice, new_one if settings.existing_certificate_arn else own_folder)
        # These messages say what is wrong, and behind a colon every way out.
        return replace(step, brief=str(step.brief).partition(": ")[0])
    if choice.certificate is None:
        key = "for the key that is there" if choice.look.key else "with a new key"
        return Change(
            "certificate", Action.CREATE, f"of {settings.thing_name}", f"{key}, into {settings.certificate_path}"
        )
    written = f"written to {settings.certificate_path}" if choice.writes_file else ""
    detail = "; ".join(filter(None, [choice.detail, written]))
    return Change("certificate", Action.REUSE, choice.certificate.id, detail)


def _plan_thing(site: Site, identity: Identity) -> Change:
    name, thing = site.settings.thing_name, identity.thing
    if isinstance(thing, OtaError):
        return blocked("thing", name, thing)
    if thing is None:
        return Change("thing", Action.CREATE, name, "certificate attached")
    if isinstance(identity.choice, OtaError):
        return Change("thing", Action.REUSE, name)
    arn = identity.certificate_arn
    if arn and thing.is_attached(arn):
        return Change("thing", Action.REUSE, name)
    return Change("thing", Action.CHANGE, name, "certificate attached")


def _compare_header(site: Site, found: headers.Header, wanted_header: headers.Header) -> Change:
    name = found.path.name
    if found == wanted_header:
        return Change("header", Action.REUSE, name, f"{found.thing_name} at {found.endpoint}")
    lines = headers.difference(found, wanted_header)
    notes = [find_note(path, found.path) for path in site.header_notes_paths]
    note = next((one for one in notes if one is not NOTHING), NOTHING)
    if not headers.is_by_hand(found, wanted_header, note) or site.may_replace_header:
        return Change("header", Action.CHANGE, name, f"{wanted_header.thing_name} at {wanted_header.endpoint}", lines)
    if site.may_replace_header is None:
        return Change("header", Action.ASK, name, "was set by hand: all asks before it replaces these values", lines)
    return blocked("header", name, headers.kept_by_hand(found, wanted_header))


def _attaches(site: Site, identity: Identity) -> bool:
    """Whether the policy would be attached; InTheWay where the certificate has as many as AWS allows."""
    name, arn, attached = site.settings.policy_name, identity.certificate_arn, identity.attached
    if isinstance(identity.choice, OtaError):
        return False  # nothing comes of it before the certificate is mended
    if isinstance(attached, OtaError):
        raise attached
    if arn is None or name in attached:
        return arn is None
    if len(attached) >= policies.MOST_ATTACHED:
        raise policies.too_many_policies(site.cloud.iot, name, arn, attached)
    return True


def _arn_of_file(site: Site) -> str | None:
    """The ARN that the certificate file's certificate has in this account, where there is a readable one."""
    local = attempt(partial(find_certificate_file, site.settings.certificate_path))
    if local is None or isinstance(local, OtaError):
        return None
    return desired_state.iot_arn(site.cloud, f"cert/{local.id}")


def _attached(site: Site, certificate_arn: str | None) -> list[str]:
    return list(policies.list_attached_policies(site.cloud.iot, certificate_arn)) if certificate_arn else []
