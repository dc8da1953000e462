"""``python -m tests.full_sandbox DIRECTORY THINGS CERTIFICATES POLICIES ATTACHED``: a sandbox with very many objects.

They are made by the sandbox's own operations, with all their checks, before it serves; by calls over HTTP, each signed
and sent and parsed, the same objects would take ten times as long. What is made is called ``bulk-NNNN``, each tenth of
it marked as ours, and the first of the certificates hang on the first of the things.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ota import ownership
from ota.sandbox import __main__, process
from ota.sandbox.process import Address, serving
from tests.conftest import ACCOUNT, REGION
from tests.hand_made import POLICY_DOCUMENT, signing_request
from tests.project import REPOSITORY_PATH

EACH_OURS = 10
POLL_S = 0.02


@dataclass(frozen=True)
class Counts:
    """How many of each there are; ``attached`` of the certificates hang on a thing."""

    things: int
    certificates: int
    policies: int
    attached: int


@contextmanager
def running(directory: Path, counts: Counts) -> Iterator[Address]:
    """The address of such a sandbox, while it serves."""
    command = [sys.executable, "-m", "tests.full_sandbox", str(directory), *map(str, vars(counts).values())]
    with subprocess.Popen(command, cwd=REPOSITORY_PATH) as child:
        while (address := process.read_address(directory)) is None:
            assert child.poll() is None, f"it ended with status {child.returncode}"
            time.sleep(POLL_S)
        try:
            yield address
        finally:
            process.stop(directory)


def name_of(number: int) -> str:
    """``bulk-0007``."""
    return f"bulk-{number:04}"


def is_ours(number: int) -> bool:
    """Whether the object of this number is marked as ours."""
    return number % EACH_OURS == 0


def main(directory: str, *numbers: str) -> int:
    """Fill, then serve until told to stop; the exit status."""
    counts = Counts(*map(int, numbers))
    open_empty = serving.open_sandbox

    def open_full(*args: Any, **options: Any) -> Any:
        opened = open_empty(*args, **options)
        _fill(Path(directory), counts)
        return opened

    serving.open_sandbox = open_full
    return __main__.main(["--directory", directory, "--pause-s", "0", "--region", REGION])


def _fill(directory: Path, counts: Counts) -> None:
    from moto.iot.models import iot_backends

    from ota.sandbox.moto import certificates, iot_policies, things
    from ota.sandbox.moto.authority import open_authority

    backend = iot_backends[ACCOUNT][REGION]
    issue = certificates.issuing_methods(open_authority(directory))["create_certificate_from_csr"]

    def call(operation: Any, **params: Any) -> Any:
        return operation(SimpleNamespace(params=params, iot_backend=backend)).result

    for number in range(counts.things):
        attributes = ownership.marks(name_of(number)) if is_ours(number) else {}
        call(things.create_thing, thingName=name_of(number), attributePayload={"attributes": attributes})
    for number in range(counts.certificates):
        made = call(issue, certificateSigningRequest=signing_request(), setAsActive=True)
        if number < counts.attached:
            attachment = {"thingName": name_of(number), "principal": made["certificateArn"]}
            call(things.attach_thing_principal, **attachment, thingPrincipalType="EXCLUSIVE_THING")
    for number in range(counts.policies):
        tags = ownership.mark_tags("bulk") if is_ours(number) else []
        call(iot_policies.create_policy, policyName=name_of(number), policyDocument=POLICY_DOCUMENT, tags=tags)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
