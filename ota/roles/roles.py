"""The IAM role that the OTA service assumes to read the image and to make stream and job.

It trusts only AWS IoT, and only on behalf of this account and region (against a confused deputy). It may do only what
one update needs: the actions of the service's own managed policy, cut down to one bucket and to the names that the
service gives its jobs and streams, and passing *itself* on to the stream, which that policy lacks. It may not sign with
AWS Signer, write objects or list the account's buckets: an image with a custom signature in a named bucket needs none
of these.

A role that somebody else made is never changed. It is read whole, and where it falls short the message has the missing
statement, ready to paste.

The role is one noun in two files: ``role_policies`` has its documents and the policies attached to it.

Source: IAM CreateRole, PutRolePolicy, DeleteRole; AWS managed policy AmazonFreeRTOSOTAUpdate; Service Authorization
Reference, "AWS IoT" (job*, thing*, thinggroup*, stream*); IAM User Guide, "The confused deputy problem".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.aws_calls import answer_or_none, pages
from ota.errors import CloudError, InTheWay, OtaError, Problem, SettingsError
from ota.messages import Message, command, joined, message, shell
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.policy_documents import difference, is_same_policy
from ota.roles.permissions import (
    OTA_SERVICE,
    Shortcoming,
    decoded,
    delete_inline,
    detach_all,
    find_attached,
    find_inline_document,
    holds_foreign,
    managed_document,
    permission_shortcomings,
    policy_documents,
    put_permissions,
    trust_shortcomings,
)
from ota.threads import begin, side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

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
        tags: its tags; they include the marks of ownership where it is ours. A listing does not have them.
        boundary_arn: its permissions boundary, where it has one. A listing does not have it.
        created_at: when it was made; None for one made in this run.
        settling_s: seconds since it was made or repaired, by AWS's clock; None where it comes from a listing.
        description: as IAM has it.
    """

    name: str
    arn: str
    trust: Document
    tags: Mapping[str, str] = field(default_factory=dict)
    boundary_arn: str | None = None
    created_at: datetime | None = field(default=None, compare=False)
    settling_s: float | None = field(default=None, compare=False)
    description: str = field(default="", compare=False)

    @property
    def can_be_ours(self) -> bool:
        """Whether this tool may have made it, by what a listing has: ours trust AWS IoT or have our description."""
        return self.description == DESCRIPTION or OTA_SERVICE in json.dumps(self.trust)

    def left_to_settle_s(self, timeout_s: float) -> float:
        """What is left of the time that IAM needs to spread the role, which takes ``timeout_s`` at most."""
        return 0.0 if self.settling_s is None else max(0.0, timeout_s - self.settling_s)


@dataclass(frozen=True)
class FoundRole:
    """A role with the policies that decide about it.

    Attributes:
        role: the role.
        permissions: our own inline policy; None where it has none. Read of our own role only.
        granted: every policy document that it has. Read of somebody else's role only.
        bounds: the documents of its permissions boundary; None where it has none. Read of somebody else's role only.
    """

    role: Role
    permissions: Document | None = None
    granted: tuple[Document, ...] = ()
    bounds: tuple[Document, ...] | None = None


@dataclass(frozen=True)
class WantedRole:
    """The role that is wanted.

    Attributes:
        name: its name, prefix included.
        trust: from ``role_trust_document``.
        permissions: from ``role_permissions_document``.
        thing_name: the thing that it is made for.
        boundary_arn: the permissions boundary to put on it; None for none. One that exists is never removed.
        purpose: what it serves, for messages.
        setting: the setting that names it.
        task: the task that needs it.
        description: what IAM shows for it.
    """

    name: str
    trust: Document
    permissions: Document
    thing_name: str
    boundary_arn: str | None = None
    purpose: str = "OTA updates"
    setting: str = "iam_role_name"
    task: str = "all"
    description: str = DESCRIPTION


def find_role(iam: IAMClient, name: str) -> Role | None:
    """The role by this name, in one call."""
    answer = answer_or_none(iam.get_role, RoleName=name)
    if answer is None:
        return None
    role = _role(answer["Role"])
    return replace(role, settling_s=_seconds_unchanged(role, answer["ResponseMetadata"]))


