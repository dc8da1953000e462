"""The cases of the fault matrix: every call of every command with every fault, and the promises that hold after each.

A case is one command line in which AWS answers one call with one fault. Calls are those that the same command makes
undisturbed, so that a call which is added to the tool is in the matrix at once. After the faulted run the same command
runs undisturbed, and then ``clean``.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from botocore.retries import bucket
from botocore.retries.standard import ExponentialBackoff

from ota import aws_calls, cloud
from tests.conftest import client
from tests.fault_project import NOTHING, Call, Inventory, kill_after, kill_before
from tests.neighbours import Neighbours
from tests.project import SECRET_KEY, Result, aws_project
from tests.sandbox_control import Control

Ending = Literal["survived", "told", "killed"]
READ_TIMEOUT_S = 1.0
RETRY_PAUSE_S = 0.01
CALLS_PER_SECOND = 100.0  # at which botocore goes on after throttling, at least
EXPIRED = "credentials have expired: renew them"
PROVEN = "Proven: nothing that this tool made for lamp is left."
# The IAM action that an operation needs, where it is not named like the operation. Source: Service Authorization
# Reference; API reference of each operation.
PERMISSIONS = {
    "DeleteObject": "s3:DeleteObjectVersion",
    "DeleteObjects": "s3:DeleteObjectVersion",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListPrincipalThingsV2": "iot:ListPrincipalThings",
    "ListThingPrincipalsV2": "iot:ListThingPrincipals",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
# The first uses of what a run has just made, which AWS may not know everywhere yet.
USES_OF_THE_NEW = frozenset(
    {
        *("PutBucketVersioning", "PutPublicAccessBlock", "PutBucketPolicy", "PutBucketTagging", "PutRolePolicy"),
        *("PutObject", "AttachThingPrincipal", "AttachPolicy", "CreateOTAUpdate"),
    }
)


@dataclass(frozen=True)
class Command:
    """One row of the matrix: a command line, and what is there when it begins.

    Attributes:
        begins_with: "nothing", or "all" of an earlier run.
        has_other_image: whether another image was built since then.
        only_looks: whether it changes nothing. It asks the same of one object after the other, so the first and the
            last of these calls stand for the others, and that nothing has changed stands for a repeat and ``clean``.
    """

    name: str
    line: str
    begins_with: Literal["nothing", "all"] = "all"
    has_other_image: bool = False
    only_looks: bool = False


@dataclass(frozen=True)
class Fault:
    """One column of the matrix.

    Attributes:
        inject: has the sandbox do it at a call; returns the rule's number. A kill has none.
        ends: how the faulted run ends. "told" is also fulfilled by a run that does without the answer.
        meets: whether AWS can answer this call of this command so.
        tells: the words that the message must have.
        options: attributes of ``ota.cloud`` for the faulted run, so that it does not take minutes.
    """

    name: str
    inject: Callable[[Control, Call], int] | None
    ends: Ending = "survived"
    meets: Callable[[Command, str, Call], bool] = lambda *_: True
    tells: Callable[[str, Call], str] = lambda *_: ""
    options: dict[str, float] = field(default_factory=dict)


def permission(service: str, operation: str) -> str:
    """The IAM action that an operation of a service needs."""
    return PERMISSIONS.get(operation, f"{service}:{operation}")


def _is_outside_iot(_: Command, service: str, call: Call) -> bool:
    """AWS IoT has no refusal because of another change under way; S3 and IAM have."""
    return service in {"s3", "iam"} and not call.operation.startswith("Head")


def _uses_the_new(command: Command, _: str, call: Call) -> bool:
    is_last_look = call == Call("GetOTAUpdate", 2)
    return command.begins_with == "nothing" and (call.operation in USES_OF_THE_NEW or is_last_look)


COMMANDS = (
    Command("set-up", "all", begins_with="nothing"),
    Command("repeat", "all"),
    Command("replace", "all", has_other_image=True),
    Command("list", "list", only_looks=True),
    Command(
        "delete",
        "delete.update --force delete.certificate --force delete.thing delete.policy delete.bucket --force "
        "delete.role --force",
    ),
    Command("clean", "clean"),
)
FAULTS = (
    Fault("throttled", lambda control, call: control.fail(call.operation, nth=call.nth)),
    Fault(
        "throttled-for-good",
        lambda control, call: control.fail(call.operation, nth=call.nth, times=0),
        "told",
        tells=lambda service, call: f"{service}:{call.operation}",
        options={"MAX_ATTEMPTS": 0},
    ),
    Fault(
        "error-500",
        lambda control, call: control.fail(call.operation, nth=call.nth, code="InternalFailure", status=500),
    ),
    Fault("reset-before", lambda control, call: control.drop(call.operation, nth=call.nth)),
    Fault("reset-after", lambda control, call: control.drop(call.operation, nth=call.nth, processed=True)),
    Fault(
        "timeout",
        lambda control, call: control.hold(call.operation, nth=call.nth),
        options={"READ_TIMEOUT_S": READ_TIMEOUT_S},
    ),
    Fault(
        "conflict",
        lambda control, call: control.fail(call.operation, "conflict", nth=call.nth),
        meets=_is_outside_iot,
    ),
    Fault(
        "too-early",
        lambda control, call: control.fail(call.operation, "not-found", nth=call.nth),
        meets=_uses_the_new,
    ),
    Fault(
        "denied",
        lambda control, call: control.fail(call.operation, "access-denied", nth=call.nth, times=0),
        "told",
        tells=lambda service, call: f"lack the permission {permission(service, call.operation)}.",
    ),
    Fault(
        "expired",
        lambda control, call: control.fail(call.operation, "expired-token", nth=call.nth, spreads=True),
        "told",
        tells=lambda *_: EXPIRED,
    ),
    Fault("killed-before", None, "killed"),
    Fault("killed-after", None, "killed"),
)


@dataclass(frozen=True)
class Case:
    """One call of one command with one fault."""

    command: Command
    fault: Fault
    service: str
    call: Call

    def __str__(self) -> str:
        return f"{self.command.name} {self.fault.name} {self.call}"


@dataclass(frozen=True)
class Undisturbed:
    """A command in which nothing went wrong: its calls with their services, and the state that it leaves."""

    calls: tuple[tuple[str, Call], ...]
    state: dict[str, Any]


class Site:
    """One sandbox and one project, which every case finds as the first one did."""

    def __init__(self, neighbours: Neighbours, folder: Path, images: tuple[Path, Path]) -> None:
        self.control = neighbours.control
        self._neighbours = neighbours
        self._folder = folder
        self._images = images
        self.project = aws_project(folder / "project", self.control.address)
        address = self.control.address
        clients = {service: client(service, address) for service in ("iot", "s3", "iam")}
        self._inventory = Inventory(clients.__getitem__)
        self._undisturbed: dict[str, Undisturbed] = {}

    def cases(self, command: Command, fault: Fault) -> list[Case]:
        """The cases of one cell, in the order of the calls."""
        calls = self.undisturbed(command).calls
        return [Case(command, fault, service, call) for service, call in calls if fault.meets(command, service, call)]

    def undisturbed(self, command: Command) -> Undisturbed:
        """What the command comes to when nothing goes wrong; run once."""
        if command.name not in self._undisturbed:
            self._prepare(command)
            self._run(command).done()
            calls = numbered_calls(self.control.calls())
            if command.only_looks:
                calls = first_and_last(calls)
            self._undisturbed[command.name] = Undisturbed(calls, self._inventory.state(self.project))
        return self._undisturbed[command.name]

    def why_broken(self, case: Case) -> str:
        """The promise that is not kept in this case, or nothing."""
        gc.collect()  # closes the connections of the runs before, of which the sandbox serves a limited number
        try:
            self._check(case)
        except AssertionError as broken:
            return str(broken) or traceback.format_exc()
        except Exception:  # noqa: BLE001 - a bug of the tool ends its case, and not the matrix
            return traceback.format_exc()
        finally:
            self.control.clear_faults()
        return ""

    def _check(self, case: Case) -> None:
        expected = self.undisturbed(case.command)
        with short_pauses():
            self._check_promises(case, expected)

    def _check_promises(self, case: Case, expected: Undisturbed) -> None:
        self._prepare(case.command)
        before, key = self.control.objects(), self._key()
        if case.fault.ends == "killed":
            self._kill(case)
            has_survived = False
        else:
            has_survived = self._has_survived(case, self._run_faulted(case))
        if case.command.only_looks:
            check(self.control.objects() == before, "a command that only looks has changed something")
            return
        check(not self._inventory.has_lost_key(self.project), "a certificate is in AWS whose key is not on disk")
        key = key or self._key()
        if has_survived:
            self._check_state(expected, "status 0 with another state")
        self._run(case.command).done()
        if not has_survived:
            self._check_state(expected, "a repeat ends elsewhere")
        check(not key or self._key() == key, "another private key is on disk")
        self._check_cleaned(without_secrets(self.project.run_here("clean"), self._key()).done())

    def _check_state(self, expected: Undisturbed, what: str) -> None:
        state = self._inventory.state(self.project)
        check(state == expected.state, f"{what}: {differences(expected.state, state)}")

    def _check_cleaned(self, cleaned: Result) -> None:
        check(PROVEN in cleaned.out, f"clean does not say that nothing is left: {cleaned.text}")
        changed, left = self._neighbours.changed(), self._inventory.names()
        check(left == NOTHING, f"clean left {left}")
        check(not changed, f"foreign objects were touched: {changed}")

    def _has_survived(self, case: Case, result: Result) -> bool:
        """Whether the run reached its end; if not, it must be allowed to end early, and say why."""
        check("Traceback" not in result.text, result.text)
        if result.status == 0:
            return True
        check(case.fault.ends == "told", f"a fault that passes ends the run: {result.text}")
        check(result.status == 1, f"exit status {result.status}: {result.text}")
        words = case.fault.tells(case.service, case.call)
        check(words in result.err, f"no word of {words!r} in: {result.err}")
        said = [line for line in result.err.splitlines() if not line.startswith("AWS account ")]
        check(len(said) == 1, f"more than one sentence: {result.err}")
        return False

    def _run_faulted(self, case: Case) -> Result:
        assert case.fault.inject is not None
        rule = case.fault.inject(self.control, case.call)
        with contextlib.ExitStack() as options:
            for name, value in case.fault.options.items():
                options.enter_context(mock.patch.object(cloud, name, value))
            result = self._run(case.command)
        seen = next(one["seen"] for one in self.control.rules() if one["id"] == rule)
        self.control.clear_faults()
        check(seen >= case.call.nth, f"{case.call} was never made: {result.text}")
        return result

    def _kill(self, case: Case) -> None:
        kill = kill_before if case.fault.name == "killed-before" else kill_after
        kill(self.control, self.project, case.call, *case.command.line.split())

    def _run(self, command: Command) -> Result:
        self.control.clear_calls()
        return without_secrets(self.project.run_here(*command.line.split()), self._key())

    def _key(self) -> bytes:
        path = self.project.key_path
        return path.read_bytes() if path.exists() else b""

    def _prepare(self, command: Command) -> None:
        """The account and the project's folder as they are when the command begins."""
        folder = self._situations[command.begins_with]
        self.control.restore(_kept_as(command.begins_with))
        shutil.rmtree(self.project.root_path)
        shutil.copytree(folder, self.project.root_path, symlinks=True)
        if command.has_other_image:
            self.project.put_image(self._images[1])

    @cached_property
    def _situations(self) -> dict[str, Path]:
        """The project's folder in each situation; the sandbox keeps the account that belongs to it."""
        self._neighbours.move_in()
        self.project.put_image(self._images[0])
        folders = {"nothing": self._keep("nothing")}
        self.project.run_here("all").done()
        return {**folders, "all": self._keep("all")}

    def _keep(self, situation: str) -> Path:
        self.control.keep(_kept_as(situation))
        return Path(shutil.copytree(self.project.root_path, self._folder / situation, symlinks=True))


