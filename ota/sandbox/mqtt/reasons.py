"""Reason codes of MQTT 5, and the errors that end a connection with one.

The broker decides with these codes for every version; a client of MQTT 3.1.1 gets what its version has for them, which
is often a closed connection only.

Source: OASIS MQTT 5.0 section 2.4; AWS IoT Developer Guide, "MQTT reason codes" (the codes that AWS sends).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """A reason code; from 0x80 on it is a failure."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    WITH_WILL = 0x04
    NO_SUBSCRIPTION = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    BAD_VERSION = 0x84
    BAD_CLIENT_ID = 0x85
    NOT_AUTHORIZED = 0x87
    SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    TAKEN_OVER = 0x8E
    BAD_FILTER = 0x8F
    BAD_TOPIC = 0x90
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    BAD_TOPIC_ALIAS = 0x94
    TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    BY_ADMINISTRATOR = 0x98
    QOS_NOT_SERVED = 0x9B
    NO_SHARED_SUBSCRIPTIONS = 0x9E
    NO_SUBSCRIPTION_IDS = 0xA1


FIRST_FAILURE = 0x80


@dataclass(frozen=True)
class Outcome:
    """What becomes of a client's request: its code, and for a failure why, which the client is told.

    ``why`` is "" where a policy refuses: the refusal log has the details, and AWS does not tell them to a client.
    """

    reason: Reason
    why: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the request is refused."""
        return self.reason >= FIRST_FAILURE


ACCEPTED = Outcome(Reason.SUCCESS)


class MalformedPacketError(ValueError):
    """Bytes that MQTT does not allow; the connection has to be closed. ``str(error)`` says what is wrong."""

    reason = Reason.MALFORMED


class ProtocolError(MalformedPacketError):
    """A well-formed packet that is not allowed here; the connection has to be closed for ``reason``."""

    def __init__(self, why: str, reason: Reason = Reason.PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.reason = reason


class UnsupportedVersionError(MalformedPacketError):
    """A CONNECT of a version of MQTT other than 3.1.1 and 5."""

    reason = Reason.BAD_VERSION

    def __init__(self, level: int) -> None:
        super().__init__(f"MQTT protocol level {level} is not served, only 4 (MQTT 3.1.1) and 5 (MQTT 5)")
