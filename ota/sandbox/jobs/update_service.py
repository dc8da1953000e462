"""What the OTA service does after CreateOTAUpdate, with the caller's role: stream, job document, job.

Each step that the role does not permit ends the work with AWS's code and message where they have been captured, and
with a message marked as the sandbox's own where not. The job document is compact JSON with exactly the keys, in the
order, that devices parse.

Source: FreeRTOS User Guide, "Troubleshoot OTA failures with the AWS CLI"; captured ``errorInfo`` and job documents of
the service; ``populateJobDocFields`` of the Jobs library for AWS IoT embedded; AWS managed policy
AmazonFreeRTOSOTAUpdate for the actions the service takes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.responses import AwsError
from ota.sandbox.policy.permissions import is_allowed

from . import jobs, streams
from .model import DELETION_IN_PROGRESS, Event, StreamFile, Update
from .presigned_urls import AUTH_SCHEME, placeholder
from .service_roles import find_refusal
from .state import Region

MAX_FILE_BYTES = 16 * 1024 * 1024
_OWN_WORDS = "(the sandbox's wording)"
_JOB_CONFIG = {
    "description": "description",
    "awsJobExecutionsRolloutConfig": "jobExecutionsRolloutConfig",
    "awsJobTimeoutConfig": "timeoutConfig",
}


class WorkFailed(Exception):
    """A step failed; ``info`` becomes the update's ``errorInfo``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.info = {"code": code, "message": message}


@dataclass(frozen=True)
class OtaFile:
    """One file in the job document. ``url`` is a placeholder, None for MQTT alone.

    ``signature``, ``hash_name`` and ``signature_name`` are the caller's; the two names form the key of the signature,
    unchecked, as in the service.
    """

    path: str
    size_bytes: int
    file_id: int
    certificate: str
    signature: str
    hash_name: str
    signature_name: str
    file_type: int | None = None
    url: str | None = None


def begin_creation(region: Region, update: Update) -> list[Event]:
    """End CREATE_PENDING: set CREATE_IN_PROGRESS and schedule the creation."""
    update.become("CREATE_IN_PROGRESS", region.now())
    region.later(region.sandbox.pause_s, partial(_create, region, update))
    return []


def begin_deletion(region: Region, update: Update, *, delete_stream: bool) -> list[Event]:
    """Begin to delete job and stream with the role; the deletion fails when the role does not permit it."""
    stream_id = update.made_stream if delete_stream else None
    job = region.jobs.get(update.job_id)
    try:
        if job is not None or stream_id in region.streams:
            _check_role(region, update)
        if job is not None:
            _check_action(region, update, "iot:DeleteJob", update.job_arn)
        if stream_id in region.streams:
            _check_action(region, update, "iot:DeleteStream", region.arn(f"stream/{stream_id}"))
    except WorkFailed as failure:
        update.become("DELETE_FAILED", region.now(), failure.info)
        return []
    events = [] if job is None or job.status == DELETION_IN_PROGRESS else jobs.begin_deletion(region, job)
    region.later(2 * region.sandbox.pause_s, partial(_remove, region, update, stream_id))
    return events


def ota_document(protocols: Sequence[str], stream_id: str | None, files: Sequence[OtaFile]) -> str:
    """The document as compact JSON."""
    body: dict[str, Any] = {"protocols": list(protocols)}
    if stream_id is not None:
        body["streamname"] = stream_id
    body["files"] = [_file(one) for one in files]
    return json.dumps({"afr_ota": body}, separators=(",", ":"), ensure_ascii=False)


def signature_key(hash_name: str, signature_name: str) -> str:
    """``sig-sha256-rsa`` for SHA256 and RSA."""
    return f"sig-{hash_name.lower()}-{signature_name.lower()}"


def _remove(region: Region, update: Update, stream_id: str | None) -> list[Event]:
    if stream_id is not None:
        streams.remove_stream(region, stream_id)
    if region.updates.get(update.update_id) is update:
        del region.updates[update.update_id]
    tags.drop(region.account_id, region.name, update.arn)
    return []


def _create(region: Region, update: Update) -> list[Event]:
    try:
        _check_role(region, update)
        _check_action(region, update, "iam:GetRole", update.role_arn)
        _check_action(region, update, "iam:PassRole", update.role_arn)
        stream_id, files = _bind_files(region, update)
        events = _create_job(region, update, stream_id, files)
    except WorkFailed as failure:
        if update.made_stream:
            streams.remove_stream(region, update.made_stream)
            update.made_stream, update.stream_ids = None, frozenset()
        update.become("CREATE_FAILED", region.now(), failure.info)
        return []
    update.become("CREATE_COMPLETE", region.now())
    return events


def _check_role(region: Region, update: Update) -> None:
    refusal = find_refusal(region, update.role_arn, update.arn)
    if refusal:
        raise WorkFailed("AccessDeniedException", f"Cannot assume role {update.role_arn}: {refusal} {_OWN_WORDS}")


def _check_action(region: Region, update: Update, action: str, resource: str) -> None:
    context = {"iam:PassedToService": streams.SERVICE} if action == "iam:PassRole" else {}
    if not is_allowed(region.account_id, update.role_arn, action, resource, context):
        role = update.role_arn.rsplit("/", 1)[-1]
        user = f"arn:aws:sts::{region.account_id}:assumed-role/{role}/{uuid.uuid4().hex[:4]}"
        raise WorkFailed(
            "AWSIotException",
            f"User: {user} is not authorized to perform: {action} on resource: {resource} {_service('AWSIot')}",
        )


