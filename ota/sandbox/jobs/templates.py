"""Jobs that are made from a job template: its document and its settings, where the request has none of its own.

Source: AWS IoT API reference, CreateJob (``jobTemplateArn``) and DescribeJobTemplate; moto 5.2.5, ``FakeJobTemplate``.
"""

from __future__ import annotations

from typing import Any

from ota.sandbox.moto.lookups import find_job_template
from ota.sandbox.moto.responses import not_found

from .state import Region

_SETTINGS = {  # member of CreateJob -> attribute of moto's template
    "description": "description",
    "presignedUrlConfig": "presigned_url_config",
    "jobExecutionsRolloutConfig": "job_executions_rollout_config",
    "abortConfig": "abort_config",
    "timeoutConfig": "timeout_config",
    "jobExecutionsRetryConfig": "job_execution_retry_config",
}


def with_template(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The request with what its template adds; ResourceNotFoundException for a template that does not exist."""
    arn = params.get("jobTemplateArn")
    if not arn:
        return params
    template = find_job_template(region, arn)
    if template is None:
        raise not_found(f"Job template {arn} does not exist.")
    settings = {member: getattr(template, attribute) for member, attribute in _SETTINGS.items()}
    if not params.get("document") and not params.get("documentSource"):
        settings["documentSource" if template.document_source else "document"] = (
            template.document_source or template.document
        )
    return {**{member: value for member, value in settings.items() if value}, **params}
