"""A user's project in a folder of its own, and the real command line in it.

``run`` is the command line as a user starts it: a process, no terminal, nothing on stdin; ``run_on_terminal`` is for
what only somebody at a terminal meets. ``run_here`` and ``show_here`` are the same in this process, which takes a tenth
of the time: for the many cases that only differ in what AWS or the disk has. ``start`` begins one beside the test.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TextIO

from invoke.program import Program

from ota.nouns import NOUNS
from ota.outcomes import Verb
from ota.sandbox.firmware import lay_out
from ota.sandbox.process import Address
from tests.kept import keeper

REPOSITORY_PATH = Path(__file__).resolve().parents[1]
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI-this-is-secret-EXAMPLEKEY"
THING = "lamp"
APPLICATION = "keyword-detection"
HEADER = Path("applications/keyword_detection/configs/aws_configs/aws_clientcredential.h")
IMAGE = f"{APPLICATION}-update_signed.bin"
OUTCOME = re.compile(
    rf"(?P<noun>{'|'.join(noun.name for noun in NOUNS)}|[a-z]+) +(?P<verb>{'|'.join(Verb)}) +(?P<rest>\S.*)",
    re.MULTILINE,
)
TIMEOUT_S = 120
POLL_S = 0.01


@dataclass(frozen=True)
class Result:
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def outcomes(self) -> list[tuple[str, str, str]]:
        """Noun, verb, and name with detail, of every object's line."""
        found = [OUTCOME.fullmatch(line) for line in self.out.splitlines()]
        return [(one["noun"], one["verb"], one["rest"]) for one in found if one]

    @property
    def verbs(self) -> list[tuple[str, str]]:
        return [(noun, verb) for noun, verb, _ in self.outcomes]

    def done(self) -> Result:
        """This result, which must be a success without a traceback."""
        assert "Traceback" not in self.text, self.text
        assert self.status == 0, self.text
        return self

    def done_or_failed(self) -> Result:
        """This result, which must be a success, or a failure that a user can read."""
        assert "Traceback" not in self.text, self.text
        assert self.status in {0, 1}, self.text
        return self

    def failed(self, *words: str) -> Result:
        """This result, which must be exit status 1 and a few lines on stderr with these words in it."""
        assert "Traceback" not in self.text, self.text
        assert self.status == 1, self.text
        for word in words:
            assert word in self.err, self.err
        return self


class Begun:
    """A command line in a process of its own, begun as a copy of this one: that spares starting Python and importing.

    It has what the tests need of ``subprocess.Popen``.
    """

    def __init__(self, pid: int, out: int, err: int) -> None:
        self.pid = pid
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(POLL_S)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = TIMEOUT_S) -> tuple[str, str]:
        with self.stdout, self.stderr, ThreadPoolExecutor(max_workers=1) as pool:
            err = pool.submit(self.stderr.read)
            out = self.stdout.read()
            self.wait(timeout)
            return out, err.result()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()