@contextlib.contextmanager
def short_pauses() -> Iterator[None]:
    """All retries as they are, but for the seconds between them."""
    quick = functools.partial(bucket.TokenBucket, min_rate=CALLS_PER_SECOND)
    with (
        mock.patch.object(bucket, "TokenBucket", quick),
        mock.patch.object(ExponentialBackoff, "delay_amount", return_value=RETRY_PAUSE_S),
        mock.patch.object(aws_calls, "FIRST_PAUSE_S", RETRY_PAUSE_S),
        mock.patch.object(aws_calls, "LONGEST_PAUSE_S", RETRY_PAUSE_S),
    ):
        yield


def check(holds: bool, what: str) -> None:
    """End the case with this sentence unless the promise holds."""
    if not holds:
        raise AssertionError(what)


def without_secrets(result: Result, key: bytes) -> Result:
    """This result, in whose output there is neither a key nor a presigned URL."""
    lines = [line for line in key.decode().splitlines() if line and not line.startswith("---")]
    told = [one for one in (SECRET_KEY, "PRIVATE KEY", "X-Amz-Signature", *lines) if one in result.text]
    check(not told, f"a secret in the output: {result.text}")
    return result


def numbered_calls(made: list[dict[str, Any]]) -> tuple[tuple[str, Call], ...]:
    """Recorded calls, each with its service, counted by their operation."""
    seen: Counter[str] = Counter()
    calls = []
    for one in made:
        seen[one["operation"]] += 1
        calls.append((one["service"], Call(one["operation"], seen[one["operation"]])))
    return tuple(calls)


def first_and_last(calls: tuple[tuple[str, Call], ...]) -> tuple[tuple[str, Call], ...]:
    """Of each operation its first and its last call."""
    counts = Counter(call.operation for _, call in calls)
    return tuple((service, call) for service, call in calls if call.nth in {1, counts[call.operation]})


def differences(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """What two states differ in, to read."""
    return "; ".join(
        f"{kind}: {expected[kind]} became {found[kind]}" for kind in expected if expected[kind] != found[kind]
    )


def _kept_as(situation: str) -> str:
    return f"fault matrix: {situation}"
