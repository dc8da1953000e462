"""The IAM role that the OTA service assumes to read the image and to make stream and job.

It trusts only AWS IoT, and only on behalf of this account and region (the confused-deputy guard), and may do only
what one update needs. The service's own managed policy serves as the list of what that is, cut down to one bucket
and to the names that the service gives its jobs and streams, plus what the policy lacks: the role passes *itself* on
to the stream. Left out of it are signing with AWS Signer, writing objects, and listing all buckets of the account:
an image with a custom signature, whose bucket is named in the call, needs none of them.

A role that somebody else made is never changed: it is read whole, and when it falls short the statement that is
missing is shown, ready to paste.

Source: IAM CreateRole, PutRolePolicy, DeleteRole; AWS managed policy AmazonFreeRTOSOTAUpdate; Service Authorization
Reference, "AWS IoT" (job*, thing*, thinggroup*, stream*); IAM User Guide, "The confused deputy problem".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.errors import CloudError, InTheWay, OtaError, SettingsError
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.policy_documents import POLICY_VERSION, is_same_policy
from ota.role_policies import (
    Attached,
    decoded,
    delete_inline,
    detach_all,
    find_inline_document,
    holds_foreign,
    permission_shortcomings,
    put_permissions,
    trust_shortcomings,
)
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

OTA_SERVICE = "iot.amazonaws.com"
DESCRIPTION = "Assumed by AWS IoT to deliver OTA updates; made by ota-tasks"
REPAIRED_KEY = "ota-repaired"
YOUNG_S = 60.0

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Role:
    """A role as IAM describes it.

    Attributes:
        name: its name, without the path.
        arn: its ARN.
        trust: the decoded trust document.
        tags: its tags, among them the marks of ownership where it is ours. A listing does not give them.
        boundary_arn: its permissions boundary, where it has one. A listing does not give it.
        created_at: when it was made; None for one made in this run.
        settling_s: for how many seconds it has been as it is, by AWS's clock; None where it comes from a listing.
    """

    name: str
    arn: str
    trust: Document
    tags: Mapping[str, str] = field(default_factory=dict)
    boundary_arn: str | None = None
    created_at: datetime | None = field(default=None, compare=False)
    settling_s: float | None = field(default=None, compare=False)

    def left_to_settle_s(self, timeout_s: float) -> float:
        """What is left of the time that IAM needs to make it known everywhere, where that takes ``timeout_s``."""
        return 0.0 if self.settling_s is None else max(0.0, timeout_s - self.settling_s)


def role_arn(partition: str, account_id: str, name: str) -> str:
    """The ARN that a role by this name has, before it is made."""
    return f"arn:{partition}:iam::{account_id}:role/{name}"


def role_trust_document(account_id: str, region: str, partition: str) -> dict[str, Any]:
    """Who may assume the role: AWS IoT, acting for this account in this region."""
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": OTA_SERVICE},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account_id},
                    "ArnLike": {"aws:SourceArn": f"arn:{partition}:iot:{region}:{account_id}:*"},
                },
            }
        ],
    }


def role_permissions_document(
    partition: str, region: str, account_id: str, bucket: str, role_arn: str
) -> dict[str, Any]:
    """What the role may do: read images of one bucket, make and delete the update's stream and job, pass itself."""
    iot = f"arn:{partition}:iot:{region}:{account_id}"
    job, stream = f"{iot}:job/AFR_OTA*", f"{iot}:stream/AFR_OTA*"  # the prefix is the service's own
    return {
        "Version": POLICY_VERSION,
        "Statement": [
            _allow(["s3:GetObject", "s3:GetObjectVersion"], [f"arn:{partition}:s3:::{bucket}/*"]),
            _allow(
                ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"], [f"arn:{partition}:s3:::{bucket}"]
            ),
            _allow(["iot:CreateStream", "iot:DeleteStream"], [stream]),
            _allow(["iot:DeleteJob", "iot:DescribeJob"], [job]),
            # CreateJob is asked for the job and for each of its targets.
            _allow(["iot:CreateJob"], [job, f"{iot}:thing/*", f"{iot}:thinggroup/*"]),
            _allow(["iam:GetRole", "iam:PassRole"], [role_arn]),
        ],
    }


def find_role(iam: IAMClient, name: str) -> Role | None:
    """The role by this name, in one call."""
    try:
        answer = iam.get_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        return None
    role = _role(answer["Role"])
    return replace(role, settling_s=_seconds_unchanged(role, answer["ResponseMetadata"]))