def _bind_files(region: Region, update: Update) -> tuple[str | None, list[StreamFile]]:
    """Bind the files to their objects; create the stream that sends them when MQTT is used."""
    locations = [file["fileLocation"] for file in update.request["files"]]
    if "stream" in locations[0]:
        return _given_stream(region, update, [one["stream"] for one in locations])
    files = [_read(region, update, number, one["s3Location"]) for number, one in enumerate(locations)]
    if "MQTT" not in update.request["protocols"]:
        return None, files
    stream_id = f"AFR_OTA-{uuid.uuid4()}"
    _check_action(region, update, "iot:CreateStream", region.arn(f"stream/{stream_id}"))
    streams.add_stream(region, stream_id, update.role_arn, tuple(files))
    update.made_stream, update.stream_ids = stream_id, frozenset({stream_id})
    return stream_id, files


def _given_stream(region: Region, update: Update, wanted: list[dict[str, Any]]) -> tuple[str | None, list[StreamFile]]:
    stream_id = wanted[0]["streamId"]
    stream = region.streams.get(stream_id)
    files = [stream.find(one["fileId"]) for one in wanted] if stream else []
    found = [one for one in files if one is not None]
    if len(found) < len(wanted):
        raise WorkFailed("ResourceNotFoundException", f"Stream {stream_id} has not all of the files {_OWN_WORDS}")
    update.stream_ids = frozenset({stream_id})
    return stream_id, found


def _read(region: Region, update: Update, number: int, location: dict[str, str]) -> StreamFile:
    problem = streams.check_readable(region, update.role_arn, location)
    if problem:
        text = f"S3 object {location['key']} not accessible. Please check your permissions: {problem} {_OWN_WORDS}"
        raise WorkFailed("AccessDeniedException", f"{text} {_service('AmazonS3')}")
    file = streams.bind(region, number, location)
    if file.size_bytes > MAX_FILE_BYTES:
        text = (
            f"S3 object {location['key']} has {file.size_bytes} bytes; an OTA update file has at most {MAX_FILE_BYTES}"
        )
        raise WorkFailed("LimitExceededException", f"{text} {_OWN_WORDS}")
    return file


def _create_job(region: Region, update: Update, stream_id: str | None, files: list[StreamFile]) -> list[Event]:
    for resource in (update.job_arn, *update.request["targets"]):
        _check_action(region, update, "iot:CreateJob", resource)
    request: dict[str, Any] = {
        "jobId": update.job_id,
        "targets": update.request["targets"],
        "targetSelection": update.request["targetSelection"],
        "document": _document(region, update, stream_id, files),
    }
    request |= {theirs: update.request[ours] for ours, theirs in _JOB_CONFIG.items() if update.request.get(ours)}
    if update.request.get("awsJobAbortConfig"):
        request["abortConfig"] = {"criteriaList": update.request["awsJobAbortConfig"]["abortCriteriaList"]}
    if "HTTP" in update.request["protocols"]:
        request["presignedUrlConfig"] = {"roleArn": update.role_arn, **update.request["awsJobPresignedUrlConfig"]}
    try:
        return jobs.create_job(region, request).events
    except AwsError as refusal:
        text = f"{refusal.message} (Service: AWSIot; Status Code: {refusal.status}; Error Code: {refusal.code}; "
        raise WorkFailed("AWSIotException", f"{text}Request ID: {uuid.uuid4()})") from refusal


def _document(region: Region, update: Update, stream_id: str | None, files: list[StreamFile]) -> str:
    protocols = update.request["protocols"]
    with_url = "HTTP" in protocols
    entries = [
        _entry(region, given, file, with_url=with_url)
        for given, file in zip(update.request["files"], files, strict=True)
    ]
    return ota_document(protocols, stream_id if "MQTT" in protocols else None, entries)


def _entry(region: Region, given: dict[str, Any], file: StreamFile, *, with_url: bool) -> OtaFile:
    signing = given["codeSigning"]["customCodeSigning"]
    location = file.location
    url = placeholder(region, location["bucket"], location["key"], location.get("version")) if with_url else None
    return OtaFile(
        path=given["fileName"],
        size_bytes=file.size_bytes,
        file_id=file.file_id,
        certificate=signing["certificateChain"]["certificateName"],
        signature=signing["signature"]["inlineDocument"].decode("utf-8", errors="replace"),
        hash_name=signing["hashAlgorithm"],
        signature_name=signing["signatureAlgorithm"],
        file_type=given.get("fileType"),
        url=url,
    )


def _service(name: str) -> str:
    return f"(Service: {name}; Status Code: 403; Error Code: AccessDeniedException; Request ID: {uuid.uuid4()})"


def _file(file: OtaFile) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filepath": file.path,
        "filesize": file.size_bytes,
        "fileid": file.file_id,
        "certfile": file.certificate,
    }
    if file.file_type is not None:
        entry["fileType"] = file.file_type
    if file.url is not None:
        entry["update_data_url"] = file.url
        entry["auth_scheme"] = AUTH_SCHEME
    entry[signature_key(file.hash_name, file.signature_name)] = file.signature
    return entry
