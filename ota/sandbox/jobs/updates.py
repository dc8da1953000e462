"""OTA updates for an operator: create, describe, list, delete.

An invalid request is refused at once; a problem of the role, bucket, image or target shows later, as CREATE_FAILED with
``errorInfo`` (``update_service``), as on AWS.

Source: AWS IoT API reference, CreateOTAUpdate, GetOTAUpdate, ListOTAUpdates, DeleteOTAUpdate, OTAUpdateFile,
CustomCodeSigning; FreeRTOS User Guide, "Creating an OTA update with the AWS CLI"; AWS IoT Device Management quotas for
jobs. Where AWS documents no behaviour, the code says so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.responses import AwsError, already_exists, cut_page, invalid_request, not_found

from . import update_service
from .jobs import check_limits
from .model import CANCELED, COMPLETED, DELETION_IN_PROGRESS, SNAPSHOT, Reply, Update
from .presigned_urls import DEFAULT_SECONDS
from .state import Region

_RETURNED = (
    "description",
    "targets",
    "protocols",
    "awsJobExecutionsRolloutConfig",
    "awsJobPresignedUrlConfig",
    "targetSelection",
    "additionalParameters",
)
JOB_PREFIX = "AFR_OTA-"
MAX_JOB_ID = 64
MAX_FILES = 50
MAX_TARGETS = 100


def create_ota_update(region: Region, params: dict[str, Any]) -> Reply:
    """CreateOTAUpdate: answers CREATE_PENDING and schedules the work."""
    update_id = params["otaUpdateId"]
    arn, job_id = region.arn(f"otaupdate/{update_id}"), f"{JOB_PREFIX}{update_id}"
    if update_id in region.updates:
        raise already_exists(f"OTA update {update_id} already exists.", update_id, arn)
    check_request(params, job_id)
    tags.set_tags(region.account_id, region.name, arn, params.get("tags") or [])
    now = region.now()
    update = Update(update_id, arn, job_id, region.arn(f"job/{job_id}"), _completed(params), now, now)
    region.updates[update_id] = update
    region.later(region.sandbox.pause_s, partial(update_service.begin_creation, region, update))
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
    """GetOTAUpdate: without role, abort and timeout configuration, as on AWS."""
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
    """DeleteOTAUpdate: DELETE_IN_PROGRESS for a while, then deleted or DELETE_FAILED.

    AWS documents no code for the refusal of an update whose job still runs or that is being created; both are assumed
    to be InvalidRequestException.
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
    work = partial(update_service.begin_deletion, region, update, delete_stream=bool(params.get("deleteStream")))
    region.later(region.sandbox.pause_s, work)
    return Reply()


def check_request(params: dict[str, Any], job_id: str) -> None:
    """Refuse an invalid request: InvalidRequestException or LimitExceededException."""
    if len(job_id) > MAX_JOB_ID:
        most = MAX_JOB_ID - len(JOB_PREFIX)
        raise invalid_request(
            f"The otaUpdateId is too long: its job is {job_id}, and a job id has at most {MAX_JOB_ID} "
            f"characters, which leaves {most}."
        )
    protocols = params.get("protocols") or []
    if len(set(protocols)) < len(protocols):
        raise invalid_request("protocols must not name a protocol twice.")
    if len(params["targets"]) > MAX_TARGETS:
        raise AwsError("LimitExceededException", f"An OTA update can have at most {MAX_TARGETS} targets.")
    if not params["roleArn"].startswith("arn:aws:iam::") or ":role/" not in params["roleArn"]:
        raise invalid_request(f"roleArn {params['roleArn']} is not the ARN of a role.")
    check_limits(
        params.get("awsJobPresignedUrlConfig"),
        params.get("awsJobTimeoutConfig"),
        params.get("awsJobExecutionsRolloutConfig"),
        (params.get("awsJobAbortConfig") or {}).get("abortCriteriaList"),
    )
    if len(params["files"]) > MAX_FILES:
        raise invalid_request(f"An OTA update can have at most {MAX_FILES} files.")
    for number, file in enumerate(params["files"]):
        _check_location(f"files[{number}]", file.get("fileLocation") or {})
        _check_signing(f"files[{number}]", file)
    streams = {(file["fileLocation"].get("stream") or {}).get("streamId") for file in params["files"]}
    if len(streams) > 1:
        raise invalid_request("The files of an OTA update must come from one stream, or all from S3.")


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


def _check_location(where: str, location: dict[str, Any]) -> None:
    s3_location, stream = location.get("s3Location"), location.get("stream")
    if bool(s3_location) == bool(stream):
        raise invalid_request(f"{where}.fileLocation needs either a stream or an s3Location.")
    if s3_location and not (s3_location.get("bucket") and s3_location.get("key")):
        raise invalid_request(f"{where}.fileLocation.s3Location needs bucket and key.")
    if stream and (not stream.get("streamId") or stream.get("fileId") is None):
        raise invalid_request(f"{where}.fileLocation.stream needs streamId and fileId.")


def _check_signing(where: str, file: dict[str, Any]) -> None:
    if not file.get("fileName"):
        raise invalid_request(f"{where} needs a fileName.")
    signing = file.get("codeSigning") or {}
    if signing.get("awsSignerJobId") or signing.get("startSigningJobParameter"):
        raise invalid_request("The sandbox does not have AWS Signer; give the signature as customCodeSigning.")
    custom = signing.get("customCodeSigning") or {}
    if not (custom.get("signature") or {}).get("inlineDocument"):
        raise invalid_request(f"{where}.codeSigning.customCodeSigning needs a signature.")
    if not (custom.get("certificateChain") or {}).get("certificateName"):
        raise invalid_request(f"{where}.codeSigning.customCodeSigning needs a certificateChain with a certificateName.")
    if not custom.get("hashAlgorithm") or not custom.get("signatureAlgorithm"):
        raise invalid_request(f"{where}.codeSigning.customCodeSigning needs hashAlgorithm and signatureAlgorithm.")
