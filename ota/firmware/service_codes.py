"""The codes and statuses that AWS and its CLI answer with, and the few lines of a device's log that explain silence.

Source: AWS IoT Developer Guide (jobs error codes, MQTT-based file delivery errors, lifecycle events, MQTT);
AWS IoT API reference (statuses); OASIS MQTT 3.1.1 and 5.0; FreeRTOS/iot-reference-arm-corstone3xx
``ota_orchestrator.c``. Each table names its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from ota import errors
from ota.firmware.codes import Code, Table

GUIDE = "AWS IoT Developer Guide"
FIRMWARE_BUG = "a mistake in the device's software: read its log from that moment"
POLICY = "run `invoke policy`: it compares the device's policy with what it needs"
WAIT = "wait a little and let the device try again"

JOBS = Table(
    "AWS IoT Jobs, rejected",
    f"{GUIDE}, jobs-api (ErrorCode)",
    (
        Code("InvalidTopic", "the device published on a topic of Jobs that there is not", FIRMWARE_BUG),
        Code("InvalidJson", "the device's message is not a JSON object in UTF-8", FIRMWARE_BUG),
        Code(
            "InvalidRequest",
            "the device's message has a member that Jobs does not take",
            "a client token has at most 64 bytes, and some firmware sends the thing name as one: check its length with "
            "`invoke verify`; else " + FIRMWARE_BUG,
        ),
        Code(
            "InvalidStateTransition",
            "the job execution's state does not allow this change, as when it has ended",
            "run `invoke status`; a finished execution is started again with a new update (`invoke update`)",
        ),
        Code(
            "ResourceNotFound",
            "there is no such job for this thing; it may have been deleted or cancelled meanwhile",
            "run `invoke status`, and `invoke update` where the job is gone",
        ),
        Code(
            "VersionMismatch",
            "somebody else changed the execution first: the expected version is not the current one",
            "make sure that only one device connects as this thing, then " + WAIT,
        ),
        Code("InternalError", "Jobs had a fault of its own", WAIT),
        Code("RequestThrottled", "too many requests in a short time", WAIT),
        Code("TerminalStateReached", "the job that was asked about has ended", "run `invoke status`"),
    ),
)

STREAMS = Table(
    "AWS IoT streams (file delivery), rejected",
    f"{GUIDE}, mqtt-based-file-delivery-errors",
    (
        Code("InvalidTopic", "the device published on a topic of streams that there is not", FIRMWARE_BUG),
        Code("InvalidJson", "the device's request is no valid JSON", FIRMWARE_BUG),
        Code("InvalidCbor", "the device's request is no valid CBOR", FIRMWARE_BUG),
        Code(
            "InvalidRequest",
            "the device asked for something outside the file",
            "if the image was uploaded again, make a new update (`invoke update`); else " + FIRMWARE_BUG,
        ),
        Code(
            "Unauthorized",
            "the service may not read the image, or the device not the stream",
            "run `invoke role` and `invoke policy`",
        ),
        Code(
            "BlockSizeOutOfBounds",
            "a block has 256 to 131072 bytes, and the device asked for another size",
            FIRMWARE_BUG,
        ),
        Code("OffsetOutOfBounds", "the device asked for a block behind the end of the file", FIRMWARE_BUG),
        Code("BlockCountLimitExceeded", "the device asked for too many blocks at once (128 KiB in all)", FIRMWARE_BUG),
        Code("BlockBitmapLimitExceeded", "the device's bitmap of blocks is too long", FIRMWARE_BUG),
        Code(
            "ResourceNotFound",
            "there is no such stream or no such file in it",
            "the update may be deleted: `invoke status`, then `invoke update`",
        ),
        Code(
            "VersionMismatch",
            "the stream has another version than the device asked for",
            "make a new update (`invoke update`)",
        ),
        Code(
            "ETagMismatch",
            "the image in the bucket was replaced after the stream was made",
            "never upload under a key in use; `invoke update` uploads under a key of its own and makes a new job",
        ),
        Code("InternalError", "the service had a fault of its own", WAIT),
    ),
)

DISCONNECTS = Table(
    "AWS IoT disconnect reason",
    f"{GUIDE}, life-cycle-events (disconnectReason)",
    (
        Code(
            "AUTH_ERROR",
            "the device could not prove who it is, or did what its policy does not allow",
            "run `invoke thing policy`: certificate active and attached, policy attached; then check that the device "
            "holds that certificate",
        ),
        Code(
            "CLIENT_INITIATED_DISCONNECT",
            "the device said goodbye by itself",
            "nothing is wrong, unless it happened in the middle of a download: then read the device's log",
        ),
        Code("CLIENT_ERROR", "the device broke a rule of the protocol, or sent more than is allowed", FIRMWARE_BUG),
        Code("CONNECTION_LOST", "the connection broke", "check the device's network; it connects again by itself"),
        Code(
            "DUPLICATE_CLIENTID",
            "another device connected under the same client id, so this one was put out",
            "give each device a thing of its own: two with the same thing name put each other out without end",
        ),
        Code(
            "FORBIDDEN_ACCESS",
            "the device is not allowed to connect, for its address or for the account's settings",
            "check the account's restrictions on addresses and endpoints",
        ),
        Code(
            "MQTT_KEEP_ALIVE_TIMEOUT",
            "nothing was heard of the device for one and a half keep-alive times",
            "check the device's power and network; where it only blocks for long, raise its keep-alive",
        ),
        Code("SERVER_ERROR", "AWS had a fault of its own", WAIT),
        Code("SERVER_INITIATED_DISCONNECT", "AWS ended the connection for reasons of operation", WAIT),
        Code(
            "API_INITIATED_DISCONNECT", "somebody ended the connection through the API", "ask who; it may connect again"
        ),
        Code("THROTTLED", "the device sent or received too much in a short time", "send less often"),
        Code(
            "WEBSOCKET_TTL_EXPIRATION", "a WebSocket connection reached the longest time it may have", "connect again"
        ),
        Code(
            "CUSTOMAUTH_TTL_EXPIRATION", "the custom authorizer's time for this connection has run out", "connect again"
        ),
    ),
)

CONNACK = Table(
    "MQTT CONNACK",
    f"OASIS MQTT 3.1.1, table 3.1, and 5.0, table 3-1; {GUIDE}, mqtt (differences)",
    (
        Code("CONNACK 0", "the connection was accepted", "", 0),
        Code("CONNACK 1", "the broker does not speak this version of MQTT", "connect with MQTT 3.1.1 or 5", 1),
        Code("CONNACK 2", "the broker does not take this client id", "the client id must be the thing name", 2),
        Code("CONNACK 3", "the broker cannot serve now", WAIT, 3),
        Code("CONNACK 4", "user name or password are wrong", "connect with the certificate, without them", 4),
        Code("CONNACK 5", "the device may not connect", POLICY + ", and the client id must be the thing name", 5),
        Code(
            "CONNACK 7",
            "the device may not connect: AWS's own number where MQTT 3.1.1 has 5",
            POLICY + "; the client id must be the thing name, the certificate active and attached to the thing",
            7,
        ),
        Code("CONNACK 128", "the broker refused without saying why (MQTT 5)", WAIT, 0x80),
        Code("CONNACK 133", "the broker does not take this client id (MQTT 5)", "it must be the thing name", 0x85),
        Code(
            "CONNACK 135",
            "the device may not connect (MQTT 5)",
            POLICY + ", and the client id must be the thing name",
            0x87,
        ),
        Code(
            "CONNACK 142",
            "another device connected under the same client id (MQTT 5)",
            "give each device a thing of its own",
            0x8E,
        ),
        Code("CONNACK 151", "a quota is used up (MQTT 5)", WAIT, 0x97),
    ),
)

STATUSES = Table(
    "status of update, job or execution",
    "AWS IoT API reference (OTAUpdateInfo, Job, JobExecution); AWS IoT Developer Guide, iot-jobs-lifecycle",
    (
        Code("CREATE_PENDING", "AWS has taken the update and not begun with it", "wait; it takes seconds"),
        Code("CREATE_IN_PROGRESS", "AWS makes stream and job of the update", "wait; it takes seconds"),
        Code(
            "CREATE_COMPLETE",
            "the update's job exists; how devices fare is told by the job's executions",
            "start the device, and watch it with `invoke watch`",
        ),
        Code(
            "CREATE_FAILED",
            "AWS could not make the update's job; errorInfo says why",
            "give errorInfo's message to `invoke explain`, mend it, then `invoke update` replaces the update",
        ),
        Code("DELETE_IN_PROGRESS", "AWS takes the update away", "wait; with its job it takes up to a minute"),
        Code(
            "DELETE_FAILED",
            "AWS could not take the update away, mostly because its role is gone",
            "`invoke role` makes the role again, then `invoke clean` deletes the update",
        ),
        Code("SCHEDULED", "the job waits for its time", "wait, or look at the job's schedule"),
        Code("COMPLETED", "no execution of the job can change any more", "`invoke status` tells how each one ended"),
        Code(
            "DELETION_IN_PROGRESS",
            "the job is being deleted, and its id is taken until then",
            "wait a minute, then run the same command again",
        ),
        Code(
            "QUEUED",
            "the job waits until the device asks for it",
            "start the device; some firmware asks only when it boots, so restart it. If it stays so: thing name and "
            "endpoint in its header, and the policy (`invoke thing policy`)",
        ),
        Code(
            "IN_PROGRESS",
            "the device has taken the job",
            "wait. If nothing moves: some firmware reports neither a lost block nor a wrong signature; prove the "
            "signature with `invoke verify`, and read the device's log",
        ),
        Code("SUCCEEDED", "the device runs the new image and keeps it"),
        Code(
            "FAILED",
            "the device gave up; its status details say why where its firmware tells",
            "give the reason to `invoke explain`; Arm's firmware gives none: there it means that the new version did "
            "not count as higher (`invoke verify --running-version …`)",
        ),
        Code(
            "TIMED_OUT",
            "the device had the job for longer than the job allows",
            "read the device's log for where it stopped, then `invoke update` offers it again",
        ),
        Code("REJECTED", "the device refused the job before it began", "read the device's log for why"),
        Code("REMOVED", "the execution was taken away, as when the thing left the job's targets", "`invoke update`"),
        Code("CANCELED", "somebody cancelled the job or this execution", "`invoke update` makes a new one"),
    ),
)

_CORSTONE = "FreeRTOS/iot-reference-arm-corstone3xx applications/helpers/ota_orchestrator/src/ota_orchestrator.c"
DEVICE_LOG = Table(
    "Arm's Corstone firmware, log",
    _CORSTONE,
    (
        Code(
            "Application version of the new image is not higher than the current image",
            "by the firmware's count (major, minor and the number behind the +) the new image is not newer; it is "
            "thrown away and the job reported FAILED",
            "raise the number behind the + (0.0.20+20), build and update again; `invoke verify` tells",
        ),
        Code(
            "Failed to decode the image signature to DER format",
            "the signature's text is no base64, or stands for more than 384 bytes",
            "run `invoke verify`, which names what the text is, and update again",
        ),
        Code(
            "No OTA job available",
            "no job is waiting, or the image's name on the device is none that it knows (nothing is reported then)",
            "run `invoke status`, and `invoke verify` for image_file_name",
        ),
        Code(
            "OTA data buffers are too small for the data message received",
            "a block was larger than the buffer",
            "build the firmware with its own block size of 4096",
        ),
        Code(
            "Couldn't fetch platform image version",
            "the firmware's update agent did not tell a version",
            "read the boot log for the versions of both images",
        ),
        Code(
            "Failed to complete OTA successfully", "the new image booted and was refused", "look at the line before it"
        ),
    ),
)


def _codes(names: Iterable[str], cause: str, remedy: str) -> tuple[Code, ...]:
    return tuple(Code(name, cause, remedy) for name in sorted(names) if not name.isdigit())


AWS = Table(
    "AWS API",
    "IAM User Guide and AWS service references, common errors; AWS IoT API reference, errors",
    (
        *_codes(
            errors.EXPIRED_CODES,
            "the AWS credentials have expired",
            "renew them (`aws sso login`, or copy new ones into .env) and run the command again",
        ),
        *_codes(
            errors.REFUSED_KEY_CODES,
            "AWS does not know these credentials",
            "check AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN for temporary keys, and AWS_REGION",
        ),
        *_codes(
            errors.WRONG_SECRET_CODES,
            "AWS_SECRET_ACCESS_KEY does not belong to the key, or the clock is wrong",
            "check .env and this machine's clock",
        ),
        *_codes(
            errors.DENIED_CODES,
            "the credentials lack the permission for this",
            "have the permission that the message names added (`invoke permissions` prints what is needed)",
        ),
        *_codes(errors.THROTTLED_CODES, "the account's call rate is used up", "wait a minute and run it again"),
        Code(
            "ResourceNotFoundException",
            "there is no such object in this account and region",
            "check the name and AWS_REGION; `invoke all` makes what is missing",
        ),
        Code(
            "ResourceAlreadyExistsException",
            "an object by this name is there already, with other contents",
            "choose another name, or delete the old one (`invoke clean`)",
        ),
        Code("InvalidRequestException", "AWS refused a value of the request", "read the message: it names the value"),
        Code(
            "LimitExceededException",
            "a limit of the account is used up",
            "delete what nobody needs, or have the limit raised",
        ),
        Code(
            "DeleteConflictException",
            "something else still uses or hangs on the object",
            "`invoke clean` deletes in the order that works",
        ),
        Code(
            "CertificateStateException",
            "the certificate's state does not allow this, as deleting an active one",
            "`invoke clean` makes it inactive first",
        ),
        Code("MalformedPolicyException", "the IoT policy's document is not valid", "run `invoke policy`"),
        Code("MalformedPolicyDocument", "the IAM policy's document is not valid", "run `invoke role`"),
        Code("VersionConflictException", "somebody changed the object meanwhile", "run the same command again"),
        Code(
            "NoSuchEntity",
            "there is no such role or policy in IAM",
            "run `invoke role`; for a permissions boundary check its ARN in permissions_boundary",
        ),
        Code("EntityAlreadyExists", "IAM has a role or policy by this name already", "choose another iam_role_name"),
        Code("NoSuchBucket", "the bucket is not there", "run `invoke bucket`"),
        Code("NoSuchKey", "the image is not in the bucket", "run `invoke update`"),
        Code(
            "BucketAlreadyExists", "somebody else in the world has a bucket by this name", "choose another bucket_name"
        ),
        Code("BucketAlreadyOwnedByYou", "the bucket is there and yours already", "nothing has to be done"),
        Code("BucketNotEmpty", "the bucket holds objects or versions of them", "`invoke clean`"),
        Code(
            "InvalidBucketName",
            "S3 does not take this name: a-z, 0-9, . and - only, 3 to 63 of them",
            "change bucket_name",
        ),
        Code("InternalFailureException", "AWS had a fault of its own", WAIT),
        Code("ServiceUnavailableException", "AWS cannot serve now", WAIT),
    ),
)

DEVICE_TABLES = (JOBS, STREAMS, DISCONNECTS, STATUSES, DEVICE_LOG)
