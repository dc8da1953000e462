"""Texts as devices, AWS and its CLI say them, and what they are explained to mean."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from ota.errors import OtaError
from ota.firmware import codes
from ota.firmware.codes import Table, TableName, read_table, read_tables
from ota.look.explain import Explanation, explain, nearest, show
from ota.messages import command, message
from ota.report import Report
from ota.updates.requests import FAILURES

PASS_ROLE = (
    "User: arn:aws:sts::123456789012:assumed-role/r/1234 is not authorized to perform: iam:PassRole on resource: "
    "arn:aws:iam::123456789012:role/r (Service: AWSIot; Status Code: 403; Error Code: AccessDeniedException; "
    "Request ID: 1)"
)
S3_DENIED = (
    "S3 object demo.bin not accessible. Please check your permissions (Service: AWSSigner; Status Code: 403; "
    "Error Code: AccessDeniedException; Request ID: 1)"
)


def names(text: str) -> list[str]:
    return [one.name for one in explain(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Numbers: two of them are a platform's status and its own number, one with a word is the agent's.
        ("0x000000e3: 0x00000000", ["OtaPalSignatureCheckFailed"]),
        ("0x000000E3:0x00000000", ["OtaPalSignatureCheckFailed"]),
        ("0xe3", ["OtaPalSignatureCheckFailed"]),
        ("0xe3000000", ["OtaPalSignatureCheckFailed"]),
        ("aborted: 0xe5000012", ["OtaPalRxFileTooLarge"]),
        ("rejected: 0x00000010", ["OtaErrSameFirmwareVersion"]),
        ("FAILED rejected: 0x0000000f", ["OtaErrDowngradeNotAllowed"]),
        ("aborted: 0x0000000e", ["OtaErrMomentumAbort"]),
        ("rejected: 0x00000000", ["OtaErrNone"]),
        ("0x0000000c: 0x00000004", ["OtaErrJobParserError", "OtaJobParseErrNonConformingJobDoc"]),
        ("0x0000000c: 0xffffffff", ["OtaErrJobParserError"]),
        ("0xa1", ["OtaMqttSubscribeFailed"]),
        ("0x00000099", []),
        # Names
        ("OtaErrSameFirmwareVersion", ["OtaErrSameFirmwareVersion"]),
        ("otaerrsamefirmwareversion", ["OtaErrSameFirmwareVersion"]),
        ("OtaErr_t=OtaErrMomentumAbort", ["OtaErrMomentumAbort"]),
        ("VersionMismatch", ["VersionMismatch", "VersionMismatch"]),
        ("TerminalStateReached", ["TerminalStateReached"]),
        ("ETagMismatch", ["ETagMismatch"]),
        ("DUPLICATE_CLIENTID", ["DUPLICATE_CLIENTID"]),
        ("timed_out", ["TIMED_OUT"]),
        ("CREATE_FAILED", ["CREATE_FAILED"]),
        ("DELETE_FAILED.", ["DELETE_FAILED"]),
        # What a device or a log says around them
        ("BlockCountLimitExceeded: too many blocks", ["BlockCountLimitExceeded"]),
        (
            "12 [OTA Agent Task] [INFO] Application version of the new image is not higher than the current image: New",
            ["Application version of the new image is not higher than the current image"],
        ),
        ("9 [OTA] [INFO] No OTA job available.", ["No OTA job available"]),
        # Status details and rejections as JSON
        ('{"reason": "0x000000e3: 0x00000000"}', ["OtaPalSignatureCheckFailed"]),
        ('{"statusDetails": {"reason": "rejected: 0x00000010"}}', ["OtaErrSameFirmwareVersion"]),
        ('{"self_test":"ready","updatedBy":"0x00090002"}', ["self_test", "updatedBy"]),
        ('{"receive": "1/25"}', ["receive"]),
        ('{"code":"InvalidStateTransition","message":"no","versionNumber":3}', ["InvalidStateTransition"]),
        ('{"o":"OffsetOutOfBounds","code":"OffsetOutOfBounds"}', ["OffsetOutOfBounds"]),
        ("{}", []),
        ("[1]", []),
        ("25/25", ["receive"]),
        ("accepted  v0.10.2", ["accepted"]),
        # Connections
        ("CONNACK 7", ["CONNACK 7"]),
        ("connack return code: 5", ["CONNACK 5"]),
        ("rc=7", ["CONNACK 7"]),
        ("reason code 0x87", ["CONNACK 135"]),
        ("CONNACK 99", []),
        # The AWS CLI
        (
            "An error occurred (ExpiredTokenException) when calling the GetCallerIdentity operation: expired",
            ["ExpiredTokenException of GetCallerIdentity"],
        ),
        (
            "An error occurred (DeleteConflictException) when calling the DeletePolicy operation: attached",
            ["DeleteConflictException of DeletePolicy"],
        ),
        ("An error occurred (Strange) when calling the DeletePolicy operation: it is", []),
        ("botocore: NoSuchKey was raised", ["errorInfo"]),
        ("it said BucketNotEmpty, more or less", ["BucketNotEmpty"]),
        # errorInfo
        (f"AWSIotException {PASS_ROLE}", ["errorInfo"]),
        (S3_DENIED, ["errorInfo"]),
        # Nothing
        ("", []),
        ("it does not work", []),
        ("16", []),
    ],
)
def test_a_text_is_explained(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [(PASS_ROLE, "The role must be allowed to pass itself on"), (S3_DENIED, "The role may not read the image")],
)
def test_errorinfo_gets_the_advice_that_update_gives(text: str, advice: str) -> None:
    (one,) = explain(text)
    assert str(one.remedy).startswith(advice)
    assert f"{one.remedy}." in {str(failure.advice) for failure in FAILURES}
    assert "may go away by itself" in one.cause


def test_an_errorinfo_that_does_not_settle_promises_nothing() -> None:
    (one,) = explain("InvalidRequest: the specified bucket does not exist"[16:])
    assert "by itself" not in one.cause


def test_a_port_s_own_number_is_passed_on() -> None:
    (one,) = explain("0x000000e3: 0x0000002a")
    assert "the port's own number is 0x00002a" in one.cause


def test_the_two_meanings_of_a_name_are_told_apart() -> None:
    assert [one.said_by for one in explain("ResourceNotFound")] == [
        "AWS IoT Jobs, rejected",
        "AWS IoT streams (file delivery), rejected",
    ]


def test_an_explanation_fits_one_line() -> None:
    advice = message("run ", command("policy"))
    assert str(Explanation("X", "it", "because", advice, "here").in_one_line()) == "X: because; run `invoke policy`"
    assert str(Explanation("X", "it", "because", "", "here").in_one_line()) == "X: because"


def test_the_nearest_names_are_offered() -> None:
    assert nearest("VersionMissmatch")[0] == "VersionMismatch"
    assert nearest("otaerrsamefirmwarversion")[0] == "OtaErrSameFirmwareVersion"
    assert nearest("zzzz") == ()


def shown(text: str, *, as_json: bool = False) -> str:
    out = io.StringIO()
    show(Report(out), text, as_json=as_json)
    return out.getvalue()


def test_what_is_known_is_shown_with_its_source() -> None:
    assert shown("SUCCEEDED") == (
        "SUCCEEDED (status of update, job or execution)\n"
        "  cause   the device runs the new image and keeps it.\n"
        f"  source  {read_table(TableName.STATUSES).source}\n"
    )
    assert "\n  remedy  " in shown("0xe3")
    assert json.loads(shown("0xe3", as_json=True))["explanations"][0]["name"] == "OtaPalSignatureCheckFailed"


def test_what_is_unknown_says_so() -> None:
    with pytest.raises(OtaError, match=r"^Nothing is known about 'zzzz'\. Give it as it was said, in quotes\.$"):
        shown("zzzz")
    with pytest.raises(OtaError, match=r"Nearest: TIMED_OUT\."):
        shown("TIMEDOUT")


@pytest.mark.parametrize("table", read_tables(), ids=lambda table: table.title)
def test_every_code_of_every_table_is_found_by_its_name_and_number(table: Table) -> None:
    assert len({code.name for code in table}) == len(table.codes)
    assert table.source
    for code in table:
        assert code.name in names(code.name), code.name
        assert re.match(r"\S.*[^.\s]$", code.cause), code.name
        assert not str(code.remedy).endswith("."), code.name
        if code.number is not None:
            assert table.find_number(code.number) is code


def test_every_file_of_codes_is_a_table() -> None:
    folder = Path(codes.__file__).with_name("codes")
    assert {path.stem for path in folder.iterdir()} == {name.value for name in TableName}


def test_the_agent_s_numbers_are_a_row_without_gaps() -> None:
    """The numbers are an enumeration's: one left out would move all that follow."""
    assert [code.number for code in read_table(TableName.AGENT)] == list(range(0x19))
    assert [code.number for code in read_table(TableName.PLATFORM)] == list(range(0xE0, 0xEF))
