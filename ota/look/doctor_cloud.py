"""The doctor's checks of the account: credentials, clock, permissions boundary, iam:PassRole and quotas.

Source: STS GetCallerIdentity; IAM SimulatePrincipalPolicy, GetPolicy, GetAccountSummary; S3 quotas (buckets of an
account); Signature Version 4 (a request is refused when its time is five minutes off).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ota import desired_state
from ota.aws_calls import pages
from ota.messages import Command, Shell, aws_command, command, shell
from ota.outcomes import Finding, fatal, ok, skipped, warning
from ota.policy_documents import granting_document, missing_needs, needs_of
from ota.roles import permissions as role_policies
from ota.roles import roles
from ota.roles.permissions import OTA_SERVICE, managed_document

if TYPE_CHECKING:
    from ota.cloud import Cloud
    from ota.run import Run
    from ota.settings.settings import Settings

SOON = timedelta(minutes=15)
CLOCK_WARNING = timedelta(minutes=1)
CLOCK_LIMIT = timedelta(minutes=5)
BUCKET_QUOTA = 10_000
NEARLY_FULL = 0.95
SET_CLOCK = shell("sudo", "timedatectl", "set-ntp", "true")
ASSUMED_ROLE = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")


def check_credentials(cloud: Cloud, now: datetime, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whose credentials these are, when they expire, the region, and the clock's difference from AWS's."""
    answered_at: list[datetime] = []

    def note_time(http_response: Any, **_: object) -> None:
        date = http_response.headers.get("date") if http_response is not None else None
        if date:
            answered_at.append(parsedate_to_datetime(date))

    events = cloud.sts.meta.events
    events.register("after-call.sts.GetCallerIdentity", note_time)
    try:
        identity = cloud.sts.get_caller_identity()
    finally:
        events.unregister("after-call.sts.GetCallerIdentity", note_time)
    yield expiry_finding(identity["Arn"], cloud.credentials_expiry or _expiry_in(environ), now)
    yield ok("region", f"{cloud.region}, account {identity['Account']}")
    yield clock_finding(answered_at[0] if answered_at else None, now)


def expiry_finding(caller_arn: str, expires_at: datetime | None, now: datetime) -> Finding:
    """Whose credentials these are, and when they expire."""
    if expires_at is None:
        return ok("credentials", f"{caller_arn}; nothing here says that they end")
    left = expires_at - now
    text = f"{caller_arn}; they end at {expires_at:%H:%M %Z on %Y-%m-%d}, in {_in_words(left)}"
    return warning("credentials", text, shell("aws", "sso", "login")) if left < SOON else ok("credentials", text)


def clock_finding(answered_at: datetime | None, now: datetime) -> Finding:
    """The difference between this machine's clock and AWS's."""
    if answered_at is None:
        return skipped("clock", "not checked: the answer has no date")
    off = abs(now - answered_at)
    text = f"this machine's clock is {_in_words(off)} off AWS's"
    if off >= CLOCK_LIMIT:
        return fatal("clock", f"{text}, and AWS refuses what is five minutes off", SET_CLOCK)
    if off >= CLOCK_WARNING:
        return warning("clock", text, SET_CLOCK)
    return ok("clock", "agrees with AWS's")


def check_boundary(run: Run) -> Iterator[Finding]:
    """Whether the permissions boundary exists, and allows the role what an update needs."""
    iam, arn = run.cloud.iam, run.boundary_arn
    if not arn:
        yield ok("boundary", "none is set: the role is made without one")
        return
    _, permissions = desired_state.role_documents(run.cloud, run.settings)
    try:
        document = managed_document(iam, arn)
    except iam.exceptions.NoSuchEntityException:
        yield fatal("boundary", f"permissions_boundary: there is no IAM policy {arn}", _boundary_command(run, arn))
        return
    lacking = missing_needs(needs_of(permissions), [document])
    if lacking:
        actions = ", ".join(sorted({need.action for need in lacking}))
        both = {**document, "Statement": [*_statements(document), *granting_document(lacking)["Statement"]]}
        allow = aws_command(
            iam, "create-policy-version", policy_arn=arn, policy_document=json.dumps(both), set_as_default=""
        )
        yield fatal("boundary", f"{arn} takes from the role what an update needs: {actions}", allow)
    else:
        yield ok("boundary", f"{arn} leaves the role what an update needs")


