"""The operator as a user of the account, with a key of its own and exactly the policies that a test gives it.

The sandbox judges the calls of that key. So what the tool may do is decided for each real call, as in AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config

from ota.errors import permission_for
from ota.look.operator_policy import names_for
from ota.nouns import NOUNS
from ota.sandbox.process import Address
from tests import account
from tests.conftest import ACCOUNT, client
from tests.project import Project
from tests.sandbox_control import Control

NAME = "operator"
LOOKS = ("Get", "List", "Describe")
OWN_RESOURCES = {
    f"thing/{account.THING}", f"policy/{account.POLICY}", f"otaupdate/{account.UPDATE}", f"job/{account.JOB}",
    f"role/{account.ROLE}", account.BUCKET,
    *(
        resource.rpartition(":")[2].format_map(names_for(account.THING, ACCOUNT))
        for noun in NOUNS if noun.make for grant in noun.grants for resource in grant.resources
    ),
}  # fmt: skip
NEEDS_NO_PERMISSION = frozenset({("sts", "GetCallerIdentity")})
# What AWS asks for besides the action of the call's own name. For listing principals AWS's API pages name the action
# without V2 and its authorization reference names the one with it; both are granted, since either may be asked for.
ALSO_NEEDED = {
    ("iot", "CreatePolicy"): ("iot:TagResource",),
    ("iot", "CreateOTAUpdate"): ("iot:TagResource", "iam:PassRole"),
    ("iot", "CreateThingGroup"): ("iot:TagResource",),
    ("iot", "StartThingRegistrationTask"): ("iam:PassRole",),
    ("iot", "ListThingPrincipalsV2"): ("iot:ListThingPrincipals",),
    ("iot", "ListPrincipalThingsV2"): ("iot:ListPrincipalThings",),
    ("s3", "CreateBucket"): ("s3:TagResource",),
    ("iam", "CreateRole"): ("iam:TagRole",),
}


@dataclass
class Operator:
    """One user of the account behind ``address``, who can do nothing at first."""

    address: Address
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        iam = account.account_at(self.address).iam
        iam.create_user(UserName=NAME)
        key = iam.create_access_key(UserName=NAME)["AccessKey"]
        self.environ = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def allow(self, document: Mapping[str, Any]) -> Operator:
        """Give it this policy in place of the one before, and forget the calls so far."""
        account.account_at(self.address).iam.put_user_policy(
            UserName=NAME, PolicyName="own", PolicyDocument=json.dumps(document)
        )
        Control(self.address).clear_calls()
        return self

    def client(self, service: str) -> Any:
        """A client with the operator's key, which also sends requests that lack required parameters."""
        key_id, secret = self.environ.values()
        config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return client(service, self.address, aws_access_key_id=key_id, aws_secret_access_key=secret, config=config)

    def called(self) -> set[tuple[str, str]]:
        """The calls that were allowed: ``("iot", "CreateThing")``."""
        calls = Control(self.address).calls()
        return {(call["service"], call["operation"]) for call in calls if "denied" not in call}

    def denied(self) -> list[str]:
        """The actions that were not granted, in order; but for looks at what others have in the account.

        The tool has to do without those.
        """
        return [action for action, arn in self._denials() if not _is_look_at_others(action, arn)]

    def _denials(self) -> Iterator[tuple[str, str]]:
        for call in Control(self.address).calls():
            if "denied" in call:
                action, _, arn = call["denied"].partition(" on ")
                yield action, arn


def permissions_of(service: str, operation: str) -> tuple[str, ...]:
    """The IAM actions that one call needs: ``("s3", "CreateBucket")`` gives s3:CreateBucket and s3:TagResource."""
    if (service, operation) in NEEDS_NO_PERMISSION:
        return ()
    return permission_for(service, operation), *ALSO_NEEDED.get((service, operation), ())


def printed_policy(project: Project, *flags: str) -> dict[str, Any]:
    """What ``invoke permissions`` prints."""
    document: dict[str, Any] = json.loads(project.run_here("permissions", *flags).done().out)
    return document


def without(document: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The policy without one of its actions."""
    kept = [
        {**one, "Action": actions}
        for one in document["Statement"]
        if (actions := [name for name in one["Action"] if name != action])
    ]
    return {**document, "Statement": kept}


def _is_look_at_others(action: str, arn: str) -> bool:
    """Whether the action only reads an object that has none of the project's own names."""
    resource = arn.rpartition(":")[2]
    is_look = action.partition(":")[2].startswith(LOOKS)
    return is_look and resource not in {"*", *OWN_RESOURCES} and "cert/" not in resource
