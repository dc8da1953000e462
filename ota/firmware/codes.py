"""What the tables of codes are made of: one entry a code, one table a source.

The numbers that the classic OTA agent reports when an update fails, and the words it reports on the way.

It sends them as ``reason`` in a job execution's status details: ``rejected: 0x00000010`` or ``aborted: 0x…`` for an
error of the agent, ``0x000000e3: 0x00000000`` for a platform's status and the platform's own number; and progress as
``receive``.
Firmware with another agent mostly copies these numbers.

Source: aws/ota-for-aws-iot-embedded-sdk ``ota.h``, ``ota_platform_interface.h``, ``ota_os_interface.h``,
``ota_mqtt_interface.h``, ``ota_http_interface.h`` for the numbers; ``ota.c`` and ``ota_mqtt.c`` for when they are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One code.

    Attributes:
        name: as devices, AWS or the AWS CLI write it.
        cause: what it means, one sentence without a full stop.
        remedy: what to do, the same; empty where nothing has to be done.
        number: where it is sent as a number.
    """

    name: str
    cause: str
    remedy: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Table:
    """The codes of one source.

    Attributes:
        title: who says them.
        source: the document or file that they are read from.
        codes: the codes.
    """

    title: str
    source: str
    codes: tuple[Code, ...]

    def find_number(self, number: int) -> Code | None:
        """The code with this number."""
        return next((code for code in self.codes if code.number == number), None)

    def find_name(self, name: str) -> Code | None:
        """The code of this name, in any case."""
        return next((code for code in self.codes if code.name.lower() == name.lower()), None)

    def __iter__(self) -> Iterator[Code]:
        return iter(self.codes)


REPOSITORY = "aws/ota-for-aws-iot-embedded-sdk"
PROVE = "run `invoke verify`: it proves signature, key and image at the desk"
RETRY = "let the device try again (`invoke update` makes a new job); if it comes again, read the device's log"
PORT = "a fault in the device's software or its port, not in the update: read the device's log from that moment"

AGENT = Table(
    "OTA agent",
    f"{REPOSITORY} source/include/ota.h (OtaErr_t)",
    (
        Code(
            "OtaErrNone",
            "no error; a rejection with this number was the application's own wish, as after a self-test",
            "read the device's log for why its self-test refused the new image",
            0x00,
        ),
        Code("OtaErrUninitialized", "no step of the agent has set a result yet", PORT, 0x01),
        Code("OtaErrPanic", "the agent met a state from which it cannot go on", "restart the device; " + PORT, 0x02),
        Code("OtaErrInvalidArg", "the application called the agent with an argument it does not take", PORT, 0x03),
        Code("OtaErrAgentStopped", "the agent was not running when it was asked to do something", PORT, 0x04),
        Code("OtaErrSignalEventFailed", "the agent's event queue took no more events", PORT, 0x05),
        Code(
            "OtaErrRequestJobFailed",
            "the device could not ask for its job",
            "check its connection, and that its policy allows Publish on its jobs topics (`invoke policy`)",
            0x06,
        ),
        Code(
            "OtaErrInitFileTransferFailed",
            "the device could not begin the download",
            "check that its policy allows Subscribe on its streams topics (`invoke policy`), or for HTTP that the "
            "presigned URL was still valid",
            0x07,
        ),
        Code(
            "OtaErrRequestFileBlockFailed",
            "the device could not ask for the next block",
            "check its connection, and that its policy allows Publish on its streams topics (`invoke policy`)",
            0x08,
        ),
        Code("OtaErrCleanupControlFailed", "the device could not unsubscribe from its jobs topics", RETRY, 0x09),
        Code("OtaErrCleanupDataFailed", "the device could not end the download tidily", RETRY, 0x0A),
        Code(
            "OtaErrUpdateJobStatusFailed",
            "the device could not report its progress",
            "check its connection, and that its policy allows Publish on its jobs topics (`invoke policy`)",
            0x0B,
        ),
        Code(
            "OtaErrJobParserError",
            "the device could not read the job document",
            "run `invoke verify`: it checks names, lengths and the signature's key against firmware_profile",
            0x0C,
        ),
        Code(
            "OtaErrInvalidDataProtocol",
            "the job offers no protocol that this firmware was built with",
            "build the firmware with MQTT as a data protocol",
            0x0D,
        ),
        Code(
            "OtaErrMomentumAbort",
            "the device asked for blocks again and again and got no answer",
            "check that its policy allows Receive on its streams topics (`invoke policy`), and its connection",
            0x0E,
        ),
        Code(
            "OtaErrDowngradeNotAllowed",
            "the new image's version is lower than the running one's",
            "raise the version of the image, build it and update again",
            0x0F,
        ),
        Code(
            "OtaErrSameFirmwareVersion",
            "the new image says it is the version that runs already, or the boot loader went back to the old one",
            "raise the version of the image, build it and update again; if it is higher already, read the boot "
            "loader's log for why it did not keep the new one",
            0x10,
        ),
        Code(
            "OtaErrImageStateMismatch",
            "the job says self-test and the platform says there is none: the new image did not boot, or was replaced",
            "read the boot loader's log for why it did not start the new image",
            0x11,
        ),
        Code("OtaErrNoActiveJob", "the application accepted or rejected an image and no job was going on", PORT, 0x12),
        Code(
            "OtaErrUserAbort",
            "somebody or the application ended the update, or the job was cancelled on the device's side",
            "update again when the device is ready (`invoke update`)",
            0x13,
        ),
        Code("OtaErrFailedToEncodeCbor", "the device could not write its request for blocks", PORT, 0x14),
        Code("OtaErrFailedToDecodeCbor", "the device could not read a block that it was sent", RETRY, 0x15),
        Code(
            "OtaErrActivateFailed",
            "the device could not switch to the new image",
            "check the image's size against the slot (`invoke verify`), and read the boot loader's log",
            0x16,
        ),
        Code(
            "OtaErrFileSizeOverflow",
            "the image is larger than the agent can count",
            "make the image smaller, or check that ota_binary names the update",
            0x17,
        ),
        Code(
            "OtaErrEmptyJobDocument",
            "there was no job waiting; usual at start-up",
            "if one should be waiting, run `invoke status`",
            0x18,
        ),
    ),
)