def ensure_role(
    iam: IAMClient,
    name: str,
    *,
    trust: Document,
    permissions: Document,
    boundary_arn: str | None,
    thing_name: str,
) -> Outcome[Role]:
    """A role that the OTA service can assume and that may do what the update needs.

    Args:
        iam: the client.
        name: the role's name, prefix included.
        trust: from :func:`role_trust_document`.
        permissions: from :func:`role_permissions_document`.
        boundary_arn: the permissions boundary to put on it; None for none. One that is there is never taken off.
        thing_name: whose role it is.

    Raises:
        InTheWay: somebody else's role by this name falls short; the message holds what to add.
        SettingsError: the boundary does not exist.
        CloudError: IAM refuses the documents, or the account's number of roles is used up.
    """
    found = find_role(iam, name)
    if found is None:
        found = _create(iam, name, trust, boundary_arn, thing_name)
        if found is not None:
            put_permissions(iam, name, permissions)
            return Outcome("role", Verb.CREATED, name, _boundary_detail(found), found)
        found = find_role(iam, name)
        if found is None:
            raise CloudError(f"The role {name} comes and goes: another run is deleting it. Run this again after that.")
    if ownership.is_ours(found.tags, thing_name):
        return _restored(iam, found, trust, permissions, boundary_arn)
    check_foreign(iam, found, trust, permissions)
    return Outcome("role", Verb.REUSED, name, "not made by this tool; grants what is needed", found)


def needed_repairs(
    found: Role, there: Document | None, trust: Document, permissions: Document, boundary_arn: str | None
) -> tuple[str, ...]:
    """What of our own role differs from what is wanted: "permissions", "trust", "boundary". ``there``: its policy."""
    is_other = {
        "permissions": there is None or not is_same_policy(there, permissions),
        "trust": not is_same_policy(found.trust, trust),
        "boundary": bool(boundary_arn) and found.boundary_arn != boundary_arn,
    }
    return tuple(what for what, differs in is_other.items() if differs)


def check_foreign(
    iam: IAMClient, role: Role, trust: Document, permissions: Document, attached: Attached | None = None
) -> None:
    """Refuse a role of somebody else's that would make AWS fail the update; only looks.

    ``attached``: what policies it has, where that is known already.

    Raises:
        InTheWay: it falls short; the message holds what to add.
    """
    problems = trust_shortcomings(iam, role.name, role.trust, trust, OTA_SERVICE)
    problems += permission_shortcomings(iam, role.name, role.boundary_arn, permissions, attached)
    if problems:
        first = f"The role {role.name} was not made by this tool and does not serve OTA updates as it is."
        last = "Or write another iam_role_name in config.json, and this tool makes a role that does."
        commands = [problem.command for problem in problems]
        raise InTheWay(
            "\n".join([first, *(problem.text for problem in problems), last]),
            remedy=" && ".join(commands) if all(commands) else "",
            brief=f"it was not made by this tool, and {'; '.join(problem.brief for problem in problems)}",
        )


def decide_role_deletion(
    found: Role | None,
    name: str,
    owner: str | None,
    *,
    need: OtaError | None = None,
    foreign: Sequence[str] = (),
) -> Change:
    """Whether ``clean`` deletes the role.

    Args:
        found: from :func:`find_role`.
        name: the role's name.
        owner: the thing that it must be made for; None forces the deletion.
        need: why something that stays still needs it.
        foreign: what others attached to it; empty too where nobody has looked, and IAM will refuse the deletion.
    """
    if found is None:
        return Change("role", Action.ABSENT, name)
    if owner is not None and not ownership.is_ours(found.tags, owner):
        return Change("role", Action.KEEP, name, ownership.reason_to_keep(found.tags, owner), found=found)
    if need is not None:
        return blocked("role", name, need)
    if owner is not None and foreign:
        return blocked("role", name, holds_foreign(name, foreign))
    return Change("role", Action.DELETE, name, ", ".join(["with its policy", *foreign]), found=found)


def delete_role(iam: IAMClient, name: str, *, force: bool = False) -> Outcome[None]:
    """Delete the role; absent is success. ``force`` detaches everything from it first.

    Raises:
        InTheWay: something is attached to it that this tool did not attach, and ``force`` is not given.
    """
    was_there = delete_inline(iam, name)
    try:
        iam.delete_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        return Outcome("role", Verb.DELETED if was_there else Verb.ABSENT, name)
    except iam.exceptions.DeleteConflictException:
        detach_all(iam, name, force=force)
        iam.delete_role(RoleName=name)
    return Outcome("role", Verb.DELETED, name)


