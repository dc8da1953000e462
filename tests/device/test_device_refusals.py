"""Every refusal of the table happens where and as the table says, and is explained in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ota.device.refusals import (
    CAUSES,
    RefusalCause,
    Refused,
    Rejected,
    Stage,
    Symptom,
    explain,
    list_sandbox_refusals,
)
from ota.messages import PLAIN
from ota.sandbox.process import Address
from tests import readme_parts
from tests.device.device_world import DeviceWorld, device_policy, device_world, make_image
from tests.mqtt_world import replace_policy
from tests.sandbox_control import Control
from tests.sandbox_world import THING, World

PERMISSIONS = [row for row in CAUSES if row.statement is not None]
OTHERS = [row for row in CAUSES if row.statement is None]
SOON_S = 0.3


@pytest.fixture
def lamp(world: World, control: Control, tmp_path: Path) -> DeviceWorld:
    return device_world(world, control, tmp_path)


def without(row: RefusalCause) -> dict[str, Any]:
    """The device's policy without what this row says is missing."""
    policy = device_policy()
    policy["Statement"] = list(_without(policy["Statement"], row))
    return policy


def _without(statements: list[dict[str, Any]], row: RefusalCause) -> Iterator[dict[str, Any]]:
    for index, statement in enumerate(statements):
        if index != row.statement:
            yield statement
            continue
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                if (action, True) != (row.action, resource.endswith(row.resource)):
                    yield {**statement, "Action": action, "Resource": resource}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(row: RefusalCause) -> str:
    return f"{row.missing} while {row.stage.value}"


def meet(lamp: DeviceWorld, row: RefusalCause, break_it: Callable[[], None]) -> Refused:
    """What the device meets once this is missing: from its start, or only where the row's stage is past the start."""
    lamp.offer(make_image(size_bytes=9000))
    is_late = row.stage is Stage.REPORT
    if not is_late:
        break_it()
    else:
        said = lamp.lines.say
        lamp.lines.say = lambda text: (said(text), break_it() if "proven" in text else None)[0]  # type: ignore[method-assign]
    is_forever = row.stage is Stage.NOTIFY
    with lamp.device(is_forever=is_forever, answer_timeout_s=SOON_S) as device, pytest.raises(Refused) as caught:
        device.take_update()
    return caught.value


def words_for(lamp: DeviceWorld, refused: Refused) -> str:
    said = list_sandbox_refusals(
        lamp.address, thing_name=THING, certificate_id=lamp.cloud_device.certificate_id, since_s=0
    )
    return str(explain(refused, said))


def refused_action(text: str) -> str:
    """The action that the sandbox says it refused."""
    (action,) = re.findall(r"^(\S+) on arn:aws:iot:\S+ was refused: ", text, re.MULTILINE)
    return str(action)


@pytest.mark.parametrize("row", PERMISSIONS, ids=_name)
def test_a_missing_permission_shows_at_its_place(lamp: DeviceWorld, row: RefusalCause) -> None:
    refused = meet(lamp, row, lambda: replace_policy(lamp.iot, THING, without(row)))
    assert (refused.stage, refused.symptom) == (row.stage, row.symptom)
    text = words_for(lamp, refused)
    assert refused_action(text) == row.action
    assert "statement" in text
    assert "`invoke policy`" in text


@pytest.mark.parametrize("statement", range(len(device_policy()["Statement"])))
def test_each_statement_of_the_policy_is_needed_as_the_readme_says(lamp: DeviceWorld, statement: int) -> None:
    policy = device_policy()
    del policy["Statement"][statement]
    missing = {row.missing for row in PERMISSIONS if row.statement == statement}
    replace_policy(lamp.iot, THING, policy)
    lamp.offer(make_image(size_bytes=9000))
    with lamp.device(answer_timeout_s=SOON_S) as device, pytest.raises(Refused) as caught:
        device.take_update()
    told = {cells[0] for cells in readme_rows() if cells[1:] == [caught.value.stage.value, caught.value.symptom.value]}
    assert told & missing
    text = words_for(lamp, caught.value)
    assert refused_action(text) in {one.partition(" on ")[0] for one in told & missing}
    assert "`invoke policy`" in text


def readme_rows() -> list[list[str]]:
    """What is missing, where the device is, what it notices: the table of its page, without its marks."""
    table = readme_parts.part_of(readme_parts.DEVICE_PAGE_PATH.read_text(encoding="utf-8"), "refusals-table")
    return [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]