PLATFORM = Table(
    "OTA platform layer (PAL)",
    f"{REPOSITORY} source/include/ota_platform_interface.h (OtaPalMainStatus_t)",
    (
        Code(
            "OtaPalUninitialized",
            "the download broke off before its end: a block was malformed or could not be written",
            PORT,
            0xE0,
        ),
        Code("OtaPalOutOfMemory", "the device had no memory left", PORT, 0xE1),
        Code("OtaPalNullFileContext", "the platform layer was called without a file", PORT, 0xE2),
        Code(
            "OtaPalSignatureCheckFailed",
            "the signature is not one of the image that arrived by the key the device has, or is of a form it does not "
            "verify (the classic agent takes PKCS#1 v1.5 for RSA, and no PSS)",
            PROVE + "; then check that the device holds the same key or certificate",
            0xE3,
        ),
        Code(
            "OtaPalRxFileCreateFailed",
            "the device could not open the place for the image",
            "check image_file_name, which some ports take as a path, and the free space on the device",
            0xE4,
        ),
        Code(
            "OtaPalRxFileTooLarge",
            "the image does not fit into the device's flash",
            "make the image smaller, or check that ota_binary names the update (`invoke verify` tells the sizes)",
            0xE5,
        ),
        Code("OtaPalBootInfoCreateFailed", "the device could not write what its boot loader reads", PORT, 0xE6),
        Code(
            "OtaPalBadSignerCert",
            "the device could not read the signer's certificate",
            "set certificate_file_on_device to where the device keeps the PEM certificate, and check that it is there",
            0xE7,
        ),
        Code("OtaPalBadImageState", "the device asked for an image state that there is not", PORT, 0xE8),
        Code("OtaPalAbortFailed", "the device could not give up the update tidily", RETRY, 0xE9),
        Code(
            "OtaPalRejectFailed",
            "the device could not throw the new image away",
            "read the boot loader's log; the old image may not be able to come back",
            0xEA,
        ),
        Code(
            "OtaPalCommitFailed",
            "the device could not make the new image the one to stay",
            "read the boot loader's log; after the next restart the old image may run again",
            0xEB,
        ),
        Code(
            "OtaPalActivateFailed",
            "the device could not switch to the new image",
            "check the image's size against the slot (`invoke verify`), and read the boot loader's log",
            0xEC,
        ),
        Code("OtaPalFileAbort", "the device could not close the half-written image", RETRY, 0xED),
        Code(
            "OtaPalFileClose",
            "the device could not finish writing the image",
            "check the device's flash and free space, then let it try again (`invoke update`)",
            0xEE,
        ),
    ),
)

