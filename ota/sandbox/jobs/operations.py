"""Adds the operations of this room to moto: methods on its IoT responses, and the jobs data plane as a service.

moto finds the handler of an operation by its snake_case name on the service's response class, so an added or replaced
operation is an attribute that is set there: no fork, no copied code. A contract test compares what is used here with
the pinned version.

Source: moto 5.2.5, ``moto/core/responses.py`` (``call_action``) and ``moto/moto_server/werkzeug_app.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from flask import Flask
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores, convert_to_flask_response, get_service_model
from moto.iot.responses import IoTResponse
from moto.moto_server.werkzeug_app import HTTP_METHODS, BackendRequest, create_backend_app

from ota.sandbox.moto import install as strict
from ota.sandbox.moto.responses import AwsError

from . import data_plane, executions, jobs, notifications, streams, tagging, updates
from .data_plane import JobsError
from .model import Reply
from .state import Region, Sandbox

JOBS_DATA = "iot-jobs-data"
Operation = Callable[[Region, dict[str, Any]], Reply]

IOT_OPERATIONS: Mapping[str, Operation] = {
    "CreateOTAUpdate": updates.create_ota_update,
    "GetOTAUpdate": updates.get_ota_update,
    "ListOTAUpdates": updates.list_ota_updates,
    "DeleteOTAUpdate": updates.delete_ota_update,
    "CreateStream": streams.create_stream,
    "UpdateStream": streams.update_stream,
    "DescribeStream": streams.describe_stream,
    "ListStreams": streams.list_streams,
    "DeleteStream": streams.delete_stream,
    "CreateJob": jobs.create_job,
    "DescribeJob": jobs.describe_job,
    "GetJobDocument": jobs.get_job_document,
    "ListJobs": jobs.list_jobs,
    "UpdateJob": jobs.update_job,
    "CancelJob": jobs.cancel_job,
    "DeleteJob": jobs.delete_job,
    "AssociateTargetsWithJob": jobs.associate_targets_with_job,
    "DescribeJobExecution": executions.describe_job_execution,
    "ListJobExecutionsForJob": executions.list_job_executions_for_job,
    "ListJobExecutionsForThing": executions.list_job_executions_for_thing,
    "CancelJobExecution": executions.cancel_job_execution,
    "DeleteJobExecution": executions.delete_job_execution,
    "UpdateEventConfigurations": notifications.update_event_configurations,
    "DescribeEventConfigurations": notifications.describe_event_configurations,
    "TagResource": tagging.tag_resource,
    "UntagResource": tagging.untag_resource,
    "ListTagsForResource": tagging.list_tags_for_resource,
}
JOBS_DATA_OPERATIONS: Mapping[str, Operation] = {
    "GetPendingJobExecutions": lambda region, params: data_plane.get_pending(region, params["thingName"]),
    "StartNextPendingJobExecution": lambda region, params: data_plane.start_next(region, params["thingName"], params),
    "DescribeJobExecution": lambda region, params: data_plane.describe(
        region, params["thingName"], params["jobId"], params
    ),
    "UpdateJobExecution": lambda region, params: data_plane.update(
        region, params["thingName"], params["jobId"], params
    ),
}
# The exception over HTTP for each code of the device's protocol. UNVERIFIED: VersionMismatch's is not documented; of
# the codes in the model of UpdateJobExecution this one comes closest.
_HTTP_CODES = {
    "InvalidRequest": "InvalidRequestException",
    "ResourceNotFound": "ResourceNotFoundException",
    "InvalidStateTransition": "InvalidStateTransitionException",
    "TerminalStateReached": "TerminalStateException",
    "VersionMismatch": "InvalidRequestException",
}


class JobsDataResponse(BaseResponse):
    """The jobs data plane as a service in moto."""

    call_action = strict.constrained(BaseResponse, "InvalidRequestException")

    def __init__(self) -> None:
        super().__init__(service_name=JOBS_DATA)


def install(sandbox: Sandbox, directory: Path, further: Mapping[str, Operation]) -> None:
    """Install the sandbox's operations in moto.

    Args:
        sandbox: its state.
        directory: holds the CA that signs device certificates.
        further: operations of IoT that higher rooms have.
    """
    for name, operation in {**IOT_OPERATIONS, **further}.items():
        setattr(IoTResponse, camelcase_to_underscores(name), _method(sandbox, name, operation))
    for name, operation in JOBS_DATA_OPERATIONS.items():
        setattr(JobsDataResponse, camelcase_to_underscores(name), _method(sandbox, name, _for_http(operation)))
    strict.install(directory)


def create_app(service: Any) -> Flask:
    """The Flask application of one backend, by its signing name."""
    if service != JOBS_DATA:
        return create_backend_app(service)
    app = Flask("moto")
    app.debug = True
    app.request_class = BackendRequest
    view = convert_to_flask_response(JobsDataResponse.dispatch)
    app.add_url_rule("/<path:route>", endpoint=JOBS_DATA, methods=HTTP_METHODS, view_func=view)
    return app


def reset_clouds() -> None:
    """Empty every backend of moto."""
    BackendDict.reset()
    reset_model_data()


def _method(sandbox: Sandbox, name: str, operation: Operation) -> Callable[[Any], Any]:
    def answer(self: Any) -> Any:
        model = get_service_model(self.boto3_service_name).operation_model(name)
        params = {member: value for member, value in self.params.items() if value is not None}
        region = sandbox.region(self.current_account, self.region)
        try:
            reply = operation(region, params)
        except AwsError as error:
            return _refusal(error)
        sandbox.publish(region, reply.events)
        return ActionResult(_with_dates(model.output_shape, reply.body))

    answer.__name__ = camelcase_to_underscores(name)
    return answer


def _for_http(operation: Operation) -> Operation:
    """A data plane operation for HTTP: the document as text, errors as exceptions of the model."""

    def run(region: Region, params: dict[str, Any]) -> Reply:
        try:
            reply = operation(region, params)
        except JobsError as refusal:
            raise AwsError(_HTTP_CODES[refusal.code], refusal.message) from refusal
        return Reply(_with_text(reply.body), reply.events)

    return run


def _with_text(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if name == "jobDocument"
        else _with_text(value)
        for name, value in body.items()
    }


def _with_dates(shape: Any, value: Any) -> Any:
    """Epoch seconds as datetimes where the model has timestamps; None left out."""
    if shape is None or value is None:
        return value
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, timezone.utc)
    if shape.type_name == "list":
        return [_with_dates(shape.member, one) for one in value]
    if shape.type_name == "structure":
        return {name: _with_dates(shape.members.get(name), one) for name, one in value.items() if one is not None}
    return value


def _refusal(error: AwsError) -> tuple[str, dict[str, Any]]:
    headers = {"status": error.status, "x-amzn-ErrorType": error.code, "Content-Type": "application/json"}
    return json.dumps(error.body()), headers
