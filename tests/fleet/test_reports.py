"""Registration tasks and their reports: read whatever a line has, one task at a time, and looks that are not wasted."""

from __future__ import annotations

import json

import pytest

from ota.fleet.registrations import ReportLine, parse_line
from ota.fleet.running import pause_before_look
from ota.fleet.templates import Declaration, Kind, input_line, sha256_of, template_document

ARN = "arn:aws:iot:eu-west-1:123456789012:thing/lamp-1"
RESULTS = {
    "as the workshop has it": (
        {"response": {"CertificatePem": "PEM", "ResourceArns": {"thing": ARN, "certificate": "arn:…:cert/1"}}},
        ReportLine(0, "lamp-1", "PEM"),
    ),
    "with a number": (
        {"lineNumber": 7, "offset": 9, "response": {"CertificatePem": "PEM", "ResourceArns": {"x": ARN}}},
        ReportLine(7, "lamp-1", "PEM"),
    ),
    "without ARNs": ({"lineNumber": 7, "response": {"certificatePem": "PEM"}}, ReportLine(7, "", "PEM")),
    "with a name": ({"ThingName": "lamp-1", "response": {"CertificatePem": "PEM"}}, ReportLine(0, "lamp-1", "PEM")),
    "with nothing": ({"response": None, "lineNumber": "seven"}, ReportLine()),
}
ERRORS = {
    "an Error": ({"lineNumber": 2, "response": {"Error": "Throttled:\n slow"}}, ReportLine(2, cause="Throttled: slow")),
    "a message": ({"errorMessage": "exists", "ThingName": "a"}, ReportLine(0, "a", cause="exists")),
    "a text": ({"response": "no such policy"}, ReportLine(cause="no such policy")),
    "nothing": ({"lineNumber": 3}, ReportLine(3, cause="AWS refused it and does not say why")),
}


@pytest.mark.parametrize(("line", "read"), RESULTS.values(), ids=RESULTS)
def test_a_result_is_read_with_whatever_it_has(line: dict[str, object], read: ReportLine) -> None:
    assert parse_line(line, is_error=False) == read


@pytest.mark.parametrize(("line", "read"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_read_with_whatever_it_has(line: dict[str, object], read: ReportLine) -> None:
    assert parse_line(line, is_error=True) == read


@pytest.mark.parametrize("count", [1, 50, 500, 10_000])
@pytest.mark.parametrize("per_second", [5, 20, 1000])
def test_looks_are_one_for_each_two_hundred_devices_however_fast_aws_is(count: int, per_second: int) -> None:
    needed_s, waited_s, looks, pauses = count / per_second, 0.0, 0, []
    while True:
        percent = min(100, int(100 * waited_s / needed_s))
        pauses.append(pause_before_look(count, looks, percent, waited_s))
        waited_s += pauses[-1]
        looks += 1
        if waited_s >= needed_s:
            break
    slow_ones = needed_s / 30  # a pause is never longer than that
    assert looks <= 3 + max(count / 200, slow_ones)
    assert max(pauses) <= 30
    assert waited_s - needed_s <= max(3.0, needed_s)


def test_a_new_device_never_takes_over_a_thing_and_a_repair_never_takes_it_out_of_its_groups() -> None:
    declared = Declaration(("site", "board.rev"), "p", "lamps", "lamp")
    new, repair = (template_document(declared, kind)["Resources"]["thing"] for kind in Kind)
    assert new["OverrideSettings"] == {"AttributePayload": "FAIL", "ThingGroups": "FAIL"}
    assert repair["OverrideSettings"] == {"AttributePayload": "REPLACE", "ThingGroups": "MERGE"}
    assert new["Properties"]["AttributePayload"] == {
        "managed-by": "ota-tasks/lamp",
        "site": {"Ref": "Attribute1"},
        "board.rev": {"Ref": "Attribute2"},
    }
    ungrouped = template_document(Declaration((), "p", "", "lamp"), Kind.NEW)["Resources"]["thing"]
    assert "ThingGroups" not in {**ungrouped["Properties"], **ungrouped["OverrideSettings"]}


def test_an_input_line_has_every_parameter_of_the_template() -> None:
    declared = Declaration(("site",), "p", "", "lamp")
    line = input_line(declared, "lamp-1", "CSR", ["attic"])
    assert line.endswith("}\n")
    assert set(json.loads(line)) == set(template_document(declared, Kind.NEW)["Parameters"])


def test_a_template_is_known_by_its_content() -> None:
    assert sha256_of('{"a": 1, "b": 2}') == sha256_of('{"b":2,"a":1}') != sha256_of('{"a": 1}')