PARSER = Table(
    "OTA agent's job parser",
    f"{REPOSITORY} source/include/ota.h (OtaJobParseErr_t)",
    (
        Code("OtaJobParseErrNullJob", "the job had no id", PORT, 1),
        Code("OtaJobParseErrUpdateCurrentJob", "the device is at work on this very job", "wait for it to end", 2),
        Code(
            "OtaJobParseErrZeroFileSize",
            "the job offers an image of no bytes",
            "build the image anew and update again (`invoke with --clean-build true update`)",
            3,
        ),
        Code(
            "OtaJobParseErrNonConformingJobDoc",
            "the job document lacks something the firmware wants",
            "run `invoke verify`: it checks the document against firmware_profile",
            4,
        ),
        Code("OtaJobParseErrBadModelInitParams", "the agent's own parser was set up wrong", PORT, 5),
        Code("OtaJobParseErrNoContextAvailable", "the agent had no room for another file", PORT, 6),
        Code("OtaJobParseErrNoActiveJobs", "there is no job waiting", "run `invoke status`", 7),
    ),
)

INTERFACES = Table(
    "OTA agent's interfaces",
    f"{REPOSITORY} source/include/ota_os_interface.h, ota_mqtt_interface.h, ota_http_interface.h",
    (
        Code("OtaOsEventQueueCreateFailed", "the device could not make the agent's event queue", PORT, 0x80),
        Code("OtaOsEventQueueSendFailed", "the agent's event queue was full", PORT, 0x81),
        Code("OtaOsEventQueueReceiveFailed", "the agent could not read its event queue", PORT, 0x82),
        Code("OtaOsEventQueueDeleteFailed", "the device could not remove the agent's event queue", PORT, 0x83),
        Code("OtaOsTimerCreateFailed", "the device could not make a timer", PORT, 0x84),
        Code("OtaOsTimerStartFailed", "the device could not start a timer", PORT, 0x85),
        Code("OtaOsTimerRestartFailed", "the device could not start a timer again", PORT, 0x86),
        Code("OtaOsTimerStopFailed", "the device could not stop a timer", PORT, 0x87),
        Code("OtaOsTimerDeleteFailed", "the device could not remove a timer", PORT, 0x88),
        Code(
            "OtaMqttPublishFailed",
            "the device could not publish",
            "check its connection, and that its policy allows Publish on its jobs and streams topics (`invoke policy`)",
            0xA0,
        ),
        Code(
            "OtaMqttSubscribeFailed",
            "the device could not subscribe",
            "check its connection, and that its policy allows Subscribe on its jobs and streams topics "
            "(`invoke policy`)",
            0xA1,
        ),
        Code("OtaMqttUnsubscribeFailed", "the device could not unsubscribe", RETRY, 0xA2),
        Code(
            "OtaHttpInitFailed",
            "the device could not connect to download over HTTP",
            "check that the device reaches S3 and trusts its certificate",
            0xC0,
        ),
        Code("OtaHttpDeinitFailed", "the device could not end its HTTP connection", RETRY, 0xC1),
        Code(
            "OtaHttpRequestFailed",
            "the device's download over HTTP was refused",
            "the presigned URL may have run out: let the device ask for its job again",
            0xC2,
        ),
    ),
)

DETAILS = Table(
    "OTA agent's progress",
    f"{REPOSITORY} source/ota_mqtt.c (statusDetails)",
    (
        Code("receive", "blocks of the image that have arrived, of all", "wait; it goes on by itself"),
        Code(
            "self_test",
            "ready: the image has arrived and was verified; active: the device runs it on trial",
            "wait; if it stays so, the device did not come back after its restart: read its log",
        ),
        Code("accepted", "the device runs the new image and keeps it"),
        Code("updatedBy", "the version that ran when the update began"),
    ),
)

TABLES = (AGENT, PLATFORM, PARSER, INTERFACES, DETAILS)
