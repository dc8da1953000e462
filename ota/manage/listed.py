"""The lists of who a device is: things, policies and certificates.

A certificate bears no mark: it is ours when it hangs on one of our things and on nothing else. There are two ways to
learn that, from the certificates that are asked about or from our things, and the one with fewer calls is taken.

Source: AWS IoT ListThings (``attributeName``), ListPolicies, ListCertificates, ListPrincipalThingsV2.


The lists of what brings an image to a device: buckets, roles, updates and jobs.

Source: S3 ListBuckets; IAM ListRoles, which gives no tags; AWS IoT ListOTAUpdates, ListJobs.


The seven nouns of the lists, in the order in which they are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import bucket_access, buckets, certificates, jobs, ownership, policies, roles, things, updates
from ota.errors import InTheWay
from ota.jobs import JOB_ID_PREFIX, find_job
from ota.manage.listings import Noun, Row, Rows, as_they_are, by_name, each, names_of, newest_first
from ota.threads import side_by_side_map
from ota.updates import find_update

if TYPE_CHECKING:
    from ota.cloud import Cloud


def _find_things(cloud: Cloud) -> Rows:
    return by_name(Row(one.name, is_ours=one.is_ours) for one in things.list_things(cloud.iot))


def _fill_thing(cloud: Cloud, row: Row) -> Row:
    principals = things.list_principals(cloud.iot, row.name)
    return row.with_facts(certificates=names_of(principal.arn for principal in principals))


def _find_policies(cloud: Cloud) -> Iterator[Row]:
    return (Row(one.name, arn=one.arn) for one in policies.list_policies(cloud.iot))


def _mark_policy(cloud: Cloud, row: Row) -> Row:
    return replace(row, is_ours=ownership.is_ours(policies.find_policy_tags(cloud.iot, row.arn) or {}))


def _fill_policy(cloud: Cloud, row: Row) -> Row:
    return row.with_facts(attached_to=names_of(policies.list_policy_targets(cloud.iot, row.name)))


def _find_certificates(cloud: Cloud) -> Iterator[Row]:
    found = certificates.list_certificates(cloud.iot)
    return (Row(one.id, one.created, facts={"status": one.status}, arn=one.arn) for one in found)


def _mark_certificates(cloud: Cloud, rows: Rows) -> Rows:
    our_things = {one.name for one in things.list_things(cloud.iot, only_ours=True) if one.is_ours}
    if len(our_things) < len(rows):
        ours = _certificates_of(cloud, our_things)
        return [replace(row, is_ours=row.arn in ours) for row in rows]
    return list(side_by_side_map(partial(_mark_certificate, cloud, our_things), rows))


def _mark_certificate(cloud: Cloud, our_things: set[str], row: Row) -> Row:
    hangs_on = list(certificates.list_things_of(cloud.iot, row.arn))
    is_ours = len(hangs_on) == 1 and hangs_on[0] in our_things
    return replace(row, is_ours=is_ours).with_facts(things=hangs_on)


def _certificates_of(cloud: Cloud, thing_names: set[str]) -> set[str]:
    """ARNs of the certificates that hang on one of these things and on nothing else."""

    def own(thing_name: str) -> list[str]:
        return [
            one.arn
            for one in things.list_principals(cloud.iot, thing_name)
            if one.is_exclusive or not certificates.other_things(cloud.iot, one.arn, thing_name)
        ]

    return {arn for arns in side_by_side_map(own, sorted(thing_names)) for arn in arns}


def _fill_certificate(cloud: Cloud, row: Row) -> Row:
    found = certificates.find_certificate(cloud.iot, row.name)
    things_of = row.facts.get("things")
    return row.with_facts(
        expires=found.expires.date() if found and found.expires else None,
        things=list(certificates.list_things_of(cloud.iot, row.arn)) if things_of is None else things_of,
        policies=list(policies.list_attached_policies(cloud.iot, row.arn)),
    )


THINGS = Noun(
    "thing",
    "things",
    {"certificates": "certificates"},
    _find_things,
    as_they_are,
    each(_fill_thing),
    is_dated=False,
)
POLICIES = Noun(
    "policy",
    "policies",
    {"attached_to": "attached to"},
    _find_policies,
    each(_mark_policy),
    each(_fill_policy),
    is_dated=False,
)
CERTIFICATES = Noun(
    "certificate",
    "certificates",
    {"status": "status", "expires": "expires", "things": "things", "policies": "policies"},
    _find_certificates,
    _mark_certificates,
    each(_fill_certificate),
    id_title="id",
    shows_date=False,
)


def _find_buckets(cloud: Cloud) -> Rows:
    found = buckets.list_buckets(cloud.s3)
    return newest_first(Row(one.name, one.created_at, facts={"region": one.region}) for one in found)


def _mark_bucket(cloud: Cloud, row: Row) -> Row:
    return replace(row, is_ours=ownership.is_ours(buckets.find_bucket_tags(cloud.s3, row.name, cloud.account_id) or {}))


def _fill_bucket(cloud: Cloud, row: Row) -> Row:
    try:
        is_versioned = buckets.is_versioned(cloud.s3, row.name, cloud.account_id)
    except cloud.s3.exceptions.NoSuchBucket:  # it went while it was listed
        return row
    return row.with_facts(versioned=is_versioned, region=row.facts["region"] or _region_of(cloud, row))


def _region_of(cloud: Cloud, row: Row) -> str | None:
    """For an S3 that does not tell it in the list of buckets."""
    try:
        return bucket_access.find_region(cloud.s3, row.name, cloud.account_id)
    except InTheWay:
        return None


def _find_roles(cloud: Cloud) -> Rows:
    return newest_first(Row(one.name, one.created_at) for one in roles.list_roles(cloud.iam))


def _mark_role(cloud: Cloud, row: Row) -> Row:
    found = roles.find_role(cloud.iam, row.name)
    if found is None:
        return replace(row, is_ours=False)
    boundary = (found.boundary_arn or "none").rpartition("/")[2]
    return replace(row, is_ours=ownership.is_ours(found.tags)).with_facts(boundary=boundary)


def _find_updates(cloud: Cloud) -> Rows:
    return newest_first(Row(one.update_id, one.created_at) for one in updates.list_updates(cloud.iot))


def _mark_update(cloud: Cloud, row: Row) -> Row:
    found = find_update(cloud.iot, row.name)
    if found is None:
        return replace(row, is_ours=False).with_facts(status="gone")
    return replace(row, is_ours=found.is_ours()).with_facts(
        status=found.status, job=found.job_id, targets=names_of(found.targets)
    )


def _fill_update(cloud: Cloud, row: Row) -> Row:
    job = find_job(cloud.iot, row.facts["job"]) if row.facts.get("job") else None
    return row.with_facts(job_status=job.status if job else "none")


def _find_jobs(cloud: Cloud) -> Rows:
    found = jobs.list_jobs(cloud.iot)
    return newest_first(Row(one.job_id, one.created_at, facts={"status": one.status}) for one in found)


def _mark_job(cloud: Cloud, row: Row) -> Row:
    """A job is ours when its update is: the OTA service makes it and puts no marks on it."""
    is_updates = row.name.startswith(JOB_ID_PREFIX)
    update = find_update(cloud.iot, row.name.removeprefix(JOB_ID_PREFIX)) if is_updates else None
    return replace(row, is_ours=update is not None and update.is_ours())


def _fill_job(cloud: Cloud, row: Row) -> Row:
    job = find_job(cloud.iot, row.name)
    return row.with_facts(targets=names_of(job.targets)) if job else row


BUCKETS = Noun(
    "bucket",
    "buckets",
    {"region": "region", "versioned": "versioned"},
    _find_buckets,
    each(_mark_bucket),
    each(_fill_bucket),
)
ROLES = Noun("role", "roles", {"boundary": "boundary"}, _find_roles, each(_mark_role), as_they_are)
UPDATES = Noun(
    "update",
    "updates",
    {"status": "status", "job_status": "job", "targets": "targets"},
    _find_updates,
    each(_mark_update),
    each(_fill_update),
)
JOBS = Noun(
    "job",
    "jobs",
    {"status": "status", "targets": "targets"},
    _find_jobs,
    each(_mark_job),
    each(_fill_job),
    id_title="id",
)


NOUNS = (THINGS, POLICIES, CERTIFICATES, BUCKETS, ROLES, UPDATES, JOBS)
NOUN_BY_NAME = {noun.name: noun for noun in NOUNS}
NOUN_BY_PLURAL = {noun.plural: noun for noun in NOUNS}
