"""What an OTA update is: the request that makes one, AWS's description of one, and what AWS's failures mean.

Nothing here calls AWS. The request is exactly what the firmware accepts: one file, a custom signature passed as its
base64 *text* (the service copies the bytes into the job document as they are), the algorithm names in the one spelling
that gives the key that the device looks for. The service never sends ``additionalParameters`` to the device and returns
them with GetOTAUpdate. So they hold our marks, the image's SHA-256, the role's name and the rules of the rollout:
one call tells whose an update is, whether it has the wanted image, how it is rolled out, and with which role AWS
deletes it.

The service goes on working after it has answered the call, with the role of the request, and leaves a code and a
sentence in ``errorInfo``. Some failures come only from IAM: a new role is not known everywhere at once, and the same
request succeeds a little later. All others need a human, who gets AWS's own words and what to do.

An update and its job are one noun in this room.

Source: AWS IoT CreateOTAUpdate, GetOTAUpdate; boto/boto3#3121 (algorithm names); the job document parser of
Jobs-for-AWS-IoT-embedded-sdk; FreeRTOS User Guide, "Troubleshooting OTA updates" and "CreateOTAUpdate failures";
awsdocs/aws-freertos-docs#2 (PassRole); IAM User Guide, "Changes that I make are not always immediately visible".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ota import ownership
from ota.errors import UpdateFailed
from ota.messages import Text, command, message
from ota.profiles import MQTT
from ota.updates.rollout_rules import RolloutRules, rollout_request

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_iot.type_defs import OTAUpdateInfoTypeDef

IMAGE_SHA256_KEY = "ota-image-sha256"
ROLE_NAME_KEY = "ota-role"
ROLLOUT_KEY = "ota-rollout"
FAILURE_SOURCE = "FreeRTOS User Guide, CreateOTAUpdate failures; awsdocs/aws-freertos-docs#2; ota/updates/requests.py"
COMPLETE = "CREATE_COMPLETE"
CREATE_FAILED = "CREATE_FAILED"
BEING_CREATED = frozenset({"CREATE_PENDING", "CREATE_IN_PROGRESS"})
WITHOUT_JOB = BEING_CREATED | {CREATE_FAILED}
BEING_DELETED = "DELETE_IN_PROGRESS"


@dataclass(frozen=True)
class UpdateRequest:
    """The update that is wanted.

    Attributes:
        update_id: the update's name.
        thing_name: the device's thing.
        targets: ARNs of things and thing groups, 1 to 100.
        role_arn: the role that AWS IoT assumes. AWS does not tell the role of an update; our marks do.
        bucket: where the image is.
        key: its key.
        version_id: its version; None before it is uploaded, and in a bucket without versions.
        image_sha256: 64 hex digits, the hash of the image.
        file_name: the name under which the device takes it: ``non_secure image``.
        signature: the base64 text of the image's signature.
        hash_algorithm: ``SHA256``.
        signature_algorithm: ``RSA`` or ``ECDSA``.
        certificate_name: the job document's ``certfile``; most firmware ignores it, none accepts an empty one.
        protocols: how the device may load the image: MQTT, HTTP or both.
        rules: how fast it is rolled out, and when AWS stops it.
    """

    update_id: str
    thing_name: str
    targets: tuple[str, ...]
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
    rules: RolloutRules = field(default_factory=RolloutRules)


@dataclass(frozen=True)
class Update:
    """An update as AWS describes it; the fields of its one file are its own.

    Attributes:
        update_id: its name.
        arn: its ARN.
        status: CREATE_PENDING, CREATE_IN_PROGRESS, CREATE_COMPLETE, CREATE_FAILED, DELETE_IN_PROGRESS or
            DELETE_FAILED. CREATE_COMPLETE says only that the job exists.
        job_id: the job that delivers it; empty before there is one.
        error_code: AWS's code where making or deleting it failed.
        error_message: AWS's message then.
        marks: our marks of ownership, the image's hash, the role's name and the rules of the rollout.
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
    def rollout_mark(self) -> str:
        """The rules of its rollout as :attr:`RolloutRules.mark` has them, where this tool made the update."""
        return (self.marks or {}).get(ROLLOUT_KEY, "")

    @property
    def thing_name(self) -> str:
        """The thing that this tool made it for; empty where somebody else made it."""
        return (self.marks or {}).get(ownership.OTA_THING_KEY, "") if self.is_ours() else ""

    def is_ours(self, thing_name: str | None = None) -> bool:
        """Whether this tool made it; for ``thing_name``, for that thing."""
        return ownership.is_ours(self.marks or {}, thing_name)


@dataclass(frozen=True)
class Failure:
    """One kind of failure.

    Attributes:
        pattern: matches AWS's code and message, joined by a space.
        advice: what to do.
        is_settling: whether it may come from a new role and go away by itself.
        is_job_left: whether a job by the same id exists.
    """

    pattern: re.Pattern[str]
    advice: Text
    is_settling: bool = False
    is_job_left: bool = False


def create_update_request(request: UpdateRequest) -> dict[str, Any]:
    """The parameters of CreateOTAUpdate."""
    location = {"bucket": request.bucket, "key": request.key}
    if request.version_id:
        location["version"] = request.version_id
    mark = {ROLLOUT_KEY: request.rules.mark} if request.rules.mark else {}
    return {
        "otaUpdateId": request.update_id,
        "targets": list(request.targets),
        "protocols": list(request.protocols),
        **rollout_request(request.rules),
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
            **mark,
        },
        "tags": ownership.mark_tags(request.thing_name),
    }