def find_role_with_policies(
    iam: IAMClient, name: str, thing_name: str, *, reads_ahead: bool = False
) -> FoundRole | None:
    """The role with all that :func:`decide_role` needs: two calls where it is ours, more where it is not.

    ``reads_ahead`` reads the names of its policies beside the role, which saves a round trip and costs three calls.
    """
    reads: list[Callable[[], Any]] = [
        partial(find_role, iam, name),
        partial(find_inline_document, iam, name),
        partial(find_attached, iam, name),
    ]
    if reads_ahead:
        futures = begin(reads, len(reads))
        wait(futures)
        reads = [future.result for future in futures]
    read_role, read_permissions, read_attached = reads
    role: Role | None = read_role()
    if role is None:
        return None
    if ownership.is_ours(role.tags, thing_name):
        return FoundRole(role, permissions=read_permissions())
    boundary_arn = role.boundary_arn
    granted, bounds = side_by_side(
        partial(policy_documents, iam, name, read_attached()),
        lambda: (managed_document(iam, boundary_arn),) if boundary_arn else None,
    )
    return FoundRole(role, granted=tuple(granted), bounds=bounds)


def decide_role(iam: IAMClient, found: FoundRole | OtaError | None, wanted: WantedRole) -> Change:
    """What has to become of the role. Calls nothing; the commands in messages need the client's endpoint.

    ``found`` is from :func:`find_role_with_policies`, or the error that it raised.
    """
    change = partial(Change, "role", name=wanted.name, found=found, wanted=wanted)
    if isinstance(found, OtaError):
        return blocked("role", wanted.name, found)
    if found is None:
        return change(Action.CREATE, detail=_boundary_detail(wanted.boundary_arn))
    if ownership.is_ours(found.role.tags, wanted.thing_name):
        repairs = _repairs(found, wanted)
        if not repairs:
            return change(Action.REUSE)
        return change(Action.CHANGE, detail=f"{', '.join(repairs)} put right", difference="\n".join(repairs.values()))
    problem = _foreign_problem(iam, found, wanted)
    if problem:
        return blocked("role", wanted.name, problem, command(wanted.task, **{wanted.setting: f"{wanted.name}-ota"}))
    return change(Action.REUSE, detail="not made by this tool; grants what is needed")


def make_role(iam: IAMClient, change: Change) -> Outcome[Role]:
    """Carry the change out: a role that the OTA service can assume and that may do what the update needs.

    Raises:
        OtaError: the change is blocked.
        SettingsError: the boundary does not exist.
        CloudError: IAM refuses the documents, or the account has no room for another role.
    """
    change.check()
    wanted: WantedRole = change.wanted
    if change.action is Action.CREATE:
        made = _create(iam, wanted)
        if made is not None:
            put_permissions(iam, wanted.name, wanted.permissions)
            return Outcome("role", Verb.CREATED, wanted.name, change.detail, made)
        found = find_role_with_policies(iam, wanted.name, wanted.thing_name)
        if found is None:
            raise CloudError(
                f"The role {wanted.name} exists at one moment and not at the next: another run is deleting it. "
                "Run the same command again after that."
            )
        return make_role(iam, decide_role(iam, found, wanted))
    if change.action is Action.CHANGE:
        repaired = _repair(iam, change.found, wanted)
        detail = f"{change.detail}; {_boundary_detail(repaired.boundary_arn)}"
        return Outcome("role", Verb.CHANGED, wanted.name, detail, repaired)
    role: Role = change.found.role
    return Outcome("role", Verb.REUSED, wanted.name, change.detail or _boundary_detail(role.boundary_arn), role)


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
    yield from map(_role, pages(iam, "list_roles", "Roles"))


def _role(described: Any) -> Role:
    return Role(
        described["RoleName"],
        described["Arn"],
        decoded(described["AssumeRolePolicyDocument"]),
        ownership.from_tags(described.get("Tags", [])),
        described.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        described.get("CreateDate"),
        description=described.get("Description", ""),
    )


def _repairs(found: FoundRole, wanted: WantedRole) -> dict[str, str]:
    """What of our own role differs from what is wanted, and how: "permissions", "trust", "boundary"."""
    role, boundary_arn = found.role, wanted.boundary_arn
    repairs = {}
    if found.permissions is None or not is_same_policy(found.permissions, wanted.permissions):
        repairs["permissions"] = difference(found.permissions or {}, wanted.permissions, f"permissions of {role.name}")
    if not is_same_policy(role.trust, wanted.trust):
        repairs["trust"] = difference(role.trust, wanted.trust, f"trust of {role.name}")
    if boundary_arn and role.boundary_arn != boundary_arn:
        repairs["boundary"] = f"-boundary {role.boundary_arn or 'none'}\n+boundary {boundary_arn}"
    return repairs


