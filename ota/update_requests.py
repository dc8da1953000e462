"""What an OTA update is: the request that makes one, and what AWS tells of one that exists.

Pure: nothing here calls AWS. The request is exactly what the firmware can take: one file, a custom signature passed as
its base64 *text* (the service copies the bytes into the job document as they are), the algorithm names in the one
spelling that gives the key the device looks for. ``additionalParameters`` are never sent to the device and come back
with GetOTAUpdate, so they hold our marks, the image's SHA-256 and the role's name: one call tells whose an update is,
whether it is still the one that is wanted, and which role it cannot be deleted without.

Source: AWS IoT CreateOTAUpdate, GetOTAUpdate; boto/boto3#3121 (algorithm names); the job document parser of
Jobs-for-AWS-IoT-embedded-sdk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.profiles import MQTT

if TYPE_CHECKING:
    from mypy_boto3_iot.type_defs import OTAUpdateInfoTypeDef

IMAGE_SHA256_KEY = "ota-image-sha256"
ROLE_NAME_KEY = "ota-role"
JOB_ID_PREFIX = "AFR_OTA-"  # the service's own


@dataclass(frozen=True)
class UpdateRequest:
    """The update that is wanted.

    Attributes:
        update_id: the update's name.
        thing_name: the device's thing.
        thing_arn: its ARN, the update's only target.
        role_arn: the role that AWS IoT assumes. AWS never tells which one an update has; the marks do.
        bucket: where the image is.
        key: its key.
        version_id: its version; None before it is uploaded, and in a bucket without versions.
        image_sha256: 64 hex digits, the hash of the image.
        file_name: the name under which the device takes it: ``non_secure image``.
        signature: the base64 text of the image's signature.
        hash_algorithm: ``SHA256``.
        signature_algorithm: ``RSA`` or ``ECDSA``.
        certificate_name: what the job document says as ``certfile``; most firmware ignores it, none takes it empty.
        protocols: how the device may load the image: MQTT, HTTP or both.
        in_progress_timeout_min: after how many minutes AWS gives up on a device that took the update and went
            silent; None for never.
    """

    update_id: str
    thing_name: str
    thing_arn: str
    role_arn: str
    bucket: str
    key: str
    image_sha256: str
    file_name: str
    signature: str
    version_id: str | None = None
    hash_algorithm: str = "SHA256"
    signature_algorithm: str = "RSA"
    certificate_name: str = "0"
    protocols: tuple[str, ...] = (MQTT,)
    in_progress_timeout_min: int | None = None


@dataclass(frozen=True)
class Update:
    """An update as AWS describes it; its one file laid flat.

    Attributes:
        update_id: its name.
        arn: its ARN.
        status: CREATE_PENDING, CREATE_IN_PROGRESS, CREATE_COMPLETE, CREATE_FAILED, DELETE_IN_PROGRESS or
            DELETE_FAILED. CREATE_COMPLETE says only that the job exists.
        job_id: the job that delivers it; empty before there is one.
        error_code: AWS's code when making or deleting it failed.
        error_message: AWS's words then.
        marks: our marks of ownership, the image's hash and the role's name.
        targets: ARNs of things and thing groups.
        bucket: where the image is; empty for an image that is not in S3, as the next two.
        key: its key.
        version_id: its version, where the request named one.
        file_name: the name under which the device takes it.
        signature: the signature's text.
        hash_algorithm: as requested.
        signature_algorithm: as requested.
        certificate_name: as requested.
        protocols: as requested.
    """

    update_id: str
    arn: str
    status: str
    job_id: str = ""
    error_code: str = ""
    error_message: str = ""
    marks: Mapping[str, str] | None = None
    targets: tuple[str, ...] = ()
    bucket: str = ""
    key: str = ""
    version_id: str | None = None
    file_name: str = ""
    signature: str = ""
    hash_algorithm: str = ""
    signature_algorithm: str = ""
    certificate_name: str = ""
    protocols: tuple[str, ...] = (MQTT,)

    @property
    def image(self) -> tuple[str, str | None] | None:
        """Key and version of the image, where it is in S3."""
        return (self.key, self.version_id) if self.key else None

    @property
    def image_sha256(self) -> str:
        """The image's hash, where this tool made the update."""
        return (self.marks or {}).get(IMAGE_SHA256_KEY, "")

    @property
    def role_name(self) -> str:
        """The role that it was made with, where this tool made the update."""
        return (self.marks or {}).get(ROLE_NAME_KEY, "")

    @property
    def thing_name(self) -> str:
        """The thing that this tool made it for; empty where somebody else made it."""
        return (self.marks or {}).get(ownership.OTA_THING_KEY, "") if self.is_ours() else ""

    def is_ours(self, thing_name: str | None = None) -> bool:
        """Whether this tool made it; for ``thing_name``, for that thing."""
        return ownership.is_ours(self.marks or {}, thing_name)