def request_like(update: Update, update_id: str, targets: tuple[str, ...], role_arn: str) -> UpdateRequest:
    """The request for another update of this tool with the same image, signature and protocols, for other targets."""
    return UpdateRequest(
        update_id=update_id,
        thing_name=update.thing_name,
        targets=targets,
        role_arn=role_arn,
        bucket=update.bucket,
        key=update.key,
        version_id=update.version_id,
        image_sha256=update.image_sha256,
        file_name=update.file_name,
        signature=update.signature,
        hash_algorithm=update.hash_algorithm,
        signature_algorithm=update.signature_algorithm,
        certificate_name=update.certificate_name,
        protocols=update.protocols,
    )


def update_from(info: OTAUpdateInfoTypeDef) -> Update:
    """The update from GetOTAUpdate's ``otaUpdateInfo``, in which any structure may be missing or empty."""
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
    """Whether the update delivers what is wanted: image, signature, name, targets, rollout and protocols are the same.

    The role is not compared, because AWS does not tell it. The version is compared where the request has one, the name
    of the certificate where AWS tells it.
    """
    return (
        (update.image_sha256, update.bucket, update.key) == (request.image_sha256, request.bucket, request.key)
        and request.version_id in (None, update.version_id)
        and (update.file_name, update.signature) == (request.file_name, request.signature)
        and (update.hash_algorithm, update.signature_algorithm) == (request.hash_algorithm, request.signature_algorithm)
        and update.certificate_name in ("", request.certificate_name)
        and set(update.protocols) == set(request.protocols)  # AWS may return them in another order
        and set(update.targets) == set(request.targets)  # as above
        and update.rollout_mark == request.rules.mark
    )


def failure_of(update: Update) -> Failure:
    """What AWS's code and message mean, of an update that it could not make or delete."""
    text = f"{update.error_code} {update.error_message}"
    return next((failure for failure in FAILURES if failure.pattern.search(text)), UNKNOWN)


def failed(what: str, update: Update) -> UpdateFailed:
    """The error for an update that AWS could not ``create`` or ``delete``, in AWS's words and with our advice."""
    advice = failure_of(update).advice
    if what == "delete":
        advice = message(
            "AWS deletes an update with the update's own role: if that role is gone or has changed, make it again (",
            command("role"),
            "), then run the same command.",
        )
    return UpdateFailed(
        f"AWS could not {what} the OTA update {update.update_id}: "
        f"{update.error_message or 'it gave no reason'} ({update.error_code or update.status}). ",
        advice,
    )


def refused(update_id: str, error: ClientError) -> Update:
    """A refusal of CreateOTAUpdate as the failed update that AWS makes of other refusals."""
    answer = error.response["Error"]
    return Update(update_id, "", CREATE_FAILED, error_code=answer["Code"], error_message=answer.get("Message", ""))


def _text(document: Any) -> str:
    return document.decode("utf-8", "replace") if isinstance(document, bytes) else str(document)


RUN_ROLE = (command("role"), " checks it and prints what is missing.")


def _failure(pattern: str, advice: Text, *, is_settling: bool = False, is_job_left: bool = False) -> Failure:
    return Failure(re.compile(pattern, re.IGNORECASE | re.DOTALL), advice, is_settling, is_job_left)


# The first that matches counts.
FAILURES = (
    _failure(
        r"job.*already exist|already exist.*job|ResourceAlreadyExists",
        "A job of that name is still there: wait a minute, then run the same command again.",
        is_job_left=True,
    ),
    _failure(
        r"PassRole",
        message("The role must be allowed to pass itself on (iam:PassRole on its own ARN): ", *RUN_ROLE),
        is_settling=True,
    ),
    _failure(
        r"(not|un)[ -]?(able to )?assume|AssumeRole|cannot be assumed|role \S+ (does not exist|was not found)",
        message("AWS IoT cannot assume the role: it must exist and trust iot.amazonaws.com; ", *RUN_ROLE),
        is_settling=True,
    ),
    _failure(  # AWS's own words are UNVERIFIED
        r"(\btarget|thing ?group|:thing)\b.*(does not exist|not found)",
        message("A thing or thing group that the update is for does not exist: ", command("plan"), " says which."),
    ),
    _failure(
        r"NoSuchBucket|bucket.*(does not exist|not found)",
        message("The bucket is gone: ", command("bucket"), ", then ", command("update"), "."),
    ),
    _failure(
        r"NoSuchKey|NoSuchVersion|has no object|(key|object|version).*(does not exist|not found)",
        message("The image is gone from the bucket: ", command("update"), " uploads it again."),
    ),
    _failure(
        r"S3.*(not accessible|access ?denied|forbidden|403)|s3:\w+",
        message(
            "The role may not read the image (s3:GetObject, s3:GetObjectVersion): ",
            *RUN_ROLE,
            " If the bucket is encrypted with a KMS key, the role needs kms:Decrypt on it too.",
        ),
        is_settling=True,
    ),
    _failure(
        r"not authorized to perform|AccessDenied",
        message("The role lacks a permission, or its permissions boundary does not allow it: ", *RUN_ROLE),
        is_settling=True,
    ),
    _failure(
        r"LimitExceeded|quota",
        "A limit of the account is reached (jobs, streams): delete what nobody needs, or have it raised.",
    ),
)
UNKNOWN = _failure(r"", "Remove the cause, then run the same command again: the failed update is replaced.")
