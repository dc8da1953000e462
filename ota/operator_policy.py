"""The IAM policy of whoever runs the tool, a person or a CI job: what its tasks need, bounded as far as AWS can.

AWS's own page for this grants ``iot:*`` and all of S3 on every resource. Here each action stands for a call, on the
objects that have this thing's names.

Whoever may make a role, write its permissions and change its trust can make himself anything. So these actions are
granted only on a role that has the permissions boundary, which the policy does not let its holder change or take off.
The boundary leaves a role what an OTA update needs. AWS's reference lists ``iam:PermissionsBoundary`` for
UpdateAssumeRolePolicy in June 2026 and did not in April 2025: where AWS does not send that key, the action is denied.

A certificate has neither a name nor tags, and its id is not known before it is made. So those statements are for all
certificates of account and region, unless ``certificate_arn`` names the one to use. ``iot:thingArn`` is checked where
AWS sends it.

Source: Service Authorization Reference for AWS IoT (cert has no condition keys; iot:thingArn) and IAM; IAM User Guide,
"Permissions boundaries" (delegating responsibility); IAM quotas (6,144 characters without whitespace).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ota.jobs import job_id_of
from ota.operator_actions import EXTRAS, GRANTS, Grant, uses_of
from ota.policy_documents import POLICY_VERSION
from ota.role_policies import OTA_SERVICE, role_arn, role_permissions_document
from ota.settings.formatter import format_text
from ota.settings.table import SETTINGS

BOUNDARY_NAME = "ota-tasks-boundary"
NAMED_SETTINGS = ("policy_name", "bucket_name", "iam_role_name", "update_name")
WILDCARDS = "*?"
MAKES_CERTIFICATE = "iot:CreateCertificateFromCsr"


@dataclass(frozen=True)
class PolicyScope:
    """What the policy is for.

    Attributes:
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        region: for example ``eu-west-1``.
        account_id: twelve digits.
        thing_name: a thing's name, or a pattern of names with ``*`` and ``?``.
        names: ``policy_name``, ``bucket_name``, ``iam_role_name`` and ``update_name``; patterns too.
        boundary_arn: the permissions boundary of every role; None for the one of the default name.
        certificate_arn: the one certificate that is used, where it is not made by this tool.
    """

    partition: str
    region: str
    account_id: str
    thing_name: str = "*"
    names: Mapping[str, str] = field(default_factory=dict)
    boundary_arn: str | None = None
    certificate_arn: str | None = None

    @property
    def all_names(self) -> dict[str, str]:
        """The names, with default ones where none are given."""
        return {**names_for(self.thing_name, self.account_id), **self.names}

    @property
    def boundary(self) -> str:
        """The ARN of the boundary."""
        return self.boundary_arn or f"arn:{self.partition}:iam::{self.account_id}:policy/{BOUNDARY_NAME}"


def names_for(thing_name: str, account_id: str, *, role_prefix: str = "") -> dict[str, str]:
    """Setting to the default name that it gets for this thing; ``thing_name`` may be a pattern such as ``lamp-*``.

    The default names of a very long thing name are cut and match no pattern: give that name itself.
    """
    values = {"thing_name": thing_name, "account_id": account_id, "role_prefix": role_prefix}
    return {setting: _default_name(setting, values) for setting in NAMED_SETTINGS}


def operator_policy_document(
    scope: PolicyScope, *, tasks: Collection[str] = (), also: Collection[str] = ()
) -> dict[str, Any]:
    """What these tasks need, or all tasks; each statement's purpose is its Sid.

    Args:
        scope: account, region and names.
        tasks: names of tasks; none for all of them.
        also: names of extras, which AWS cannot bound.
    """
    extras = [extra for extra in EXTRAS if extra.name in also]
    replaced = {extra.replaces for extra in extras}
    grants = [grant for grant in GRANTS if grant.sid not in replaced] + [extra.grant for extra in extras]
    uses, arns, conditions = uses_of(tasks), _arns(scope), _conditions(scope)
    unneeded = {MAKES_CERTIFICATE} if scope.certificate_arn else set()
    statements = []
    for grant in grants:
        actions = [action for action in grant.actions_for(uses) if action not in unneeded]
        if actions:
            statements.append(_statement(grant, actions, arns, conditions))
    return {"Version": POLICY_VERSION, "Statement": statements}


def boundary_document(scope: PolicyScope) -> dict[str, Any]:
    """What a role may do at most: what the updates of these things need."""
    names = scope.all_names
    role = role_arn(scope.partition, scope.account_id, names["iam_role_name"])
    return role_permissions_document(scope.partition, scope.region, scope.account_id, names["bucket_name"], role)


def tidy_pattern(name: str) -> str:
    """A default name with wildcards, made to fit as the names that it matches are."""
    return name.replace(":", "-").lstrip("-")


def actions_of(document: Mapping[str, Any]) -> list[str]:
    """Every action of the document, in its order."""
    return [action for statement in document["Statement"] for action in statement["Action"]]


def _statement(
    grant: Grant, actions: list[str], arns: Mapping[str, list[str]], conditions: Mapping[str, Any]
) -> dict[str, Any]:
    resources = [arn for key in grant.resources for arn in arns[key]]
    statement = {"Sid": grant.sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions[grant.condition]} if grant.condition else statement


def _arns(scope: PolicyScope) -> dict[str, list[str]]:
    """A grant's resource to the ARNs that stand for it."""
    names, partition = scope.all_names, scope.partition
    iot, iam = f"arn:{partition}:iot:{scope.region}:{scope.account_id}", f"arn:{partition}:iam::{scope.account_id}"
    bucket = f"arn:{partition}:s3:::{names['bucket_name']}"
    return {
        "any": ["*"],
        "thing": [_thing_arn(scope)],
        "certificate": [scope.certificate_arn or f"{iot}:cert/*"],
        "policy": [f"{iot}:policy/{names['policy_name']}"],
        "update": [f"{iot}:otaupdate/{names['update_name']}"],
        "job": [f"{iot}:job/{job_id_of(names['update_name'])}"],
        "bucket": [bucket],
        "image": [f"{bucket}/*"],
        "role": [f"{iam}:role/{names['iam_role_name']}"],
        "iam_policies": [f"{iam}:policy/*", f"arn:{partition}:iam::aws:policy/*"],
        "own_user": [f"{iam}:user/${{aws:username}}"],
        "identities": [f"{iam}:user/*", f"{iam}:role/*"],
        "instance_profiles": [f"{iam}:instance-profile/*"],
    }


def _conditions(scope: PolicyScope) -> dict[str, Any]:
    return {
        "thing": {"ArnLikeIfExists": {"iot:thingArn": _thing_arn(scope)}},
        "boundary": {"StringEquals": {"iam:PermissionsBoundary": scope.boundary}},
        "service": {"StringEquals": {"iam:PassedToService": OTA_SERVICE}},
    }


def _thing_arn(scope: PolicyScope) -> str:
    return f"arn:{scope.partition}:iot:{scope.region}:{scope.account_id}:thing/{scope.thing_name}"


def _default_name(setting: str, values: Mapping[str, str]) -> str:
    """The name that the tool would give; a pattern's wildcards stay, which no name may hold."""
    row = SETTINGS[setting]
    name = format_text(row.default, values, setting=setting)
    is_pattern = any(wildcard in values["thing_name"] for wildcard in WILDCARDS)
    return tidy_pattern(name) if is_pattern else row.tidy(name)