def test_the_readme_has_every_row() -> None:
    assert readme_rows() == [[row.missing, row.stage.value, row.symptom.value] for row in CAUSES]


def test_the_table_speaks_of_every_statement_action_and_resource() -> None:
    told = {(row.statement, row.action, row.resource) for row in PERMISSIONS}
    for index, statement in enumerate(device_policy()["Statement"]):
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                end = "/".join(resource.split("/")[-2:]) if resource.endswith("/*") else ""
                assert (index, action, end) in told


def _detach_policy(lamp: DeviceWorld) -> None:
    lamp.iot.detach_policy(policyName=THING, target=lamp.cloud_device.certificate_arn)


def _detach_thing(lamp: DeviceWorld) -> None:
    lamp.iot.detach_thing_principal(thingName=THING, principal=lamp.cloud_device.certificate_arn)


def _deactivate(lamp: DeviceWorld) -> None:
    lamp.iot.update_certificate(certificateId=lamp.cloud_device.certificate_id, newStatus="INACTIVE")


def _delete(lamp: DeviceWorld) -> None:
    _detach_thing(lamp)
    _deactivate(lamp)
    lamp.iot.delete_certificate(certificateId=lamp.cloud_device.certificate_id, forceDelete=True)


BREAK = {
    "the policy, attached to the certificate": (_detach_policy, "no policy is attached"),
    "the certificate, attached to the thing": (_detach_thing, "is not the name of a thing"),
    "the certificate's status ACTIVE": (_deactivate, "is INACTIVE"),
    "the certificate, registered in this account and region": (_delete, "is not registered"),
}


@pytest.mark.parametrize("row", OTHERS, ids=_name)
def test_what_is_missing_of_certificate_and_policy_shows_when_connecting(lamp: DeviceWorld, row: RefusalCause) -> None:
    break_it, words = BREAK[row.missing]
    refused = meet(lamp, row, lambda: break_it(lamp))
    assert (refused.stage, refused.symptom) == (row.stage, row.symptom)
    text = words_for(lamp, refused)
    assert words in text
    assert f"`{PLAIN.remedy(row.remedy)}`" in text


def test_where_nobody_tells_the_table_s_causes_are_named() -> None:
    text = str(explain(Refused(Stage.CONNECT, Symptom.CONNACK), []))
    assert "One of these is missing: iot:Connect on client/<thing>; the policy, attached" in text
    assert text.endswith("Fix it with `invoke policy` or `invoke thing`.")


def test_what_the_table_does_not_know_is_still_said() -> None:
    assert str(explain(Refused(Stage.CONNECT, Symptom.SILENCE), [])) == "connecting: no answer comes"


def test_a_sandbox_that_cannot_be_asked_has_said_nothing(clean_sandbox: Address) -> None:
    nowhere = replace(clean_sandbox, endpoint_url="http://127.0.0.1:9")
    assert list_sandbox_refusals(nowhere, thing_name=THING, certificate_id="", since_s=0) == []


def test_refusals_of_others_and_of_earlier_are_not_ours(lamp: DeviceWorld) -> None:
    refused = meet(lamp, OTHERS[0], lambda: _detach_policy(lamp))
    assert "no policy is attached" in words_for(lamp, refused)
    where, ours = lamp.address, lamp.cloud_device.certificate_id
    assert list_sandbox_refusals(where, thing_name="other", certificate_id=ours, since_s=0) == []
    assert list_sandbox_refusals(where, thing_name=THING, certificate_id="0" * 64, since_s=0) == []
    assert list_sandbox_refusals(where, thing_name=THING, certificate_id=ours, since_s=4e9) == []


@pytest.mark.parametrize(
    ("stage", "code", "status", "words"),
    [
        (Stage.REPORT, "VersionMismatch", "IN_PROGRESS", "something else changed the execution first"),
        (Stage.REPORT, "VersionMismatch", "TIMED_OUT", "the job is TIMED_OUT now"),
        (Stage.BLOCKS, "ETagMismatch", "", "ETag"),
        (Stage.BLOCKS, "SomethingNew", "", "the cloud rejects it: SomethingNew, 'words'"),
    ],
)
def test_a_rejection_is_explained_by_its_code(stage: Stage, code: str, status: str, words: str) -> None:
    assert words in str(Rejected(stage, code, "words", status=status))