def create_update_request(request: UpdateRequest) -> dict[str, Any]:
    """What CreateOTAUpdate is sent."""
    location = {"bucket": request.bucket, "key": request.key}
    if request.version_id:
        location["version"] = request.version_id
    body: dict[str, Any] = {
        "otaUpdateId": request.update_id,
        "targets": [request.thing_arn],
        "protocols": list(request.protocols),
        "targetSelection": "SNAPSHOT",
        "roleArn": request.role_arn,
        "files": [
            {
                "fileName": request.file_name,
                "fileLocation": {"s3Location": location},
                "codeSigning": {
                    "customCodeSigning": {
                        "signature": {"inlineDocument": request.signature.encode("ascii")},
                        "certificateChain": {"certificateName": request.certificate_name},
                        "hashAlgorithm": request.hash_algorithm,
                        "signatureAlgorithm": request.signature_algorithm,
                    }
                },
            }
        ],
        "additionalParameters": {
            **ownership.marks(request.thing_name),
            IMAGE_SHA256_KEY: request.image_sha256,
            ROLE_NAME_KEY: request.role_arn.rpartition("/")[2],
        },
        "tags": ownership.mark_tags(request.thing_name),
    }
    if request.in_progress_timeout_min:
        body["awsJobTimeoutConfig"] = {"inProgressTimeoutInMinutes": request.in_progress_timeout_min}
    return body


def update_from(info: OTAUpdateInfoTypeDef) -> Update:
    """GetOTAUpdate's ``otaUpdateInfo``. AWS leaves empty structures in it, so nothing of it is taken for granted."""
    file: Any = next(iter(info.get("otaUpdateFiles", [])), {})
    location = file.get("fileLocation", {}).get("s3Location", {})
    signing = file.get("codeSigning", {}).get("customCodeSigning", {})
    error = info.get("errorInfo", {})
    return Update(
        update_id=info["otaUpdateId"],
        arn=info.get("otaUpdateArn", ""),
        status=info["otaUpdateStatus"],
        job_id=info.get("awsIotJobId", ""),
        error_code=error.get("code", ""),
        error_message=error.get("message", ""),
        marks=dict(info.get("additionalParameters", {})),
        targets=tuple(info.get("targets", [])),
        bucket=location.get("bucket", ""),
        key=location.get("key", ""),
        version_id=location.get("version"),
        file_name=file.get("fileName", ""),
        signature=_text(signing.get("signature", {}).get("inlineDocument", b"")),
        hash_algorithm=signing.get("hashAlgorithm", ""),
        signature_algorithm=signing.get("signatureAlgorithm", ""),
        certificate_name=signing.get("certificateChain", {}).get("certificateName", ""),
        protocols=tuple(info.get("protocols", [MQTT])),
    )


def has_same_content(update: Update, request: UpdateRequest) -> bool:
    """Whether the update brings the device what is wanted: image, signature, name, thing and protocols are the same.

    The role is not compared, since AWS does not tell it; the version is, once the request has one, and the name of
    the certificate where AWS tells it.
    """
    return (
        (update.image_sha256, update.bucket, update.key) == (request.image_sha256, request.bucket, request.key)
        and request.version_id in (None, update.version_id)
        and (update.file_name, update.signature) == (request.file_name, request.signature)
        and (update.hash_algorithm, update.signature_algorithm) == (request.hash_algorithm, request.signature_algorithm)
        and update.certificate_name in ("", request.certificate_name)
        and set(update.protocols) == set(request.protocols)  # AWS may tell them in another order
        and update.targets == (request.thing_arn,)
    )


def job_id_of(update_id: str) -> str:
    """The id that AWS gives the job of an update."""
    return f"{JOB_ID_PREFIX}{update_id}"


def _text(document: Any) -> str:
    return document.decode("utf-8", "replace") if isinstance(document, bytes) else str(document)
