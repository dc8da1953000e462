"""Run tests that others wrote against the sandbox, and compare what fails with the list of known differences.

``python -m tests.foreign_suites --moto PATH`` takes a checkout of getmoto/moto, whose tests need freezegun, ``--arm
PATH`` one of Arm's reference repository. Nothing is fetched. Of moto's tests those of IoT, S3, IAM and STS run in
moto's server mode, with the sandbox as the server. Of Arm's repository ``createIoTThings.py`` runs in a copy of the
tree where only the build script is stood in for.

``foreign_differences.json`` has for each suite what is known to fail: a pattern of names (``fnmatch``), one of what is
said then, and the reason. A failure that no difference explains, and a difference that explains none any more, end the
program with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from ota.sandbox import process
from ota.sandbox.firmware import lay_out
from ota.sandbox.process import Address
from tests.conftest import client

REPOSITORY_PATH = Path(__file__).resolve().parents[1]
DIFFERENCES_PATH = Path(__file__).with_name("foreign_differences.json")
MOTO_REGION = "us-east-1"  # of moto's tests
ARM_REGION = "eu-west-1"  # the script cannot make a bucket in us-east-1, which AWS does not take as a location
DIRECTORY_VARIABLE = "FOREIGN_SUITE_SANDBOX"  # as in foreign_reset.py
# It asks for a role of Lambda again and again, for ever where there is no Lambda.
ENDLESS = "tests/test_s3/test_s3_lambda_integration.py"
MOTO_FOLDERS = ("test_iot", "test_s3", "test_iam", "test_sts")
ARM_SCRIPT = Path("tools/scripts/createIoTThings.py")
ARM_COMMANDS = (
    "create-update-simplified", "list-all", "list-things", "list-certificates", "list-policies",
    "list-buckets", "list-iam-roles", "list-ota-updates", "list-jobs", "cleanup-simplified",
)  # fmt: skip
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_SESSION_TOKEN": "dummy",
}


class Difference(NamedTuple):
    """Tests that fail here for a known reason: patterns of their names and of what they say.

    ``is_chance`` says that they pass now and then, because they go by random names.
    """

    test: str
    why: str
    says: str = "*"
    is_chance: bool = False

    def explains(self, name: str, said: str) -> bool:
        return fnmatchcase(name, self.test) and fnmatchcase(said, self.says)


@dataclass(frozen=True)
class Verdict:
    """What a suite came to.

    Attributes:
        ran: how many tests or commands ran.
        unknown: those that failed and that no difference names, with what they said.
        outdated: differences that explain no failure.
        known: how many failed as the list says.
    """

    ran: int
    unknown: Mapping[str, str]
    outdated: tuple[Difference, ...]
    known: int

    @property
    def is_good(self) -> bool:
        return self.ran > 0 and not self.unknown and not self.outdated


def judge(ran: int, failures: Mapping[str, str], differences: Iterable[Difference]) -> Verdict:
    """Compare failures (name to what it said) with the known differences."""
    explained = {one: [name for name, said in failures.items() if one.explains(name, said)] for one in differences}
    known = {name for names in explained.values() for name in names}
    unknown = {name: said for name, said in failures.items() if name not in known}
    outdated = tuple(one for one, names in explained.items() if not names and not one.is_chance)
    return Verdict(ran, unknown, outdated, len(known))


def read_differences(path: Path) -> dict[str, list[Difference]]:
    """The known differences of each suite."""
    return {suite: [Difference(**one) for one in found] for suite, found in json.loads(path.read_text()).items()}


def run_moto(checkout: Path, folders: Iterable[str] = MOTO_FOLDERS) -> tuple[int, dict[str, str]]:
    """How many of moto's tests ran, and those that failed with the last line of what they said."""
    with tempfile.TemporaryDirectory() as name, _Sandbox(Path(name), MOTO_REGION) as sandbox:
        report = Path(name) / "report.xml"
        environ = {**_environment(sandbox.address), "TEST_SERVER_MODE": "true", DIRECTORY_VARIABLE: name}
        paths = [f"tests/{folder}" for folder in folders]
        options = [
            "-p",
            "foreign_reset",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-q",
            "--continue-on-collection-errors",
            f"--ignore={ENDLESS}",
        ]
        subprocess.run(
            [sys.executable, "-m", "pytest", *paths, *options, f"--junitxml={report}", "--rootdir", str(checkout)],
            cwd=checkout,
            env={**environ, "TEST_SERVER_MODE_ENDPOINT": sandbox.address.endpoint_url},
            check=False,
            stdout=2,  # what pytest shows is not the verdict
        )
        return read_report(report)