def _foreign_problem(iam: IAMClient, found: FoundRole, wanted: WantedRole) -> InTheWay | None:
    """Why AWS would fail the update with this role of somebody else's; the message has what to add."""
    role = found.role
    lacks: list[Shortcoming] = trust_shortcomings(iam, role.name, role.trust, wanted.trust, OTA_SERVICE)
    lacks += permission_shortcomings(iam, role.name, role.boundary_arn, wanted.permissions, found.granted, found.bounds)
    if not lacks:
        return None
    text: Message = joined(
        "\n",
        [
            f"The role {role.name} was not made by this tool and does not serve {wanted.purpose} as it is.",
            *(one.text for one in lacks),
            f"Or write another {wanted.setting} in config.json, and this tool makes a role that does.",
        ],
    )
    commands = [one.command for one in lacks if one.command]
    return InTheWay(
        text,
        remedy=tuple(commands) if len(commands) == len(lacks) else (),
        brief=f"it was not made by this tool, and {'; '.join(one.brief for one in lacks)}",
    )


def _create(iam: IAMClient, wanted: WantedRole) -> Role | None:
    """The new role; None where another run of ours was quicker."""
    name = wanted.name
    request: dict[str, Any] = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(wanted.trust),
        "Description": wanted.description,
        "Tags": ownership.mark_tags(wanted.thing_name),
    }
    if wanted.boundary_arn:
        request["PermissionsBoundary"] = wanted.boundary_arn
    try:
        described: Any = iam.create_role(**request)["Role"]
    except iam.exceptions.EntityAlreadyExistsException:
        return None
    except iam.exceptions.NoSuchEntityException as error:
        raise _no_boundary(wanted.boundary_arn) from error
    except iam.exceptions.MalformedPolicyDocumentException as error:
        raise CloudError(
            f"IAM refuses the trust document of the role {name}: {error}. That is a mistake of this tool: "
            "please report it."
        ) from error
    except iam.exceptions.LimitExceededException as error:
        raise CloudError(
            f"The account has no room for the role {name}: {error}. Delete roles that nobody needs, or name an "
            f"existing one as {wanted.setting} in config.json."
        ) from error
    marks = ownership.marks(wanted.thing_name)
    return Role(name, described["Arn"], dict(wanted.trust), marks, wanted.boundary_arn, settling_s=0.0)


def _no_boundary(boundary_arn: str | None) -> SettingsError:
    sentence = message(
        f"there is no IAM policy {boundary_arn}. Correct the ARN in config.json (",
        shell("aws", "iam", "list-policies", "--scope", "Local"),
        " shows what there is), or leave it empty for a role without one.",
    )
    return SettingsError([Problem(sentence, "permissions_boundary", "permissions_boundary", boundary_arn or "")])


def _boundary_detail(boundary_arn: str | None) -> str:
    return f"with the boundary {boundary_arn}" if boundary_arn else "without a permissions boundary"


def _repair(iam: IAMClient, found: FoundRole, wanted: WantedRole) -> Role:
    """Repair what differs; the role as it is then."""
    name, repairs = wanted.name, _repairs(found, wanted)
    acts: dict[str, Callable[[], object]] = {
        "permissions": partial(put_permissions, iam, name, wanted.permissions),
        "trust": partial(iam.update_assume_role_policy, RoleName=name, PolicyDocument=json.dumps(wanted.trust)),
        "boundary": partial(_put_boundary, iam, name, wanted.boundary_arn or ""),
    }
    _note_repair(iam, found.role)
    # First, because the operator's policy allows the others only on a role that has the boundary.
    if "boundary" in repairs:
        acts["boundary"]()
    side_by_side(*(acts[what] for what in repairs if what != "boundary"))
    boundary_arn = wanted.boundary_arn or found.role.boundary_arn
    return replace(found.role, trust=dict(wanted.trust), boundary_arn=boundary_arn, settling_s=0.0)


def _note_repair(iam: IAMClient, found: Role) -> None:
    """Tag an older role with the time of its repair, for a run that continues this one: IAM does not tell it."""
    if found.settling_s is not None and found.settling_s < YOUNG_S:
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    iam.tag_role(RoleName=found.name, Tags=[{"Key": REPAIRED_KEY, "Value": now}])


def _seconds_unchanged(role: Role, answer: Any) -> float | None:
    """Seconds since the role was made or repaired, by the clock of the server that answered."""
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
