"""The rows of each noun's list: which objects there are, which of them this tool made, and what else to show.

Of each noun, ``*_rows`` lists all objects without asking for details; ``mark_*`` tells whether one is ours; ``fill_*``
asks for the other columns. Which of them a list uses stands in its record (``ota/nouns.py``).

A certificate has no tags: it is ours when it is attached to one of our things and to nothing else. That can be asked of
the certificates in the list or of our things; the way with fewer calls is taken.

Source: AWS IoT ListThings (``attributeName``), ListPolicies, ListCertificates, ListPrincipalThingsV2, ListOTAUpdates,
ListJobs; S3 ListBuckets; IAM ListRoles, which returns no tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ota import groups, ownership, policies, things
from ota.aws_calls import code_of
from ota.buckets import access as bucket_access
from ota.buckets import buckets
from ota.certificates import certificates
from ota.errors import DENIED_CODES, InTheWay
from ota.records import Row
from ota.roles import roles
from ota.threads import side_by_side_map
from ota.updates import updates
from ota.updates.jobs import JOB_ID_PREFIX, find_job, list_jobs
from ota.updates.updates import find_update

if TYPE_CHECKING:
    from ota.cloud import Cloud


def thing_rows(cloud: Cloud) -> Iterator[Row]:
    """Every thing, marked."""
    return (Row(one.name, is_ours=one.is_ours or one.is_registered) for one in things.list_things(cloud.iot))


def fill_thing(cloud: Cloud, row: Row) -> Row:
    """The thing with its certificates."""
    principals = things.list_principals(cloud.iot, row.name)
    return row.with_facts(certificates=_names_of(principal.arn for principal in principals))


def policy_rows(cloud: Cloud) -> Iterator[Row]:
    """Every IoT policy, newest first."""
    return (Row(one.name, arn=one.arn) for one in policies.list_policies(cloud.iot))


def mark_policy(cloud: Cloud, row: Row) -> Row:
    """The policy, marked by its tags."""
    return row.marked(is_ours=ownership.is_ours(policies.find_policy_tags(cloud.iot, row.arn) or {}))


def fill_policy(cloud: Cloud, row: Row) -> Row:
    """The policy with what it is attached to."""
    return row.with_facts(attached_to=_names_of(policies.list_policy_targets(cloud.iot, row.name)))


def certificate_rows(cloud: Cloud) -> Iterator[Row]:
    """Every certificate, newest first, with its status."""
    found = certificates.list_certificates(cloud.iot)
    return (Row(one.id, one.created, facts={"status": one.status}, arn=one.arn) for one in found)


def mark_certificates(cloud: Cloud, rows: Sequence[Row]) -> list[Row]:
    """The certificates, marked by the things that they are attached to."""
    our_things = {one.name for one in things.list_things(cloud.iot, only_ours=True) if one.is_ours or one.is_registered}
    if len(our_things) < len(rows):
        try:
            ours = _certificates_of(cloud, our_things)
        except cloud.iot.exceptions.ClientError as error:
            if code_of(error) not in DENIED_CODES:
                raise  # else the credentials are for some things only, and the certificates tell
        else:
            return [row.marked(is_ours=row.arn in ours) for row in rows]
    return list(side_by_side_map(partial(_mark_certificate, cloud, our_things), rows))


def _mark_certificate(cloud: Cloud, our_things: set[str], row: Row) -> Row:
    attached_to = list(certificates.list_things_of(cloud.iot, row.arn))
    is_ours = len(attached_to) == 1 and attached_to[0] in our_things
    return row.marked(is_ours=is_ours).with_facts(things=attached_to)


def _certificates_of(cloud: Cloud, thing_names: set[str]) -> set[str]:
    """ARNs of the certificates that are attached to one of these things and to nothing else."""

    def own(thing_name: str) -> list[str]:
        return [
            one.arn
            for one in things.list_principals(cloud.iot, thing_name)
            if one.is_exclusive or not certificates.other_things(cloud.iot, one.arn, thing_name)
        ]

    return {arn for arns in side_by_side_map(own, sorted(thing_names)) for arn in arns}


def fill_certificate(cloud: Cloud, row: Row) -> Row:
    """The certificate with its expiry, things and policies."""
    found = certificates.find_certificate(cloud.iot, row.name)
    things_of = row.facts.get("things")
    return row.with_facts(
        expires=found.expires.date() if found and found.expires else None,
        things=list(certificates.list_things_of(cloud.iot, row.arn)) if things_of is None else things_of,
        policies=list(policies.list_attached_policies(cloud.iot, row.arn)),
    )


def bucket_rows(cloud: Cloud) -> Iterator[Row]:
    """Every bucket of the account, with its region where S3 returns it."""
    found = buckets.list_buckets(cloud.s3)
    return (Row(one.name, one.created_at, facts={"region": one.region}) for one in found)


def mark_bucket(cloud: Cloud, row: Row) -> Row:
    """The bucket, marked by its tags."""
    return row.marked(is_ours=ownership.is_ours(buckets.find_bucket_tags(cloud.s3, row.name, cloud.account_id) or {}))


def fill_bucket(cloud: Cloud, row: Row) -> Row:
    """The bucket with its region and versioning."""
    try:
        is_versioned = buckets.is_versioned(cloud.s3, row.name, cloud.account_id)
    except cloud.s3.exceptions.NoSuchBucket:  # deleted since it was listed
        return row
    return row.with_facts(versioned=is_versioned, region=row.facts["region"] or _region_of(cloud, row))


def _region_of(cloud: Cloud, row: Row) -> str | None:
    try:
        return bucket_access.find_region(cloud.s3, row.name, cloud.account_id)
    except InTheWay:
        return None


def role_rows(cloud: Cloud) -> Iterator[Row]:
    """Every IAM role; the listing excludes that this tool made a role that AWS IoT cannot assume."""
    found = roles.list_roles(cloud.iam)
    return (Row(one.name, one.created_at, None if one.can_be_ours else False) for one in found)


def mark_role(cloud: Cloud, row: Row) -> Row:
    """The role, marked by its tags, with its permissions boundary."""
    found = roles.find_role(cloud.iam, row.name)
    if found is None:
        return row.marked(is_ours=False)
    boundary = (found.boundary_arn or "none").rpartition("/")[2]
    return row.marked(is_ours=ownership.is_ours(found.tags)).with_facts(boundary=boundary)


def update_rows(cloud: Cloud) -> Iterator[Row]:
    """Every OTA update."""
    return (Row(one.update_id, one.created_at) for one in updates.list_updates(cloud.iot))


def mark_update(cloud: Cloud, row: Row) -> Row:
    """The update, marked, with its status, job and targets."""
    found = find_update(cloud.iot, row.name)
    if found is None:
        return row.marked(is_ours=False).with_facts(status="gone")
    return row.marked(is_ours=found.is_ours()).with_facts(
        status=found.status, job=found.job_id, targets=_names_of(found.targets)
    )


def fill_update(cloud: Cloud, row: Row) -> Row:
    """The update with the status of its job."""
    job = find_job(cloud.iot, row.facts["job"]) if row.facts.get("job") else None
    return row.with_facts(job_status=job.status if job else "none")


def job_rows(cloud: Cloud) -> Iterator[Row]:
    """Every job, with its status."""
    found = list_jobs(cloud.iot)
    return (Row(one.job_id, one.created_at, facts={"status": one.status}) for one in found)


def mark_job(cloud: Cloud, row: Row) -> Row:
    """The job, ours when its update is: the OTA service creates it without tags."""
    is_updates = row.name.startswith(JOB_ID_PREFIX)
    update = find_update(cloud.iot, row.name.removeprefix(JOB_ID_PREFIX)) if is_updates else None
    return row.marked(is_ours=update is not None and update.is_ours())


def fill_job(cloud: Cloud, row: Row) -> Row:
    """The job with its targets."""
    job = find_job(cloud.iot, row.name)
    return row.with_facts(targets=_names_of(job.targets)) if job else row


def group_rows(cloud: Cloud) -> Iterator[Row]:
    """Every thing group."""
    return (Row(one.name, arn=one.arn) for one in groups.list_groups(cloud.iot))


def mark_group(cloud: Cloud, row: Row) -> Row:
    """The group, marked by its attributes, with the query of a dynamic one."""
    found = groups.find_group(cloud.iot, row.name)
    if found is None:
        return row.marked(is_ours=False)
    return row.marked(is_ours=ownership.is_ours(found.attributes)).with_facts(query=found.query)


def fill_group(cloud: Cloud, row: Row) -> Row:
    """The group with the count of its members, as far as two calls tell it."""
    count, is_all = groups.count_members(cloud.iot, [row.name])
    return row.with_facts(members=count if is_all else f"{count} or more")


def _names_of(arns: Iterable[str]) -> list[str]:
    """The last part of each ARN: a thing's name, a certificate's id."""
    return [arn.rpartition("/")[2] for arn in arns]