class Project:
    """One folder with tasks.py, config.json and, unless told otherwise, the miniature firmware tree."""

    def __init__(self, root_path: Path, environ: Mapping[str, str], *, has_firmware: bool = True) -> None:
        self.root_path = root_path
        self.environ = {**_clean_environment(root_path), **environ}
        root_path.mkdir(parents=True, exist_ok=True)
        for name in ("tasks.py", "config.json"):
            shutil.copy(REPOSITORY_PATH / name, root_path / name)
        if has_firmware:
            lay_out(self.firmware_path)

    @property
    def firmware_path(self) -> Path:
        return self.root_path / "firmware"

    @property
    def header_path(self) -> Path:
        return self.firmware_path / HEADER

    @property
    def build_path(self) -> Path:
        return self.firmware_path / "build"

    @property
    def image_path(self) -> Path:
        return self.build_path / IMAGE

    @property
    def key_path(self) -> Path:
        return self.root_path / f"certificates/thing_private_key_{THING}.pem.key"

    @property
    def certificate_path(self) -> Path:
        return self.root_path / f"certificates/thing_certificate_{THING}.pem.crt"

    def set(self, **settings: str) -> None:
        """Write settings into config.json."""
        path = self.root_path / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}, indent=4))

    def put_signing_key(self, built: Path) -> None:
        """Lay down a signing key, so that a build need not take the time to make one."""
        shutil.copytree(built / "certs", self.firmware_path / "certs", dirs_exist_ok=True)

    def put_image(self, built: Path) -> None:
        """Lay down an image that was built before, with its signature and the keys that signed it."""
        self.put_signing_key(built)
        shutil.copytree(built / "build", self.build_path, dirs_exist_ok=True)
        self.set(skip_build="true")

    def run(self, *arguments: str, **environ: str) -> Result:
        """``invoke ARGUMENTS`` in a process of its own."""
        return self._run_command(self._command(arguments), **environ)

    def run_here(self, *arguments: str, **environ: str) -> Result:
        """``invoke ARGUMENTS`` in this process."""
        out, err = io.StringIO(), io.StringIO()
        status = self.run_into(out, err, *arguments, **environ)
        return Result(status, out.getvalue(), err.getvalue())

    def show_here(self, *arguments: str, columns: int = 200) -> Result:
        """``invoke ARGUMENTS`` in this process, writing to a terminal of so many columns."""
        ours, theirs = pty.openpty()
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                seen = pool.submit(_converse, ours, "", "")
                with os.fdopen(theirs, "w") as screen:
                    status = self.run_into(screen, screen, *arguments, TERM="xterm", COLUMNS=str(columns))
            return Result(status, seen.result(), "")
        finally:
            os.close(ours)

    def run_into(self, out: TextIO, err: TextIO, *arguments: str, **environ: str) -> int:
        """``invoke ARGUMENTS`` in this process, with these as stdout and stderr; its exit status."""
        with self.at_work(**environ), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return _run_program(arguments)

    @contextlib.contextmanager
    def at_work(self, **environ: str) -> Iterator[None]:
        """This process as that of a command line: its environment, its folder, and what was made for others before."""
        with _environment({**self.environ, **environ}), _folder(self.root_path), keeper().at_work():
            yield

    def paste(self, line: str) -> Result:
        """A line as it would be pasted into a shell, up to what fails; its calls of invoke in this process."""
        status, out, err = 0, "", ""
        for command in line.split(" && "):
            words = shlex.split(command)
            done = self.run_here(*words[1:]) if words[0] == "invoke" else self._run_command(["bash", "-c", command])
            status, out, err = done.status, out + done.out, err + done.err
            if status:
                break
        return Result(status, out, err)

    def run_on_terminal(self, *arguments: str, answer: str = "", question: str = "") -> Result:
        """``invoke ARGUMENTS`` with a terminal; ``answer`` is typed once ``question`` is to be read."""
        ours, theirs = pty.openpty()
        environ = {**self.environ, "TERM": "xterm", "COLUMNS": "200"}
        process = subprocess.Popen(
            self._command(arguments), cwd=self.root_path, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        try:
            seen = _converse(ours, answer, question)
            return Result(process.wait(TIMEOUT_S), seen, "")
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()
                process.wait()

    def start(self, *arguments: str, **environ: str) -> Begun:
        """``invoke ARGUMENTS`` begun beside the test, in a session of its own."""
        (out, theirs_out), (err, theirs_err) = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as other threads here only wait
            pid = os.fork()
        if not pid:
            self._be((theirs_out, theirs_err), arguments, environ)
        os.close(theirs_out)
        os.close(theirs_err)
        return Begun(pid, out, err)

    def _be(self, pipes: tuple[int, int], arguments: tuple[str, ...], environ: Mapping[str, str]) -> NoReturn:
        """Be the command line for the rest of this process."""
        status = 1
        try:
            os.setsid()
            for number, pipe in enumerate((os.open(os.devnull, os.O_RDONLY), *pipes)):
                os.dup2(pipe, number)
            sys.argv = ["invoke", *arguments]
            keeper().forget()
            sys.stdin = os.fdopen(0)
            with os.fdopen(1, "w", 1) as out, os.fdopen(2, "w", 1) as err:
                try:
                    status = self.run_into(out, err, *arguments, **environ)
                except BaseException:  # noqa: BLE001 - Python would print it and end, too
                    traceback.print_exc(file=err)
        finally:
            os._exit(status)

    def _run_command(self, command: list[str], **environ: str) -> Result:
        done = subprocess.run(
            command,
            cwd=self.root_path,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "invoke", *arguments]


def aws_environment(address: Address) -> dict[str, str]:
    """An AWS account as far as the tool can tell: keys, a region, and an endpoint of the user's own."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": address.region,
        "AWS_ENDPOINT_URL": address.endpoint_url,
    }


def aws_project(root_path: Path, address: Address, *, has_firmware: bool = True, **settings: str) -> Project:
    """A project that works on the account behind ``address``."""
    project = Project(root_path, aws_environment(address), has_firmware=has_firmware)
    project.set(**{"thing_name": THING, "target_application": APPLICATION, "firmware_root": "firmware", **settings})
    return project


def built_tree(base_path: Path) -> Path:
    """A firmware tree with a signed image in it, made by the real script the first time this folder is asked for.

    Where tests run side by side, ``base_path`` is one process's folder among those of the others: they share the tree.
    """
    return shared_folder(base_path, "built-firmware", build_tree)


def shared_folder(base_path: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this name for all processes that run tests side by side, made by the first that asks for it."""
    shared_path = base_path.parent if "PYTEST_XDIST_WORKER" in os.environ else base_path
    folder, made_path = shared_path / name, shared_path / f"{name}.made"
    with (shared_path / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made_path.exists():
            make(folder)
            made_path.touch()
    return folder


def build_tree(folder: Path, *, certificate: str = "device.crt") -> None:
    """Lay out a firmware tree and build the image that belongs to a device's certificate, with a new signing key."""
    lay_out(folder)
    (folder / "device.crt").write_text(f"{certificate}\n")
    (folder / "device.key").write_text("device.key\n")
    script = str(folder / "tools/scripts/build.sh")
    paths = ["-C", str(folder / "device.crt"), "-P", str(folder / "device.key")]
    subprocess.run([script, APPLICATION, *paths], check=True, capture_output=True)


def _clean_environment(root_path: Path) -> dict[str, str]:
    """What a shell of somebody who never used AWS has."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "COVERAGE_PROCESS_START") if name in os.environ
    }
    return {
        **kept,
        "HOME": str(root_path / "home"),
        "PYTHONPATH": str(REPOSITORY_PATH),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "OTA_SANDBOX_PAUSE_S": "0",
    }


def _run_program(arguments: tuple[str, ...]) -> int:
    tasks = _tasks_module()
    program = Program(namespace=tasks.namespace)
    try:
        program.run(["invoke", *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        if "ota_run" in program.config:
            program.config["ota_run"].end_turn()  # as the end of a process does
    return 0


@functools.cache
def _tasks_module() -> ModuleType:
    """The repository's tasks.py itself, so that its coverage is measured.

    It is loaded once, and so is described to the parser once: invoke takes the help texts out of the tasks for that.
    """
    spec = importlib.util.spec_from_file_location("ota_tasks_under_test", REPOSITORY_PATH / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.namespace.to_contexts = functools.cache(module.namespace.to_contexts)
    return module


@contextlib.contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    """These variables and no others; whatever the command line adds is taken back."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def _converse(terminal: int, answer: str, question: str) -> str:
    """Everything written to the terminal until its other end closes."""
    seen, is_answered = "", not answer
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1)
        if not ready:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody has the other end open any more
            return seen
        if not chunk:
            return seen
        seen += chunk.decode(errors="replace")
        if not is_answered and question in seen:
            os.write(terminal, f"{answer}\n".encode())
            is_answered = True
    raise AssertionError(f"no end in sight; so far: {seen}")