def check_pass_role(run: Run) -> Iterator[Finding]:
    """Whether these credentials may pass the role to AWS IoT, as IAM's policy simulator says."""
    from botocore.exceptions import ClientError

    iam = run.cloud.iam
    caller_arn, role_arn = principal_of(run.cloud.caller_arn), desired_state.role_arn(run.cloud, run.settings)
    try:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=caller_arn,
            ActionNames=["iam:PassRole"],
            ResourceArns=[role_arn],
            ContextEntries=[
                {
                    "ContextKeyName": "iam:PassedToService",
                    "ContextKeyValues": [OTA_SERVICE],
                    "ContextKeyType": "string",
                }
            ],
        )
    except ClientError as error:
        # Few operators may call the simulator, it does not take the root user, and the sandbox does not have it.
        yield skipped("pass role", f"not checked: IAM's simulator said {error.response['Error']['Code']}")
        return
    decisions = {one["EvalDecision"] for one in answer["EvaluationResults"]}
    if decisions == {"allowed"}:
        yield ok("pass role", f"these credentials may pass {role_arn} to AWS IoT")
    else:
        text = f"these credentials may not pass {role_arn} to AWS IoT (iam:PassRole)"
        yield fatal("pass role", text, _pass_role_command(run, caller_arn, role_arn))


def check_quotas(run: Run) -> Iterator[Finding]:
    """Whether the account's quotas allow the role and the bucket, where they do not exist yet."""
    iam, s3, settings = run.cloud.iam, run.cloud.s3, run.settings
    summary = iam.get_account_summary()["SummaryMap"]
    used, quota = summary.get("Roles", 0), summary.get("RolesQuota", 0)
    name = settings.iam_role_name
    yield _room("roles", used, quota, name, lambda: roles.find_role(iam, name) is not None)
    buckets = {bucket["Name"] for bucket in pages(s3, "list_buckets", "Buckets")}
    yield _room("buckets", len(buckets), BUCKET_QUOTA, settings.bucket_name, lambda: settings.bucket_name in buckets)


def check_role_name(settings: Settings) -> Iterator[Finding]:
    """Whether the role's name begins with ``role_prefix``."""
    if settings.role_prefix and not settings.iam_role_name.startswith(settings.role_prefix):
        name = f"{settings.role_prefix}-{settings.iam_role_name}"
        yield warning(
            "role",
            f"its name {settings.iam_role_name} does not begin with role_prefix ({settings.role_prefix}): an account "
            "that demands one refuses it",
            command("all", iam_role_name=name),
        )


def principal_of(caller_arn: str) -> str:
    """The user or role whose policies apply; for a session of an assumed role, that role."""
    session = ASSUMED_ROLE.fullmatch(caller_arn)
    return role_policies.role_arn(session["partition"], session["account"], session["role"]) if session else caller_arn


def find_policy_by_name(cloud: Cloud, name: str) -> str | None:
    """The ARN of the account's own IAM policy with this name; None where there is none."""
    iam = cloud.iam
    found = pages(iam, "list_policies", "Policies", Scope="Local")
    return next((str(one["Arn"]) for one in found if one["PolicyName"].lower() == name.lower()), None)


def _room(subject: str, used: int, quota: int, name: str, is_there: Callable[[], bool]) -> Finding:
    """Whether the quota allows ``name``; ``is_there`` is called only where the quota is nearly used up."""
    text, look = f"{used:,} of {quota:,}", command(f"list.{subject}")
    if not quota or used < quota * NEARLY_FULL:
        return ok("quota", f"{subject}: {text}")
    if is_there():
        return ok("quota", f"{subject}: {text}, and {name} is one of them")
    if used >= quota:
        return fatal("quota", f"there is no room for another of the account's {subject}: {text}", look)
    return warning("quota", f"the account's {subject} are nearly used up: {text}", look)


def _boundary_command(run: Run, arn: str) -> Command | Shell:
    """Name the account's policy of this name, where it has another ARN; else create the policy."""
    name = arn.rpartition("/")[2]
    meant = find_policy_by_name(run.cloud, name)
    if meant:
        return command("all", permissions_boundary=meant)
    _, permissions = desired_state.role_documents(run.cloud, run.settings)
    return aws_command(run.cloud.iam, "create-policy", policy_name=name, policy_document=json.dumps(permissions))


def _pass_role_command(run: Run, caller_arn: str, role_arn: str) -> Shell:
    kind, _, name = caller_arn.rpartition(":")[2].rpartition("/")
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": role_arn,
                "Condition": {"StringEquals": {"iam:PassedToService": OTA_SERVICE}},
            }
        ],
    }
    whose = {"user_name": name} if kind.startswith("user") else {"role_name": name}
    operation = "put-user-policy" if kind.startswith("user") else "put-role-policy"
    options = {**whose, "policy_name": "ota-tasks-pass-role", "policy_document": json.dumps(document)}
    return aws_command(run.cloud.iam, operation, **options)


def _statements(document: Mapping[str, Any]) -> list[Any]:
    found = document.get("Statement", [])
    return list(found) if isinstance(found, list) else [found]


def _expiry_in(environ: Mapping[str, str]) -> datetime | None:
    """The expiry in the variable that ``aws configure export-credentials --format env`` sets."""
    text = environ.get("AWS_CREDENTIAL_EXPIRATION", "")
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _in_words(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if abs(seconds) < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
