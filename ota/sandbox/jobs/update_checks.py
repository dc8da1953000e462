"""What is wrong with the request for an OTA update itself, and refused at once.

Source: AWS IoT API reference, CreateOTAUpdate, OTAUpdateFile, CustomCodeSigning; AWS IoT Device Management quotas for
jobs, because the update's job has a name and targets of its own.
"""

from __future__ import annotations

from typing import Any

from ota.sandbox.moto.errors import AwsError, invalid_request

from .job_limits import check_limits

JOB_PREFIX = "AFR_OTA-"
MAX_JOB_ID = 64
MAX_FILES = 50
MAX_TARGETS = 100


def check_request(params: dict[str, Any], job_id: str) -> None:
    """InvalidRequestException or LimitExceededException for what AWS does not take."""
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
    )
    if len(params["files"]) > MAX_FILES:
        raise invalid_request(f"An OTA update can have at most {MAX_FILES} files.")
    for number, file in enumerate(params["files"]):
        _check_location(f"files[{number}]", file.get("fileLocation") or {})
        _check_signing(f"files[{number}]", file)
    streams = {(file["fileLocation"].get("stream") or {}).get("streamId") for file in params["files"]}
    if len(streams) > 1:
        raise invalid_request("The files of an OTA update must come from one stream, or all from S3.")


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
