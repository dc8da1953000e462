"""A project with a sandbox of its own, kept for all command lines with virtual devices of a test process.

The sandbox keeps what is in it from test to test, so each offers the update anew, and the device begins as from the
factory (``--fresh``).
"""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ota.device.options import DeviceOptions, Timing
from ota.device.runs import RunContext, run
from ota.errors import DeviceFailed
from ota.report import Report
from ota.sandbox import process
from ota.scope import Scope
from tests.conftest import client
from tests.project import Project, Result
from tests.sandbox_control import Control

THING = "sandbox-thing"
UPDATE = f"{THING}_update"
JOB = f"AFR_OTA-{UPDATE}"


class Home(Project):
    """The project; ``sandbox`` goes before every command line."""

    def __init__(self, root_path: Path, built: Path) -> None:
        super().__init__(root_path, {"OTA_SANDBOX": "1"}, has_firmware=False)
        shutil.copytree(built / "certs", self.path("firmware/certs"))
        self.run_here("all").done()

    def path(self, *parts: str) -> Path:
        return self.root_path.joinpath(".sandbox", *parts)

    def service(self, name: str) -> Any:
        return _client(name, self._address)

    @property
    def control(self) -> Control:
        return Control(self._address)

    @property
    def _address(self) -> process.Address:
        address = process.read_address(self.path())
        assert address is not None
        return address

    def execution(self, job_id: str = JOB, thing_name: str = THING) -> dict[str, Any]:
        found = self.service("iot").describe_job_execution(jobId=job_id, thingName=thing_name)
        return dict(found["execution"])

    def offer(self) -> Result:
        """The update of the image that is there, made anew, and all that it needs."""
        return self.run_here("with", "--skip-build", "true", "delete.update", "--force", "all").done()

    def stay(self, *, until: str, is_fresh: bool = True) -> tuple[str, str]:
        """What a device says that stays, and the error that it ends with; its time is up once it has said this."""
        clock = _Clock(until)
        report = Report(clock, clock)
        scope = Scope(self.root_path, self.environ, report)
        timing = Timing(sleep=lambda _: None, clock=clock.read)
        context = RunContext(report, scope, scope.open_cloud, timing)
        try:
            run(context, DeviceOptions(is_forever=True, is_fresh=is_fresh, timeout_s=50.0))
        except DeviceFailed as error:
            return clock.getvalue(), str(error)
        return clock.getvalue(), ""


class _Clock(io.StringIO):
    """A screen, and a clock that jumps ahead at the line with these words; without that line the time ends later."""

    def __init__(self, until: str) -> None:
        super().__init__()
        self._until, self._ahead_s = until, 0.0

    def read(self) -> float:  # type: ignore[override]
        return time.monotonic() + self._ahead_s

    def write(self, text: str) -> int:
        self._ahead_s += 100.0 * (self._until in text)
        return super().write(text)


@contextlib.contextmanager
def open_home(root_path: Path, built: Path) -> Iterator[Home]:
    """A home whose sandbox ends with it."""
    try:
        yield Home(root_path, built)
    finally:
        process.stop(root_path / ".sandbox")


_client: Callable[[str, process.Address], Any] = lru_cache(maxsize=None)(client)
