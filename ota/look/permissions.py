"""Prints the operator's policy for this account, region and these names, ready to be pasted into IAM.

Only the document goes to stdout. Notes on what it leaves out, and what in it AWS cannot bound, go to stderr. With
account and region given, no call is made and no credentials are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ota.environment import checked_region
from ota.errors import CredentialsError, OtaError
from ota.look.operator_policy import (
    EXTRA_BY_NAME,
    EXTRAS,
    MOST_CHARS,
    NAMED_SETTINGS,
    USES_OF_TASK,
    PolicyScope,
    actions_of,
    boundary_document,
    names_for,
    operator_policy_document,
    tidy_pattern,
    uses_of,
)
from ota.messages import Text, command, message
from ota.settings.formatter import format_text
from ota.settings.sources import BUILT_IN, UNSET

if TYPE_CHECKING:
    from ota.run import Run
    from ota.settings.settings import Settings

ACCOUNT = re.compile(r"\d{12}")
THING_PATTERN = re.compile(r"[a-zA-Z0-9:_*?-]{1,128}")
EXAMPLE = command("permissions", "--account", "123456789012", "--region", "eu-west-1")
CERTIFICATE_CHANGES = (
    "iot:UpdateCertificate",
    "iot:DeleteCertificate",
    "iot:AttachPolicy",
    "iot:DetachPolicy",
    "iot:AttachThingPrincipal",
    "iot:DetachThingPrincipal",
)


@dataclass(frozen=True)
class Flags:
    """What the task's flags ask for.

    Attributes:
        tasks: whose permissions; none for all tasks.
        also: names of extras.
        account: twelve digits; empty to ask AWS.
        region: empty for the environment's, or to ask AWS.
        things: a pattern of thing names; empty for the setting ``thing_name``.
        devices: a pattern of the names of registered devices; empty for those that begin with the thing's name.
        boundary: whether the boundary's document is wanted instead.
    """

    tasks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    account: str = ""
    region: str = ""
    things: str = ""
    devices: str = ""
    boundary: bool = False


def read_flags(*, tasks: str, also: str, account: str, region: str, things: str, devices: str, boundary: bool) -> Flags:
    """The flags, checked; ``tasks`` and ``also`` are separated by commas.

    Raises:
        OtaError: a value cannot be one.
    """
    flags = Flags(
        tasks=tuple(dict.fromkeys(one.partition(".")[0] for one in _split(tasks))),
        also=_split(also),
        account=account,
        region=region,
        things=things,
        devices=devices,
        boundary=boundary,
    )
    _check_known("--for", flags.tasks, USES_OF_TASK)
    _check_known("--also", flags.also, EXTRA_BY_NAME)
    if account and not ACCOUNT.fullmatch(account):
        raise OtaError(f"--account {account}: an AWS account is twelve digits, such as ", EXAMPLE, ".", remedy=EXAMPLE)
    for flag, pattern in (("--things", things), ("--devices", devices)):
        if pattern and not THING_PATTERN.fullmatch(pattern):
            raise OtaError(f"{flag} {pattern}: thing names have a-z A-Z 0-9 : _ - and, as a pattern, * and ?.")
    return flags


def show(run: Run, flags: Flags) -> None:
    """Print the operator's policy, or the boundary's."""
    run.report.keep_stdout_clear()
    scope, settings = _scope(run, flags)
    if flags.boundary:
        run.report.note(f"the permissions boundary {scope.boundary}: what a role of these names may do at most")
        run.report.document(boundary_document(scope))
        return
    document = operator_policy_document(scope, tasks=flags.tasks, also=flags.also)
    for note in _notes(document, scope, flags, is_boundary_set=bool(run.boundary_in(settings))):
        run.report.note(message("note: ", note))
    run.report.document(document)


def _scope(run: Run, flags: Flags) -> tuple[PolicyScope, Settings]:
    """What the policy is for, and the settings that name it."""
    account = _account(run, flags)
    loaded = run.scope.loose_settings if flags.things else run.scope.settings
    settings = loaded.with_account(account.account_id, account.region)
    scope = replace(
        account,
        thing_name=flags.things or settings.thing_name,
        names=_pattern_names(settings, flags.things, account) if flags.things else _own_names(settings),
        boundary_arn=run.boundary_in(settings),
        certificate_arn=settings.existing_certificate_arn,
        devices=flags.devices,
        targets=settings.update_targets,
    )
    return scope, settings


def _account(run: Run, flags: Flags) -> PolicyScope:
    """Account and region as given, else those of the credentials; not yet with names.

    Raises:
        CredentialsError: they are not given, and there are no credentials.
    """
    environ = run.scope.environ
    region = flags.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if flags.account and region:
        return PolicyScope(_partition(checked_region(region)), region, flags.account)
    try:
        cloud = run.cloud
        account_id = flags.account or cloud.account_id
    except CredentialsError as error:
        raise CredentialsError(
            error.message, " Or give account and region, for which no credentials are needed: ", EXAMPLE, "."
        ) from error
    region = checked_region(flags.region or cloud.region)
    return PolicyScope(_partition(region), region, account_id)


def _partition(region: str) -> str:
    import botocore.session
    from botocore.exceptions import UnknownRegionError

    try:
        return botocore.session.Session().get_partition_for_region(region)
    except UnknownRegionError as error:
        raise OtaError(f"AWS has no region {region}: give one, such as ", EXAMPLE, ".", remedy=EXAMPLE) from error


def _own_names(settings: Settings) -> dict[str, str]:
    return {name: str(getattr(settings, name)) for name in NAMED_SETTINGS}


def _pattern_names(settings: Settings, things: str, account: PolicyScope) -> dict[str, str]:
    """The names as the settings make them, with the pattern in place of the thing's name."""
    values = {name: origin.formatted for name, origin in settings.origins.items()}
    values |= {"thing_name": things, "account_id": account.account_id, "region": account.region}
    names = names_for(things, account.account_id, role_prefix=settings.role_prefix)
    for name in NAMED_SETTINGS:
        origin = settings.origins[name]
        if origin.source not in (BUILT_IN, UNSET):
            written = format_text(origin.raw, values, setting=name)
            names[name] = tidy_pattern(written) if origin.is_default else written
    return names