def run_arm(checkout: Path) -> tuple[int, dict[str, str]]:
    """How many commands of Arm's script ran, and those that failed with the end of what they said."""
    with tempfile.TemporaryDirectory() as name, _Sandbox(Path(name) / "sandbox", ARM_REGION) as sandbox:
        tree = Path(name) / "tree"
        lay_out(tree)  # the build script stood in for, and the layout of the applications
        shutil.copytree(
            checkout / ARM_SCRIPT.parent, tree / ARM_SCRIPT.parent, dirs_exist_ok=True, ignore=_build_script
        )
        _write_arm_settings(tree, _make_boundary(sandbox.address))
        failures = {}
        for command in ARM_COMMANDS:
            done = subprocess.run(
                [sys.executable, str(ARM_SCRIPT), command],
                cwd=tree,
                env=_environment(sandbox.address),
                check=False,
                capture_output=True,
                text=True,
                input="y\n" * 20,  # it asks before it writes a header that is not as in the repository
                timeout=300,
            )
            said = done.stdout + done.stderr
            if done.returncode or "Traceback" in said or "[ERROR]" in said:
                failures[command] = said[-600:]
        return len(ARM_COMMANDS), failures


def read_report(path: Path) -> tuple[int, dict[str, str]]:
    """The tests of a JUnit report that ran: how many, and those that failed, ``folder.module::name``."""
    cases = [case for case in ET.parse(path).iter("testcase") if case.find("skipped") is None]  # noqa: S314 - our own
    failures = {}
    for case in cases:
        for problem in (*case.findall("failure"), *case.findall("error")):
            text = problem.get("message") or problem.text or ""
            failures[f"{case.get('classname', '')}::{case.get('name', '')}"] = (
                text.splitlines()[0][:300] if text else ""
            )
    return len(cases), failures


def main(arguments: list[str] | None = None) -> int:
    """Run the suites that are named; 1 where one differs from what is known of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moto", type=Path, help="a checkout of getmoto/moto")
    parser.add_argument("--arm", type=Path, help="a checkout of FreeRTOS/iot-reference-arm-corstone3xx")
    parser.add_argument("--folder", action="append", help="of moto's tests only this one; repeatable")
    parser.add_argument("--differences", type=Path, default=DIFFERENCES_PATH)
    given = parser.parse_args(arguments)
    if not (given.moto or given.arm):
        parser.error("name a folder: --moto PATH or --arm PATH")
    known = read_differences(given.differences)
    is_good = True
    if given.moto:
        folders = given.folder or MOTO_FOLDERS
        expected = [one for one in known["moto"] if any(f".{folder}." in one.test for folder in folders)]
        is_good &= _tell("moto", judge(*run_moto(given.moto.resolve(), folders), expected))
    if given.arm:
        is_good &= _tell("arm", judge(*run_arm(given.arm.resolve()), known["arm"]))
    return 0 if is_good else 1


class _Sandbox:
    """A sandbox of its own in this directory."""

    def __init__(self, directory: Path, region: str) -> None:
        self._directory = directory
        self._region = region
        self.address: Address

    def __enter__(self) -> _Sandbox:
        self._directory.mkdir(exist_ok=True)
        self.address = process.start(self._directory, pause_s=0, region=self._region)
        return self

    def __exit__(self, *_: object) -> None:
        process.stop(self._directory)


def _tell(suite: str, verdict: Verdict) -> bool:
    lines = [f"{suite}: {verdict.ran} ran, {verdict.known} differ as known, {len(verdict.unknown)} differ otherwise"]
    lines += [f"  {name}: {said}" for name, said in verdict.unknown.items()]
    lines += [f"  nothing differs any more by {one.test} {one.says}: take it out" for one in verdict.outdated]
    sys.stdout.write("\n".join(lines) + "\n")
    return verdict.is_good


def _environment(address: Address) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OTA_", "PYTEST_"))}
    # The plugin by the folder, because a checkout has a package ``tests`` of its own.
    paths = os.pathsep.join([str(REPOSITORY_PATH / "tests"), str(REPOSITORY_PATH), os.environ.get("PYTHONPATH", "")])
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    where = dict.fromkeys(("AWS_DEFAULT_REGION", "AWS_REGION"), address.region)
    return {**kept, **KEYS, **files, **where, "AWS_ENDPOINT_URL": address.endpoint_url, "PYTHONPATH": paths}


def _build_script(_: str, names: list[str]) -> set[str]:
    return {"build.sh"} & set(names)


def _make_boundary(address: Address) -> str:
    """The ARN of a permissions boundary, as an administrator would have made it: all that a role may be given here."""
    every = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [every]})
    made = client("iam", address).create_policy(PolicyName="boundary", PolicyDocument=document)
    return str(made["Policy"]["Arn"])


def _write_arm_settings(tree: Path, boundary: str) -> None:
    path = tree / ARM_SCRIPT.with_name("createIoTThings_settings.json")
    settings = json.loads(path.read_text())
    own = {"thing_name": "lamp", "role_prefix": "Proj", "target_application": "keyword-detection"}
    path.write_text(json.dumps({**settings, **own, "permissions_boundary": boundary}, indent=4))


if __name__ == "__main__":
    sys.exit(main())