def list_roles(iam: IAMClient) -> Iterator[Role]:
    """All roles of the account, page by page, without tags and boundaries."""
    for page in iam.get_paginator("list_roles").paginate():
        for one in page["Roles"]:
            yield _role(one)


def _allow(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def _role(described: Any) -> Role:
    return Role(
        described["RoleName"],
        described["Arn"],
        decoded(described["AssumeRolePolicyDocument"]),
        ownership.from_tags(described.get("Tags", [])),
        described.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        described.get("CreateDate"),
    )


def _create(iam: IAMClient, name: str, trust: Document, boundary_arn: str | None, thing_name: str) -> Role | None:
    """The new role; None where another run of ours was quicker."""
    request: dict[str, Any] = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(trust),
        "Description": DESCRIPTION,
        "Tags": ownership.mark_tags(thing_name),
    }
    if boundary_arn:
        request["PermissionsBoundary"] = boundary_arn
    try:
        described: Any = iam.create_role(**request)["Role"]
    except iam.exceptions.EntityAlreadyExistsException:
        return None
    except iam.exceptions.NoSuchEntityException as error:
        raise _no_boundary(boundary_arn) from error
    except iam.exceptions.MalformedPolicyDocumentException as error:
        raise CloudError(
            f"IAM refuses the trust document of the role {name}: {error}. That is a mistake of this tool: "
            "please report it."
        ) from error
    except iam.exceptions.LimitExceededException as error:
        raise CloudError(
            f"The account has no room for the role {name}: {error}. Delete roles that nobody needs, or name an "
            "existing one as iam_role_name in config.json."
        ) from error
    return Role(name, described["Arn"], dict(trust), ownership.marks(thing_name), boundary_arn, settling_s=0.0)


def _no_boundary(boundary_arn: str | None) -> SettingsError:
    return SettingsError(
        [
            f"permissions_boundary: there is no IAM policy {boundary_arn}. Correct the ARN in config.json "
            "(`aws iam list-policies --scope Local` shows what there is), or leave it empty for a role without one."
        ]
    )


def _boundary_detail(role: Role) -> str:
    return f"with the boundary {role.boundary_arn}" if role.boundary_arn else "without a permissions boundary"


def _restored(
    iam: IAMClient, found: Role, trust: Document, permissions: Document, boundary_arn: str | None
) -> Outcome[Role]:
    """Our own role, with whatever differs put right."""
    repairs = needed_repairs(found, find_inline_document(iam, found.name), trust, permissions, boundary_arn)
    acts: dict[str, Callable[[], object]] = {
        "permissions": partial(put_permissions, iam, found.name, permissions),
        "trust": partial(iam.update_assume_role_policy, RoleName=found.name, PolicyDocument=json.dumps(trust)),
        "boundary": partial(_put_boundary, iam, found.name, boundary_arn or ""),
    }
    boundary = boundary_arn or found.boundary_arn
    now = replace(found, trust=dict(trust), boundary_arn=boundary)
    if not repairs:
        return Outcome("role", Verb.REUSED, found.name, _boundary_detail(now), now)
    _note_repair(iam, found)
    # First, for the operator's policy allows the others only on a role that has the boundary.
    if "boundary" in repairs:
        acts["boundary"]()
    side_by_side(*(acts[what] for what in repairs if what != "boundary"))
    now = replace(now, settling_s=0.0)
    return Outcome("role", Verb.CHANGED, found.name, f"{', '.join(repairs)} put right; {_boundary_detail(now)}", now)


def _note_repair(iam: IAMClient, found: Role) -> None:
    """Write the time on a role that is no longer young, for a run that carries this one on: IAM tells no such time."""
    if found.settling_s is not None and found.settling_s < YOUNG_S:
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    iam.tag_role(RoleName=found.name, Tags=[{"Key": REPAIRED_KEY, "Value": now}])


def _seconds_unchanged(role: Role, answer: Any) -> float | None:
    """How long ago the role was made or repaired, by the clock of the answer that tells of it."""
    now = datetime.now(timezone.utc)
    with suppress(KeyError, ValueError):
        now = parsedate_to_datetime(answer["HTTPHeaders"]["date"])
    changed = [role.created_at] if role.created_at else []
    with suppress(KeyError, ValueError):  # a tag can be edited by hand
        changed.append(datetime.fromisoformat(role.tags[REPAIRED_KEY]).astimezone(timezone.utc))
    return max(0.0, (now - max(changed)).total_seconds()) if changed else None


def _put_boundary(iam: IAMClient, name: str, boundary_arn: str) -> None:
    try:
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary_arn)
    except iam.exceptions.NoSuchEntityException as error:
        raise _no_boundary(boundary_arn) from error