def _notes(document: Mapping[str, Any], scope: PolicyScope, flags: Flags, *, is_boundary_set: bool) -> Iterator[Text]:
    """What a reader of the document has to know."""
    sids = [statement["Sid"] for statement in document["Statement"]]
    actions = actions_of(document)
    if "BoundedRole" in sids:
        text = f"a role is made and changed only with the permissions boundary {scope.boundary}."
        how = (" ", command("permissions", "--boundary"), " prints its document; set permissions_boundary to its ARN.")
        yield text if is_boundary_set else message(text, *how)
    changes = [action for action in CERTIFICATE_CHANGES if action in actions]
    if changes and not scope.certificate_arn:
        yield (
            f"not bounded: certificates have neither names nor tags, so {', '.join(changes)} hold for every "
            "certificate of this account and region."
        )
    if "iot:CreatePolicyVersion" in actions:
        yield (
            f"not bounded: the IoT policy {scope.all_names['policy_name']} can be made to allow any action of AWS IoT "
            "to a certificate."
        )
    if (length := len(json.dumps(document, separators=(",", ":")))) > MOST_CHARS:
        yield message(
            f"too long for one managed policy of IAM: {length:,} characters of {MOST_CHARS:,}. Print it in parts, "
            "such as ",
            command("permissions", "--for", "all,clean"),
            ", or put the devices of update_targets into a group.",
        )
    for name in flags.also:
        yield f"not bounded, asked for with --also {name}: its holder {EXTRA_BY_NAME[name].reach}."
    left_out = [one for one in EXTRAS if one.name not in flags.also and one.grant.actions_for(uses_of(flags.tasks))]
    for extra in left_out:
        yield f"left out, --also {extra.name} adds it: {extra.for_}."


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in text.split(","))))


def _check_known(flag: str, given: Sequence[str], known: Mapping[str, object]) -> None:
    unknown = [one for one in given if one not in known]
    if unknown:
        raise OtaError(f"{flag} {', '.join(unknown)}: it is one or several of {', '.join(known)}, with commas between.")
