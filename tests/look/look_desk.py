"""A project with a set-up account, ways to go wrong in it, and a shell that runs the commands that mend."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from ota.ownership import mark_tags, marks
from ota.updates.requests import ROLE_NAME_KEY
from tests.conftest import ACCOUNT, REGION
from tests.hand_made import Hands
from tests.project import THING, Project, Result, aws_project, built_tree
from tests.sandbox_control import Control

BUCKET = f"{THING}-ota-{ACCOUNT}"
POLICY = f"{THING}_policy"
ROLE = f"{THING}_role"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
UPDATE = f"{THING}_update"
JOB = f"AFR_OTA-{UPDATE}"
THING_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{THING}"
EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@dataclass(frozen=True)
class Desk:
    """Where somebody works: a project, and the account behind it through clients of the test's own."""

    project: Project
    control: Control
    clients: Callable[[str], Any]

    @property
    def iot(self) -> Any:
        return self.clients("iot")

    @property
    def iam(self) -> Any:
        return self.clients("iam")

    @property
    def s3(self) -> Any:
        return self.clients("s3")

    @property
    def jobs_data(self) -> Any:
        return self.clients("iot-jobs-data")

    def run(self, *arguments: str, **environ: str) -> Result:
        return self.project.run_here(*arguments, **environ)

    def look(self, *arguments: str, status: int | None = None, **environ: str) -> Any:
        """The JSON document of a look-only task; ``status`` is what it must end with."""
        result = self.run(*arguments, "--json", **environ)
        assert "Traceback" not in result.text, result.text
        if status is not None:
            assert result.status == status, result.text
        return json.loads(result.out)

    def set_up(self) -> None:
        self.run("all").done()

    def certificate(self) -> dict[str, Any]:
        """The one certificate in the account, as AWS describes it."""
        (certificate_id,) = Hands(self.iot, self.s3, self.iam).names()["certificates"]
        return dict(self.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"])

    def make_foreign_update(self, *, is_ours: bool = False, bucket: str = "no-such-bucket") -> None:
        """An OTA update that AWS cannot make, for its image is in no bucket."""
        self.iot.create_ota_update(
            otaUpdateId=UPDATE,
            targets=[THING_ARN],
            roleArn=ROLE_ARN,
            files=[
                {
                    "fileName": "non_secure image",
                    "fileLocation": {"s3Location": {"bucket": bucket, "key": "image"}},
                    "codeSigning": {
                        "customCodeSigning": {
                            "signature": {"inlineDocument": b"c2ln"},
                            "certificateChain": {"certificateName": "0"},
                            "hashAlgorithm": "SHA256",
                            "signatureAlgorithm": "RSA",
                        }
                    },
                }
            ],
            additionalParameters={**marks(THING), ROLE_NAME_KEY: ROLE} if is_ours else {},
            tags=mark_tags(THING) if is_ours else [],
        )

    def report(self, status: str, **details: str) -> None:
        """What the device tells of the update's job."""
        self.jobs_data.update_job_execution(jobId=JOB, thingName=THING, status=status, statusDetails=details)

    def take_job(self) -> None:
        self.jobs_data.start_next_pending_job_execution(thingName=THING)

    def files(self) -> dict[str, tuple[int, str]]:
        """Every file of the project: when it was written and what is in it."""
        paths = [
            path for path in self.project.root_path.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
        return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}

    def shell(self, command: str, **environ: str) -> None:
        """Run a line as it would be pasted; invoke and the AWS CLI without processes of their own, which is quick."""
        for part in command.split(" && "):
            words = shlex.split(part)
            if words[0] == "invoke":
                self.run(*words[1:], **environ).done()
            elif words[0] == "aws":
                aws(self.clients, words[1:])
            else:
                self.bash(part, **environ)

    def bash(self, command: str, **environ: str) -> None:
        """Run a line in a real shell."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.project.root_path,
            env={**self.project.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def aws(clients: Callable[[str], Any], words: list[str]) -> None:
    """What ``aws WORDS`` does: the operation and its parameters by the AWS CLI's own rules for their names."""
    service, operation, *options = words
    client = clients({"s3api": "s3"}.get(service, service))
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = {botocore.xform_name(name, "-"): name for name in model.input_shape.members}
    parameters: dict[str, Any] = {}
    while options:
        option = options.pop(0).removeprefix("--")
        value = options.pop(0) if options and not options[0].startswith("--") else ""
        if option in ("region", "endpoint-url"):
            continue
        name = members[option]
        shape = model.input_shape.members[name]
        parameters[name] = {"boolean": True, "structure": shorthand(shape, value)}.get(shape.type_name, value)
    getattr(client, method)(**parameters)


def shorthand(shape: Any, value: str) -> dict[str, Any]:
    """What the AWS CLI makes of ``Name=value,Name=true`` for a structure."""
    if shape.type_name != "structure" or "=" not in value:
        return {}
    pairs = dict(pair.split("=", 1) for pair in value.split(","))
    is_flag = {name for name, member in shape.members.items() if member.type_name == "boolean"}
    return {name: text == "true" if name in is_flag else text for name, text in pairs.items()}


def own_path_without(tool: str, folder: Path) -> str:
    """A PATH on which everything is but this one program."""
    folder.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for path in Path(directory).glob("*") if Path(directory).is_dir() else ():
            if path.name != tool and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return str(folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def desk(control: Control, built: Path, tmp_path: Path, kept_clients: Callable[[str], Any]) -> Desk:
    """A project with its image, and an account with nothing in it."""
    project = aws_project(tmp_path / "project", control.address)
    project.put_image(built)
    return Desk(project, control, kept_clients)


def copy_of(path: Path) -> Path:
    return Path(shutil.copy(path, path.with_name(f"{path.name}.copy")))
