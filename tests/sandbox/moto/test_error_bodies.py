"""Refusals have a code that the model lists for the operation, and no member that the code's shape does not have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox_world import THING, THING_ARN

RULE: dict[str, Any] = {"topicRulePayload": {"sql": "SELECT * FROM 'a'", "actions": []}}
JOB = {"jobId": "j"}
ONE = {**JOB, "thingName": THING}
CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("iot", "create_job", {**JOB, "targets": [THING_ARN], "document": "{}"}, "ResourceAlreadyExistsException"),
    ("iot", "cancel_job", JOB, "InvalidRequestException"),
    ("iot", "update_job", JOB, "InvalidRequestException"),
    ("iot", "cancel_job_execution", ONE, "InvalidStateTransitionException"),
    ("iot", "delete_job_execution", {**ONE, "executionNumber": 9}, "ResourceNotFoundException"),
    ("iot-jobs-data", "update_job_execution", {**ONE, "status": "IN_PROGRESS"}, "InvalidStateTransitionException"),
    ("iot-jobs-data", "describe_job_execution", ONE, "TerminalStateException"),
    ("iot-jobs-data", "update_job_execution", {"jobId": "k", "thingName": THING, "status": "IN_PROGRESS",
     "expectedVersion": 9}, "InvalidRequestException"),
    ("iot", "get_topic_rule", {"ruleName": "nobody"}, "UnauthorizedException"),
    ("iot", "delete_topic_rule", {"ruleName": "nobody"}, "UnauthorizedException"),
    ("iot", "enable_topic_rule", {"ruleName": "nobody"}, "UnauthorizedException"),
    ("iot", "disable_topic_rule", {"ruleName": "nobody"}, "UnauthorizedException"),
    ("iot", "replace_topic_rule", {"ruleName": "nobody", **RULE}, "UnauthorizedException"),
    ("iot", "create_topic_rule", {"ruleName": "there", **RULE}, "ResourceAlreadyExistsException"),
    ("iot", "create_thing", {"thingName": THING, "attributePayload": {"attributes": {"a": "b"}}},
     "ResourceAlreadyExistsException"),
    ("iot", "describe_thing", {"thingName": "nobody"}, "ResourceNotFoundException"),
    ("iot", "list_things", {"nextToken": "foreign"}, "InvalidRequestException"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "method", "params", "code"), CASES, ids=[f"{one[1]}-{number}" for number, one in enumerate(CASES)]
)
def test_a_refusal_is_one_of_the_model(
    world: Any, shared_clients: Callable[[str], Any], service: str, method: str, params: dict[str, Any], code: str
) -> None:
    for job_id in ("j", "k"):
        world.iot.create_job(jobId=job_id, targets=[THING_ARN], document="{}")
    shared_clients("iot-jobs-data").update_job_execution(**ONE, status="SUCCEEDED")
    world.iot.create_topic_rule(ruleName="there", **RULE)
    called, bodies = shared_clients(service), []

    def keep(response_dict: dict[str, Any], **_: Any) -> None:
        bodies.append(json.loads(response_dict["body"]))

    called.meta.events.register("before-parse", keep)
    try:
        with pytest.raises(ClientError) as caught:
            getattr(called, method)(**params)
    finally:
        called.meta.events.unregister("before-parse", keep)
    assert caught.value.response["Error"]["Code"] == code
    model = called.meta.service_model.operation_model(called.meta.method_to_api_mapping[method])
    shapes = {shape.name: shape for shape in model.error_shapes}
    assert code in shapes
    assert set(bodies[-1]) <= set(shapes[code].members)
    assert bodies[-1]["message"]
