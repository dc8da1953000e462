"""The steps of one command line: each is taken once, whoever asks for it, and some are begun before anybody does.

Source: ``concurrent.futures`` for what steps that run beside others come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from ota.errors import CredentialsError, OtaError, from_boto
from ota.outcomes import Outcome
from ota.report import Report
from ota.threads import begin

T = TypeVar("T")


class Steps:
    """Remembers what every step came to. What is an outcome gets its line when it is first asked for."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._done: dict[str, Any] = {}
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, works: Mapping[str, Callable[[], Any]]) -> None:
        """Start these beside one another, but for those that are done already."""
        missing = {name: work for name, work in works.items() if name not in self._done}
        if not missing:
            return
        self._begun.update(zip(missing, begin(missing.values(), len(missing)), strict=True))

    def do(self, name: str, work: Callable[[], T]) -> T:
        """What this step came to: remembered, or begun before, or done now."""
        if name not in self._done:
            begun = self._begun.pop(name, None)
            self._done[name] = begun.result() if begun else work()
            if isinstance(self._done[name], Outcome):
                self._report.outcome(self._done[name])
        result: T = self._done[name]
        return result

    def find(self, name: str) -> Any:
        """What this step came to; None where nobody has asked for it."""
        return self._done.get(name)

    def forget(self) -> None:
        """What was found or made is no longer so."""
        self._done.clear()

    def wind_up(self) -> None:
        """After a failure: wait for what was begun and tell what it came to, so that nothing happens unsaid."""
        begun, self._begun = self._begun, {}
        for name, future in begun.items():
            self._tell(name, future)

    def _tell(self, name: str, begun: Future[Any]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            result = begun.result()
        except OtaError as error:
            self._tell_failure(name, error)
        except (BotoCoreError, ClientError) as error:
            self._tell_failure(name, from_boto(error))
        else:
            if isinstance(result, Outcome):
                self._report.outcome(result)

    def _tell_failure(self, name: str, error: OtaError) -> None:
        """Credentials fail for every call alike: the failure that ended the run says it, once."""
        if not isinstance(error, CredentialsError):
            self._report.note(f"{name}: {error}")
