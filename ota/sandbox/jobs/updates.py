"""OTA updates as an operator sees them: create, look, list, delete.

What is wrong with the request itself is refused at once; what is wrong with role, bucket, image or target shows later,
as CREATE_FAILED with ``errorInfo`` (``update_work``), as on AWS.

Source: AWS IoT API reference, CreateOTAUpdate, GetOTAUpdate, ListOTAUpdates, DeleteOTAUpdate; FreeRTOS User Guide,
"Creating an OTA update with the AWS CLI". Where AWS documents no behaviour, the code says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.errors import already_exists, invalid_request, not_found
from ota.sandbox.moto.pages import cut_page

from .job_types import CANCELED, COMPLETED, DELETION_IN_PROGRESS, SNAPSHOT, Reply
from .presigned_urls import DEFAULT_SECONDS
from .state import Region
from .update_checks import JOB_PREFIX, check_request
from .update_work import begin, begin_deletion

_RETURNED = (
    "description",
    "targets",
    "protocols",
    "awsJobExecutionsRolloutConfig",
    "awsJobPresignedUrlConfig",
    "targetSelection",
    "additionalParameters",
)


@dataclass
class Update:
    """An OTA update as it is now.

    Attributes:
        request: what the caller gave, completed by the defaults.
        made_stream: the stream that the service made for it, None before or without MQTT.
        stream_ids: every stream it sends, its own and the caller's.
        error: ``{"code", "message"}`` of a creation or deletion that failed.
    """

    update_id: str
    arn: str
    job_id: str
    job_arn: str
    request: dict[str, Any]
    created_at: float
    modified_at: float
    status: str = "CREATE_PENDING"
    made_stream: str | None = None
    stream_ids: frozenset[str] = frozenset()
    error: dict[str, str] | None = None

    @property
    def role_arn(self) -> str:
        """The service role."""
        return str(self.request["roleArn"])

    def become(self, status: str, now: float, error: dict[str, str] | None = None) -> None:
        """Go over to ``status``."""
        self.status = status
        self.error = error
        self.modified_at = now


def create_ota_update(region: Region, params: dict[str, Any]) -> Reply:
    """CreateOTAUpdate: answers CREATE_PENDING; the work is on the agenda."""
    update_id = params["otaUpdateId"]
    arn, job_id = region.arn(f"otaupdate/{update_id}"), f"{JOB_PREFIX}{update_id}"
    if update_id in region.updates:
        raise already_exists(f"OTA update {update_id} already exists.", update_id, arn)
    check_request(params, job_id)
    tags.set_tags(region.account_id, region.name, arn, params.get("tags") or [])
    now = region.now()
    update = Update(update_id, arn, job_id, region.arn(f"job/{job_id}"), _completed(params), now, now)
    region.updates[update_id] = update
    region.later(region.sandbox.pause_s, partial(begin, region, update))
    return Reply(
        {
            "otaUpdateId": update_id,
            "awsIotJobId": update.job_id,
            "otaUpdateArn": arn,
            "awsIotJobArn": update.job_arn,
            "otaUpdateStatus": update.status,
        }
    )


def get_ota_update(region: Region, params: dict[str, Any]) -> Reply:
    """GetOTAUpdate: neither role, abort nor timeout configuration comes back."""
    update = _find(region, params["otaUpdateId"])
    info = {
        "otaUpdateId": update.update_id,
        "otaUpdateArn": update.arn,
        "creationDate": update.created_at,
        "lastModifiedDate": update.modified_at,
        **{name: update.request.get(name) for name in _RETURNED},
        "otaUpdateFiles": update.request["files"],
        "otaUpdateStatus": update.status,
        "awsIotJobId": update.job_id,
        "awsIotJobArn": update.job_arn,
        "errorInfo": update.error,
    }
    return Reply({"otaUpdateInfo": {name: value for name, value in info.items() if value is not None}})


def list_ota_updates(region: Region, params: dict[str, Any]) -> Reply:
    """ListOTAUpdates, newest first."""
    wanted = params.get("otaUpdateStatus")
    found = [one for one in reversed(list(region.updates.values())) if wanted in {None, one.status}]
    page, token = cut_page(found, params.get("maxResults"), params.get("nextToken"))
    brief = [{"otaUpdateId": one.update_id, "otaUpdateArn": one.arn, "creationDate": one.created_at} for one in page]
    return Reply({"otaUpdates": brief, "nextToken": token})


def delete_ota_update(region: Region, params: dict[str, Any]) -> Reply:
    """DeleteOTAUpdate: DELETE_IN_PROGRESS for a while, then gone or DELETE_FAILED.

    AWS documents neither the refusal of an update whose job still runs nor of one that is being created; both are
    taken to be InvalidRequestException.
    """
    update = _find(region, params["otaUpdateId"])
    if update.status == "DELETE_IN_PROGRESS":
        return Reply()
    if update.status in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
        raise invalid_request(f"OTA update {update.update_id} is {update.status} and can not be deleted yet.")
    job = region.jobs.get(update.job_id)
    over = {COMPLETED, CANCELED, DELETION_IN_PROGRESS}
    if job is not None and job.status not in over and not params.get("forceDeleteAWSJob"):
        raise invalid_request(
            f"Job {job.job_id} of OTA update {update.update_id} is {job.status}; "
            "it is only deleted with forceDeleteAWSJob."
        )
    update.become("DELETE_IN_PROGRESS", region.now())
    work = partial(begin_deletion, region, update, delete_stream=bool(params.get("deleteStream")))
    region.later(region.sandbox.pause_s, work)
    return Reply()


def _find(region: Region, update_id: str) -> Update:
    update = region.updates.get(update_id)
    if update is None:
        raise not_found(f"OTA update {update_id} does not exist.")
    return update


def _completed(params: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        "protocols": ["MQTT"],
        "targetSelection": SNAPSHOT,
        "awsJobExecutionsRolloutConfig": {},
        "awsJobPresignedUrlConfig": {"expiresInSec": DEFAULT_SECONDS},
    }
    given = {name: value for name, value in params.items() if value is not None and name != "tags"}
    return {**defaults, **given}
