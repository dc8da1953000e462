"""A pytest plugin for foreign suites: empties the sandbox before each test, as moto's decorator does to its server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ota.sandbox.process.address import Address, ask, find_serving

DIRECTORY_VARIABLE = "FOREIGN_SUITE_SANDBOX"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    address = find_serving(Path(os.environ[DIRECTORY_VARIABLE]))
    assert isinstance(address, Address), "the sandbox is gone"
    ask(address, "POST", "reset")
