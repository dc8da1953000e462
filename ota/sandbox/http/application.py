"""The WSGI application: records each call, injects faults, and lets moto with its additions answer.

moto's processing is serialised by the sandbox's lock, because its dictionaries are not thread-safe; injected latency
and withheld answers wait without the lock.

Source: moto's ``create_backend_app``, one WSGI application for each service.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from ota.sandbox.jobs.operations import create_app
from ota.sandbox.jobs.presigned_urls import UrlProblem, find_url_problem
from ota.sandbox.jobs.progress import follow_registry
from ota.sandbox.jobs.state import Sandbox
from ota.sandbox.registration.reports import PREFIX as REPORTS
from ota.sandbox.registration.tasks import read_report

from . import answers
from .answers import stamped
from .authorization import denial_error, find_denied_request, with_params
from .calls import SERVICES, Call, identify, rewind
from .control import Control
from .faults import Faults, Record
from .s3_hosts import signed_request
from .server import DropConnection, run_application
from .services import is_missing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .answers import Answer

log = logging.getLogger(__name__)

_URL_PROBLEMS = {UrlProblem.EXPIRED: answers.URL_EXPIRED, UrlProblem.TAMPERED: answers.BAD_SIGNATURE}


class Application:
    """The WSGI application of the whole sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        faults: Faults,
        control: Control,
        *,
        region: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sandbox = sandbox
        self._faults = faults
        self._control = control
        self._region = region
        self._sleep = sleep
        self._backends = lru_cache(maxsize=None)(create_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request whose body has been read."""
        with self._control.busy():
            status, headers, body = self._answer(environ)
        start_response(status, headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        if environ["PATH_INFO"].startswith("/_sandbox/"):
            return self._control.answer(environ)
        if self._faults.latency_s:
            self._sleep(self._faults.latency_s)
        with self._sandbox.lock:
            call = identify(environ, self._region)
        record = self._faults.record(call.service, call.operation)
        return stamped(call.service, self._answer_call(environ, call, record), self._sandbox.now())

    def _answer_call(self, environ: WSGIEnvironment, call: Call, record: Record) -> Answer:
        rule = self._faults.match(call.service, call.operation)
        if rule is not None and rule.action == "drop-before":
            raise DropConnection
        if rule is not None and rule.action == "error":
            with self._sandbox.lock:
                answer = answers.refusal(with_params(environ, call), rule.error)
        else:
            answer = self._process(environ, call, record)
        record.status = int(answer[0].split(None, 1)[0])
        if rule is not None and rule.action == "hold":
            self._faults.hold(rule)
        if rule is not None and rule.action == "drop-after":
            raise DropConnection
        return answer

    def _process(self, environ: WSGIEnvironment, call: Call, record: Record) -> Answer:
        if call.service not in SERVICES or is_missing(call.service, call.operation):
            return answers.refusal(call, answers.not_in_sandbox(call))
        if not call.operation and call.service != "s3":
            return answers.refusal(call, answers.UNKNOWN_OPERATION)
        if environ["PATH_INFO"].startswith(REPORTS):
            return self._read_report(environ, call)
        if call.service == "s3":
            problem = find_url_problem(signed_request(environ), self._sandbox.url_secret, self._sandbox.now())
            if problem is not None:
                return answers.refusal(call, _URL_PROBLEMS[problem])
        return self._process_authorized(environ, call, record)

    def _process_authorized(self, environ: WSGIEnvironment, call: Call, record: Record) -> Answer:
        """What moto answers, where the caller's policies allow the call."""
        with self._sandbox.lock:
            self._sandbox.run_due()
            denial = find_denied_request(environ, call)
            if denial is not None:
                record.denied = f"{denial.action} on {denial.resource}"
                return answers.refusal(call, denial_error(call, denial))
            rewind(environ)
            try:
                answer = run_application(self._backends(call.service), environ)
            except NotImplementedError:
                return answers.refusal(call, answers.not_in_sandbox(call))
            except Exception:
                log.exception("%s %s failed inside the sandbox", call.service, call.operation)
                return answers.refusal(call, answers.INTERNAL_FAILURE)
            if int(answer[0][:3]) < 400:
                self._follow(call)
        if answer[0].startswith("500"):  # Flask's page for a traceback, which it has logged
            return answers.refusal(call, answers.INTERNAL_FAILURE)
        return answers.in_aws_form(call, answer)

    def _read_report(self, environ: WSGIEnvironment, call: Call) -> Answer:
        """A file behind a presigned link; nobody has credentials for the bucket it is in."""
        with self._sandbox.lock:
            found = read_report(environ["PATH_INFO"], environ.get("QUERY_STRING", ""), self._sandbox.now())
        if found is None or call.method != "GET":
            return answers.refusal(call, answers.NOT_SIGNED)
        return "200 OK", [("Content-Type", "binary/octet-stream")], found

    def _follow(self, call: Call) -> None:
        """Apply the consequences of a call to moto: time of IAM changes, membership of job targets."""
        if call.service == "iam" and "RoleName" in call.params and not call.operation.startswith(("Get", "List")):
            self._sandbox.iam_changes[call.params["RoleName"]] = self._sandbox.now()
        if call.service == "iot" and call.method != "GET":
            for region in self._sandbox.regions():
                self._sandbox.publish(region, follow_registry(region))
