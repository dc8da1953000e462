"""The IAM policy of the operator, the person or CI job that runs the tool: what its tasks need, and no more.

AWS's own page for this grants ``iot:*`` and all of S3 on every resource. Here each action stands for a call, on the
objects that have this thing's names. The actions come from the records of the nouns (``ota/nouns.py``).

Whoever can create a role, write its permissions and change its trust can get any permissions. So these actions are
granted only on a role that has the permissions boundary, which the policy does not let its holder change or remove.
The boundary leaves a role what an OTA update needs. AWS's reference lists ``iam:PermissionsBoundary`` for
UpdateAssumeRolePolicy in June 2026 and did not in April 2025: where AWS does not send that key, the action is denied.

A certificate has neither a name nor tags, and its id is not known before it is created. So those statements are for all
certificates of account and region, unless ``certificate_arn`` names the one to use. ``iot:thingArn`` is checked where
AWS sends it.

GetCallerIdentity is missing because it needs no permission. CreateStream and CreateJob are missing because the OTA
service calls them with the update's role.

Source: Service Authorization Reference for AWS IoT (cert has no condition keys; iot:thingArn), S3 and IAM; S3
CreateBucket (s3:TagResource for a bucket created with tags); FreeRTOS User Guide, "Create an OTA user policy"; IAM User
Guide, "Permissions boundaries" (delegating responsibility); IAM quotas (6,144 characters without whitespace).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ota.desired_state import registration_prefix
from ota.nouns import DEVICES, NOUNS
from ota.policy_documents import POLICY_VERSION
from ota.records import Grant
from ota.roles.permissions import (
    OTA_SERVICE,
    registration_permissions_document,
    role_arn,
    role_permissions_document,
)
from ota.settings.formatter import format_text
from ota.settings.readers import Target
from ota.settings.table import SETTINGS
from ota.updates.jobs import job_id_of
from ota.updates.retries import retry_prefix

BOUNDARY_NAME = "ota-tasks-boundary"
THING_NAME = "thing_name"
NAMED_SETTINGS = tuple(noun.setting for noun in NOUNS if noun.setting not in ("", THING_NAME))
WILDCARDS = "*?"
MOST_CHARS = 6144  # of a managed policy, without whitespace
# In the resources that only those need who update a group or named devices, and only those who have many devices.
GROUP_NAMES = ("{thing_group_name}", "{retry_group}")
FLEET_NAMES = (*GROUP_NAMES, "{registration_role_name}", "{devices}")
TARGET_GROUP, TARGET_THING = "{target_group}", "{target_thing}"  # each stands for as many as update_targets names
MAKES_CERTIFICATE = "iot:CreateCertificateFromCsr"


def _uses_of_task() -> dict[str, tuple[str, ...]]:
    """Each task to the uses that its permissions are granted for (see ``Grant.actions``)."""
    needs = {noun.task: noun.needs for noun in NOUNS if noun.task}

    def with_needs(task: str) -> list[str]:
        return [*(one for need in needs[task] for one in with_needs(need)), task]

    set_up = {task: tuple(dict.fromkeys(with_needs(task))) for task in needs}
    looking = dict.fromkeys(("plan", "status", "watch", "doctor", "device"), ("look",))
    everything = tuple(noun.task for noun in NOUNS if noun.task and noun.set_up)
    by_itself = {task: (task,) for task in ("clean", "cancel", "retry", "list", "delete")}
    return {**set_up, "all": everything, **looking, **by_itself}


def _grants() -> Iterator[Grant]:
    """The statements of all nouns; what AWS cannot narrow, and the right to tag, is one statement each."""
    yield Grant("Everywhere", ("*",), {action: uses for noun in NOUNS for action, uses in noun.everywhere.items()})
    for noun in NOUNS:
        yield from noun.grants
    tagged = [noun for noun in NOUNS if noun.tag_uses]
    resources = tuple(resource for noun in tagged for resource in noun.grants[0].resources)
    yield Grant("Tags", resources, {"iot:TagResource": " ".join(noun.tag_uses for noun in tagged)})


USES_OF_TASK = _uses_of_task()
GRANTS = tuple(_grants())


@dataclass(frozen=True)
class Extra:
    """A statement that only ``--also`` grants, because AWS offers nothing that would bound it.

    Attributes:
        name: as ``--also`` takes it.
        for_: when it is needed.
        reach: what its holder can do with it.
        grant: the statement.
        replaces: the Sid of the statement that it stands for.
    """

    name: str
    for_: str
    reach: str
    grant: Grant
    replaces: str = ""


EXTRAS = (
    Extra(
        "instance-profiles",
        "`clean --force` and `delete.role --force` on a role that is in an instance profile",
        "takes the role out of any instance profile of the account, so that its instances lose their permissions",
        Grant(
            "AnyInstanceProfile", ("{iam}:instance-profile/*",), {"iam:RemoveRoleFromInstanceProfile": "clean delete"}
        ),
    ),
    Extra(
        "unbounded-roles",
        "`role` where permissions_boundary is not set",
        "makes a role with any power and assumes it: as good as an administrator",
        Grant(
            "UnboundedRole",
            ("{iam}:role/{iam_role_name}",),
            next(grant.actions for grant in GRANTS if grant.sid == "BoundedRole"),
        ),
        replaces="BoundedRole",
    ),
    Extra(
        "any-identity",
        "the check of iam:PassRole by `doctor`, for an operator who is a role",
        "reads what any user or role of the account may do",
        Grant("AnyIdentity", ("{iam}:user/*", "{iam}:role/*"), {"iam:SimulatePrincipalPolicy": "look"}),
        replaces="OwnPermissions",
    ),
)
EXTRA_BY_NAME = {extra.name: extra for extra in EXTRAS}


@dataclass(frozen=True)
class PolicyScope:
    """The account, region and names that the policy is for.

    Attributes:
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        region: for example ``eu-west-1``.
        account_id: twelve digits.
        thing_name: a thing's name, or a pattern of names with ``*`` and ``?``.
        names: setting to name, for some of ``NAMED_SETTINGS``; patterns too. The others get their default names.
        boundary_arn: the permissions boundary of every role; None for the one of the default name.
        certificate_arn: the only certificate that is used; None where this tool makes it.
        devices: a pattern of the names of registered devices; empty for those that begin with the thing's name.
        targets: the things and groups that the setting ``update_targets`` names.
    """

    partition: str
    region: str
    account_id: str
    thing_name: str = "*"
    names: Mapping[str, str] = field(default_factory=dict)
    boundary_arn: str | None = None
    certificate_arn: str | None = None
    devices: str = ""
    targets: tuple[Target, ...] = ()

    @property
    def all_names(self) -> dict[str, str]:
        """Setting to name, for all of ``NAMED_SETTINGS``."""
        return {**names_for(self.thing_name, self.account_id), **self.names}

    @property
    def has_targets(self) -> bool:
        """Whether an update may be for others than the thing."""
        return bool(self.targets or self.all_names["thing_group_name"])

    @property
    def boundary(self) -> str:
        """The ARN of the boundary."""
        return self.boundary_arn or f"arn:{self.partition}:iam::{self.account_id}:policy/{BOUNDARY_NAME}"


def names_for(thing_name: str, account_id: str, *, role_prefix: str = "") -> dict[str, str]:
    """Setting to the default name that it gets for this thing; ``thing_name`` may be a pattern such as ``lamp-*``.

    The default names of a very long thing name are cut and match no pattern: give that name itself.
    """
    values = {THING_NAME: thing_name, "account_id": account_id, "role_prefix": role_prefix}
    return {setting: _default_name(setting, values) for setting in NAMED_SETTINGS}


def operator_policy_document(
    scope: PolicyScope, *, tasks: Collection[str] = (), also: Collection[str] = ()
) -> dict[str, Any]:
    """What these tasks need, or all tasks; each statement's Sid says what it is about.

    What registered devices need is in it where the scope has a thing group or targets, or ``register`` is named.

    Args:
        scope: account, region and names.
        tasks: names of tasks; none for all of them.
        also: names of extras, which AWS cannot bound.
    """
    has_fleet = scope.has_targets or DEVICES.task in tasks
    extras = [extra for extra in EXTRAS if extra.name in also]
    replaced = {extra.replaces for extra in extras}
    grants = [grant for grant in GRANTS if grant.sid not in replaced] + [extra.grant for extra in extras]
    uses = uses_of(tasks) - (set() if has_fleet else {DEVICES.task})
    unneeded = {MAKES_CERTIFICATE} if scope.certificate_arn else set()
    unneeded |= set() if has_fleet else set(DEVICES.everywhere)
    unnamed = {f"{{{setting}}}" for setting, name in scope.all_names.items() if not name}
    unnamed |= set() if scope.has_targets else set(GROUP_NAMES if has_fleet else FLEET_NAMES)
    narrowed = (_without(_with_targets(grant, scope.targets), unnamed) for grant in grants)
    values, conditions = _arn_values(scope), _conditions(scope)
    statements = []
    for grant in narrowed:
        actions = [action for action in grant.actions_for(uses) if action not in unneeded]
        if actions and grant.resources:
            statements.append(_statement(grant, actions, values, conditions))
    return {"Version": POLICY_VERSION, "Statement": statements}


def boundary_document(scope: PolicyScope) -> dict[str, Any]:
    """What a role may do at most: what the updates and the registration of these things need."""
    names, partition = scope.all_names, scope.partition
    role = role_arn(partition, scope.account_id, names["iam_role_name"])
    updating = role_permissions_document(partition, scope.region, scope.account_id, names["bucket_name"], role)
    registering = registration_permissions_document(
        f"arn:{partition}:iot:{scope.region}",
        scope.account_id,
        input_arn=f"arn:{partition}:s3:::{names['bucket_name']}/{registration_prefix(scope.thing_name)}*",
        policy_name=names["policy_name"],
        group_name=names["thing_group_name"] or "*",  # an account's boundary is seldom changed for a new group
    )
    return {**updating, "Statement": [*updating["Statement"], *registering["Statement"]]}


def uses_of(tasks: Collection[str]) -> set[str]:
    """The uses of these tasks; of all tasks where none is named."""
    return {use for task in tasks or USES_OF_TASK for use in USES_OF_TASK[task]}


def tidy_pattern(name: str) -> str:
    """A default name with wildcards, changed as the names that it matches are changed to be valid."""
    return name.replace(":", "-").lstrip("-")


def actions_of(document: Mapping[str, Any]) -> list[str]:
    """Every action of the document, in its order."""
    return [action for statement in document["Statement"] for action in statement["Action"]]


def _without(grant: Grant, names: Collection[str]) -> Grant:
    """The grant without the resources that have one of these names; without any where that is the first one."""
    kept = tuple(one for one in grant.resources if not any(name in one for name in names))
    return grant._replace(resources=kept if grant.resources[:1] == kept[:1] else ())


def _with_targets(grant: Grant, targets: Sequence[Target]) -> Grant:
    """The grant with a resource for each target in place of the one that stands for them."""
    resources: list[str] = []
    for one in grant.resources:
        if stand_in := next((name for name in (TARGET_GROUP, TARGET_THING) if name in one), None):
            named = [target.name for target in targets if target.is_group == (stand_in == TARGET_GROUP)]
            resources += [one.replace(stand_in, name) for name in named]
        else:
            resources.append(one)
    return grant._replace(resources=tuple(resources))


def _statement(
    grant: Grant, actions: list[str], values: Mapping[str, str], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    resources = [resource.format_map(values) for resource in grant.resources]
    statement = {"Sid": grant.sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions[grant.condition]} if grant.condition else statement


def _arn_values(scope: PolicyScope) -> dict[str, str]:
    """What the braces in a grant's resources stand for."""
    names, partition = scope.all_names, scope.partition
    iot = f"arn:{partition}:iot:{scope.region}:{scope.account_id}"
    retries = f"{retry_prefix(names['update_name'])}*"
    return {
        **names,
        THING_NAME: scope.thing_name,
        "devices": _devices(scope),
        "job_id": job_id_of(names["update_name"]),
        "retries": retries,
        "retry_group": retries,
        "retry_jobs": job_id_of(retries),
        "certificate": scope.certificate_arn or f"{iot}:cert/*",
        "own_user": "${aws:username}",
        "partition": partition,
        "iot": iot,
        "iam": f"arn:{partition}:iam::{scope.account_id}",
        "s3": f"arn:{partition}:s3",
    }


def _conditions(scope: PolicyScope) -> dict[str, Any]:
    things = f"arn:{scope.partition}:iot:{scope.region}:{scope.account_id}:thing/"
    return {
        "thing": {"ArnLikeIfExists": {"iot:thingArn": f"{things}{scope.thing_name}"}},
        "device": {"ArnLikeIfExists": {"iot:thingArn": f"{things}{_devices(scope)}"}},
        "boundary": {"StringEquals": {"iam:PermissionsBoundary": scope.boundary}},
        "service": {"StringEquals": {"iam:PassedToService": OTA_SERVICE}},
    }


def _devices(scope: PolicyScope) -> str:
    return scope.devices or f"{scope.thing_name.removesuffix('*')}*"


def _default_name(setting: str, values: Mapping[str, str]) -> str:
    """The name that the tool would give; a pattern's wildcards stay, which no name may hold."""
    row = SETTINGS[setting]
    name = format_text(row.default, values, setting=setting)
    is_pattern = any(wildcard in values[THING_NAME] for wildcard in WILDCARDS)
    return tidy_pattern(name) if is_pattern else row.tidy(name)
