"""The lists of what brings an image to a device: buckets, roles, updates and jobs.

Source: S3 ListBuckets; IAM ListRoles, which gives no tags; AWS IoT ListOTAUpdates, ListJobs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ota import buckets, ownership, roles, updates
from ota.errors import InTheWay
from ota.listings import Noun, Row, Rows, as_they_are, each, names_of, newest_first
from ota.update_requests import JOB_ID_PREFIX
from ota.update_waits import find_job, find_update

if TYPE_CHECKING:
    from ota.cloud import Cloud


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
        return buckets.find_region(cloud.s3, row.name, cloud.account_id)
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
    found = updates.list_jobs(cloud.iot)
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
