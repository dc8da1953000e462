"""Jobs made from a template: its document and settings, the request's own before them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.sandbox.iot_calls import refused
from tests.sandbox_world import BUCKET, THING_ARN

DOCUMENT = '{"operation": "restart"}'
SETTINGS: dict[str, Any] = {
    "description": "restarts lamps",
    "jobExecutionsRolloutConfig": {"maximumPerMinute": 7},
    "timeoutConfig": {"inProgressTimeoutInMinutes": 11},
    "abortConfig": {
        "criteriaList": [
            {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2}
        ]
    },
    "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]},
}


def make_template(iot: Any, **source: str) -> str:
    arn: str = iot.create_job_template(jobTemplateId="restart", **source, **SETTINGS)["jobTemplateArn"]
    return arn


def test_a_job_takes_document_and_settings_of_its_template(world: Any) -> None:
    arn = make_template(world.iot, document=DOCUMENT)
    world.iot.create_job(jobId="j", targets=[THING_ARN], jobTemplateArn=arn)
    assert json.loads(world.iot.get_job_document(jobId="j")["document"]) == json.loads(DOCUMENT)
    job = world.iot.describe_job(jobId="j")["job"]
    assert {name: job[name] for name in SETTINGS} == SETTINGS
    assert job["jobTemplateArn"] == arn


def test_the_requests_own_come_first(world: Any) -> None:
    arn = make_template(world.iot, document=DOCUMENT)
    own = {"document": "{}", "description": "mine", "timeoutConfig": {"inProgressTimeoutInMinutes": 5}}
    world.iot.create_job(jobId="j", targets=[THING_ARN], jobTemplateArn=arn, **own)
    assert world.iot.get_job_document(jobId="j")["document"] == "{}"
    job = world.iot.describe_job(jobId="j")["job"]
    assert (job["description"], job["timeoutConfig"]) == ("mine", own["timeoutConfig"])
    assert job["abortConfig"] == SETTINGS["abortConfig"]


def test_a_template_may_say_where_its_document_is(world: Any) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="job.json", Body=DOCUMENT.encode())
    source = f"https://{BUCKET}.s3.{REGION}.amazonaws.com/job.json"
    arn = make_template(world.iot, documentSource=source)
    world.iot.create_job(jobId="j", targets=[THING_ARN], jobTemplateArn=arn)
    assert world.iot.get_job_document(jobId="j")["document"] == DOCUMENT


@pytest.mark.parametrize("name", ["nobody", "restart/x"])
def test_a_template_that_does_not_exist_is_refused(world: Any, name: str) -> None:
    make_template(world.iot, document=DOCUMENT)
    arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:jobtemplate/{name}"
    request = {"jobId": "j", "targets": [THING_ARN], "jobTemplateArn": arn}
    assert refused(world.iot.create_job, **request)[0] in ("ResourceNotFoundException", "InvalidRequestException")
    assert world.iot.list_jobs()["jobs"] == []
