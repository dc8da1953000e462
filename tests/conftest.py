"""One sandbox for each test process, real boto3 clients for it, and no way to anywhere else."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_socket import socket_allow_hosts

from ota.sandbox import process
from ota.sandbox.process import Address
from tests.sandbox_control import Control
from tests.sandbox_world import THING, World, make_bucket, make_role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot_jobs_data import IoTJobsDataPlaneClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

    from tests.device.device_home import Home
    from tests.neighbours import Neighbours

LOOPBACK = ["127.0.0.1", "::1", "localhost"]
REGION = "eu-west-1"
ACCOUNT = "123456789012"
# From where a test module imports what drives the command line.
COMMAND_LINES = {"tests.project", "tests.fault_project", "tests.look.look_desk"}
# What takes ten seconds comes first, or one process would end with it while the others have nothing left to do.
LONGEST = {"test_thousands.py", "test_readme.py"}
GARBAGE_THRESHOLDS = (20_000, 20, 20)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-long", action="store_true", help="run the whole fault matrices too")


def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two processors: a worker waits for its sandbox or a command line a third of the time."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, processors * 3 // 2)


def pytest_configure() -> None:
    """Settle what the hundreds of processes that the tests start take over from this one.

    Compiled code is kept, or each of them would compile all modules anew. What a shell runs in its background has
    SIGINT ignored, and so has every process from there; the tests send it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if config.getoption("--run-long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a whole fault matrix: --run-long runs it"))


def pytest_collection_finish(session: pytest.Session) -> None:  # noqa: ARG001 - the hook's own signature
    """What is imported by now stays, so looking through it for garbage again and again only takes time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def pytest_runtest_setup(item: pytest.Item) -> None:  # noqa: ARG001 - the hook's own signature
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.fixture(scope="session")
def empty_aws_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("aws") / "empty"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def dummy_aws(monkeypatch: pytest.MonkeyPatch, empty_aws_file: Path) -> None:
    """Dummy credentials and no configuration of the user's, for every test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "OTA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "dummy")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty_aws_file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty_aws_file))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The address of a sandbox without pauses, shared by all tests of this process."""
    directory = tmp_path_factory.mktemp("sandbox")
    yield process.start(directory, pause_s=0, region=REGION)
    process.stop(directory)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A project with a sandbox of its own that keeps what is in it, for command lines with virtual devices."""
    from tests.device.device_home import open_home
    from tests.project import built_tree

    with open_home(tmp_path_factory.mktemp("device") / "project", built_tree(tmp_path_factory.getbasetemp())) as home:
        yield home


@pytest.fixture(scope="session")
def neighbours(sandbox: Address) -> Neighbours:
    """What else is in the account of the shared sandbox, wherever a test drives the command line."""
    from tests.neighbours import make_neighbours

    return make_neighbours(sandbox)


@pytest.fixture
def clean_sandbox(request: pytest.FixtureRequest, sandbox: Address) -> Iterator[Address]:
    """The shared sandbox without faults: empty, but for the neighbours where the test drives the command line.

    What a command line does to them is a failure of its test. A test that is about the size of the account is marked
    ``alone``, with the reason, and has it empty.
    """
    if not _drives_command_line(request):
        Control(sandbox).reset()
        yield sandbox
        return
    neighbours: Neighbours = request.getfixturevalue("neighbours")
    neighbours.move_in()
    yield sandbox
    assert neighbours.changed() == [], "a command line touched what it did not make"


def _drives_command_line(request: pytest.FixtureRequest) -> bool:
    imported = {getattr(one, "__module__", "") for one in vars(request.module).values()}
    return bool(imported & COMMAND_LINES) and not request.node.get_closest_marker("alone")


@pytest.fixture
def control(clean_sandbox: Address) -> Control:
    """The controls of the shared sandbox, which is empty and without faults."""
    return Control(clean_sandbox)


def client(service: str, address: Address, **options: Any) -> Any:
    """A real boto3 client that talks to the sandbox and does not repeat refused calls by itself."""
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    options = {"region_name": address.region, "endpoint_url": address.endpoint_url, "config": config, **options}
    return _boto3_session().client(service, **options)


@lru_cache(maxsize=1)
def _boto3_session() -> Any:
    """One session for all tests: reading the service models is most of the cost of a client."""
    import boto3

    return boto3.Session(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="dummy")


@pytest.fixture(scope="session")
def kept_clients(sandbox: Address) -> Callable[[str], Any]:
    """A client for each service, made once."""
    return lru_cache(maxsize=None)(lambda service: client(service, sandbox))


@pytest.fixture
def shared_clients(clean_sandbox: Address, kept_clients: Callable[[str], Any]) -> Callable[[str], Any]:
    """A client for each service, for the sandbox that has just been emptied."""
    assert clean_sandbox.endpoint_url
    return kept_clients


@pytest.fixture
def iot(shared_clients: Callable[[str], Any]) -> IoTClient:
    return shared_clients("iot")


@pytest.fixture
def jobs_data(shared_clients: Callable[[str], Any]) -> IoTJobsDataPlaneClient:
    return shared_clients("iot-jobs-data")


@pytest.fixture
def s3(shared_clients: Callable[[str], Any]) -> S3Client:
    return shared_clients("s3")


@pytest.fixture
def iam(shared_clients: Callable[[str], Any]) -> IAMClient:
    return shared_clients("iam")


@pytest.fixture
def sts(shared_clients: Callable[[str], Any]) -> STSClient:
    return shared_clients("sts")


@pytest.fixture
def world(iot: IoTClient, s3: S3Client, iam: IAMClient) -> World:
    """A thing, a versioned bucket with an image, and a role that can do all an OTA update needs."""
    iot.create_thing(thingName=THING)
    make_role(iam)
    return World(iot, s3, iam, make_bucket(s3))
