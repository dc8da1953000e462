"""``sandbox``: the whole loop on this machine, and nothing of the user's touched."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ota.sandbox import process
from ota.sandbox.firmware import lay_out
from ota.sandbox.process import Address
from tests.account import EVERYTHING, account_at
from tests.project import (
    ACCESS_KEY,
    APPLICATION,
    HEADER,
    IMAGE,
    SECRET_KEY,
    THING,
    Project,
    aws_environment,
    built_tree,
)
from tests.sandbox_control import Control

STAND_IN_THING = "sandbox-thing"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Iterator[Project]:
    """A fresh clone of a user without an AWS account, with a sandbox of its own."""
    project = Project(tmp_path_factory.mktemp("scope") / "project", {}, has_firmware=False)
    shutil.copytree(built / "certs", project.root_path / ".sandbox/firmware/certs")
    yield project
    process.stop(project.root_path / ".sandbox")


@pytest.fixture
def project(shared_project: Project) -> Project:
    """The shared project as it was, and its sandbox empty."""
    shared_project.run_here("sandbox").done()
    Control(address_of(shared_project)).reset()
    users = ("applications", "tools", "certs", "README.md", "certificates", ".env")
    for name in (*users, ".sandbox/certificates", ".sandbox/trees", ".sandbox/build.log"):
        path = shared_project.root_path / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    Project(shared_project.root_path, {}, has_firmware=False)
    return shared_project


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """Somebody else's endpoint, and the requests that came to it."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.requestline)
            self.send_error(500)

        do_GET = do_HEAD = do_PUT = do_DELETE = do_CONNECT = do_POST  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


def address_of(project: Project) -> Address:
    found = process.read_address(project.root_path / ".sandbox")
    assert found is not None
    return found


def files_of(folder: Path) -> dict[Path, bytes]:
    """Every file of the user's and what it holds."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    hidden = (".sandbox", "__pycache__")
    return {path: path.read_bytes() for path in paths if not any(part in hidden for part in path.parts)}


class TestWholeLoop:
    def test_works_from_nothing_and_again_and_cleans(self, project: Project) -> None:
        first = project.run("sandbox", "all").done()
        account = account_at(address_of(project))
        assert account.iot.describe_thing(thingName=STAND_IN_THING)["attributes"]["managed-by"] == "ota-tasks"
        (update,) = account.iot.list_ota_updates()["otaUpdates"]
        status = account.iot.get_ota_update(otaUpdateId=update["otaUpdateId"])["otaUpdateInfo"]["otaUpdateStatus"]
        assert status == "CREATE_COMPLETE"
        assert ("update", "created") in first.verbs
        again = project.run_here("sandbox", "all").done()
        assert {verb for _, verb in again.verbs} == {"reused"}
        cleaned = project.run_here("sandbox", "clean").done()
        assert {verb for _, verb in cleaned.verbs} == {"deleted", "changed"}
        assert account.there() == set()

    def test_the_first_line_names_the_sandbox(self, project: Project) -> None:
        first_line = project.run_here("sandbox", "bucket").done().err.splitlines()[0]
        assert first_line.startswith("sandbox")
        assert address_of(project).endpoint_url in first_line

    def test_a_variable_is_as_good_as_the_word(self, project: Project) -> None:
        for environ in ({"OTA_SANDBOX": "1"}, {"OTA_SANDBOX": "true"}):
            assert project.run_here("bucket", **environ).done().err.startswith("sandbox")
        project.run_here("bucket", OTA_SANDBOX="0").failed("No AWS credentials")
        project.run_here("bucket", OTA_SANDBOX="maybe").failed("OTA_SANDBOX is 'maybe': write 1")
        (project.root_path / ".env").write_text("OTA_SANDBOX=1\n")
        assert project.run_here("bucket").done().err.startswith("sandbox")
        assert project.run_here("sandbox", "bucket").done().err.startswith("sandbox")

    def test_the_build_is_done_and_logged_in_the_sandbox_s_folder(self, project: Project) -> None:
        project.run_here("sandbox", "build").done()
        assert (project.root_path / f".sandbox/firmware/build/{APPLICATION}-update_signed.bin").is_file()
        assert (project.root_path / ".sandbox/build.log").is_file()

    def test_values_that_the_user_gave_are_used(self, project: Project) -> None:
        project.set(thing_name="my-lamp", target_application="object-detection")
        project.run_here("sandbox", "thing").done()
        things = account_at(address_of(project)).iot.list_things()["things"]
        assert [one["thingName"] for one in things] == ["my-lamp"]


class TestNothingOfTheUsers:
    """A user with an account, a key, a header set by hand and a proxy; the sandbox must meet none of it."""

    @pytest.fixture
    def settled(self, project: Project, trap: tuple[str, list[str]], built: Path) -> Project:
        """Files of the user's where the tool would write, and settings that lead to them."""
        endpoint_url, _ = trap
        root_path = project.root_path
        (root_path / "certificates").mkdir()
        for name in ("private_key", "public_key"):
            (root_path / f"certificates/thing_{name}_{STAND_IN_THING}.pem.key").write_text("the user's own\n")
        (root_path / f"certificates/thing_certificate_{STAND_IN_THING}.pem.crt").write_text("the user's own\n")
        lay_out(root_path)
        shutil.copytree(built / "certs", root_path / "certs")
        header = root_path / HEADER
        header.write_text(header.read_text().replace("dummy_thingname", "set-by-hand"))
        (root_path / "config").write_text("[profile mine]\nregion = us-west-2\naws_access_key_id = AKIAREAL\n")
        key_path = str(root_path / f"certificates/thing_private_key_{STAND_IN_THING}.pem.key")
        project.set(
            credentials_path="certificates",
            private_key_path=key_path,
            firmware_root=".",
            build_dir=str(root_path / "build"),
            build_script_path=str(root_path / "tools/scripts/build.sh"),
            existing_certificate_arn=f"arn:aws:iot:us-west-2:111122223333:cert/{'a' * 64}",
            permissions_boundary="arn:aws:iam::111122223333:policy/edge",
        )
        user = Project(root_path / "unused", {}, has_firmware=False)
        shutil.rmtree(user.root_path)
        user.root_path = root_path
        user.environ |= {
            "HOME": str(root_path),
            "AWS_CONFIG_FILE": str(root_path / "config"),
            "AWS_PROFILE": "mine",
            "AWS_REGION": "us-west-2",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ENDPOINT_URL_IOT": endpoint_url,
            "AWS_ENDPOINT_URL_S3": endpoint_url,
            "HTTP_PROXY": endpoint_url,
            "http_proxy": endpoint_url,
            "HTTPS_PROXY": endpoint_url,
            "OTA_CREDENTIALS_PATH": "certificates",
        }
        return user

    def test_no_file_is_written_and_no_call_goes_out(self, settled: Project, trap: tuple[str, list[str]]) -> None:
        before = files_of(settled.root_path)
        done = settled.run_here("sandbox", "all").done()
        (image,) = settled.root_path.glob(f".sandbox/trees/*/build/{IMAGE}")
        assert b"set-by-hand" not in image.read_bytes()[:4096]
        assert f"works on a copy of {settled.root_path}" in done.err
        assert (
            "its own permissions_boundary, existing_certificate_arn and private_key_path; yours are not used"
            in done.err
        )
        settled.run_here("sandbox", "clean", "--local").done()
        assert files_of(settled.root_path) == before
        assert "set-by-hand" in (image.parents[1] / HEADER).read_text()
        assert trap[1] == []
        settings = json.loads((settled.root_path / "config.json").read_text())
        assert settings["firmware_root"] == "."


class TestOrder:
    def test_after_another_task_it_is_refused(self, project: Project) -> None:
        environ = aws_environment(address_of(project))
        result = project.run_here("bucket", "sandbox", "role", OTA_THING_NAME=THING, **environ).failed("first")
        assert "invoke sandbox" in result.err
        assert "role" not in {noun for noun, _ in result.verbs}

    def test_twice_is_once(self, project: Project) -> None:
        project.run_here("sandbox", "sandbox", "bucket").done()
        project.run_here("sandbox", "bucket", "sandbox.start", "role").done()


class TestWith:
    def test_changes_settings_for_the_rest_of_the_line_and_for_no_other(self, project: Project) -> None:
        result = project.run_here("sandbox", "with", "--thing-name", "lamp-2", "thing").done()
        assert "lamp-2" in result.err
        project.run_here("sandbox", "thing").done()
        things = account_at(address_of(project)).iot.list_things()["things"]
        assert sorted(one["thingName"] for one in things) == ["lamp-2", STAND_IN_THING]

    def test_wins_over_the_environment_and_the_file(self, project: Project) -> None:
        project.set(policy_name="from-file")
        shown = project.run_here(
            "sandbox", "with", "--policy-name", "from-flag", "settings", "--json", OTA_POLICY_NAME="from-environment"
        ).done()
        assert json.loads(shown.out)["policy_name"] == {
            "value": "from-flag",
            "written": "from-flag",
            "source": "with flag",
        }

    def test_reads_another_file(self, project: Project, tmp_path: Path) -> None:
        other = tmp_path / "other.json"
        other.write_text(json.dumps({"thing_name": "from-the-other-file"}))
        result = project.run_here("with", "--config-file", str(other), "settings").done()
        assert "from-the-other-file" in result.out
        project.run_here("with", "--config-file", str(tmp_path / "none.json"), "settings").failed("none.json")

    def test_after_another_task_it_is_refused(self, project: Project) -> None:
        result = project.run_here("sandbox", "bucket", "with", "--thing-name", "lamp-2", "role").failed("comes first")
        assert "role" not in {noun for noun, _ in result.verbs}

    def test_a_flag_that_is_none_is_refused(self, project: Project) -> None:
        result = project.run_here("with", "--thing-nam", "lamp-2", "settings").failed("No idea what '--thing-nam' is!")
        assert result.out == ""

    def test_what_a_value_may_lead_to_is_told(self, project: Project) -> None:
        long = "a" * 65
        said = project.run_here("sandbox", "with", "--thing-name", long, "list.things").done().err
        assert f"with thing_name = {long}" in said
        assert "64" in said.partition("note: ")[2]

    def test_a_wrong_value_names_the_flag(self, project: Project) -> None:
        project.run_here("sandbox", "with", "--thing-name", "lamp 2", "thing").failed("--thing-name", "lamp 2")

    def test_leads_out_of_the_sandbox_s_folders_when_told_to(self, project: Project, tmp_path: Path) -> None:
        project.run_here("sandbox", "with", "--credentials-path", str(tmp_path / "mine"), "thing").done()
        assert (tmp_path / f"mine/thing_private_key_{STAND_IN_THING}.pem.key").is_file()
        assert not (project.root_path / ".sandbox/certificates").exists()

    def test_a_boundary_given_so_counts_in_the_sandbox(self, project: Project) -> None:
        arn = "arn:aws:iam::123456789012:policy/edge"
        flags = ("with", "--permissions-boundary", arn)
        project.run_here("sandbox", *flags, "role").failed("permissions_boundary", arn)
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam = account_at(address_of(project)).iam
        iam.create_policy(PolicyName="edge", PolicyDocument=json.dumps(document))
        project.run_here("sandbox", *flags, "role").done()
        role = iam.get_role(RoleName=f"{STAND_IN_THING}_role")["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn


class TestSettings:
    def test_each_is_shown_with_its_value_and_who_said_so(self, project: Project) -> None:
        project.set(thing_name=THING)
        shown = project.run_here("settings", OTA_ROLE_PREFIX="team", COLUMNS="300").done().out
        assert any(line.split()[:2] == ["iam_role_name", "team-lamp_role"] for line in shown.splitlines())
        assert "OTA_ROLE_PREFIX" in shown

    def test_in_the_sandbox_they_lead_nowhere_else(self, project: Project) -> None:
        said = json.loads(project.run_here("sandbox", "settings", "--json").done().out)
        assert said["thing_name"]["value"] == STAND_IN_THING
        for name in ("credentials_path", "firmware_root"):
            assert said[name]["value"].startswith(".sandbox/")


class TestStopAndReset:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[Project]:
        """A project whose sandbox may be stopped."""
        project = Project(tmp_path / "project", {}, has_firmware=False)
        yield project
        if (project.root_path / ".sandbox").is_dir():
            process.stop(project.root_path / ".sandbox")

    def test_stop_ends_it_and_is_no_failure_twice(self, own: Project) -> None:
        own.run_here("sandbox", "bucket").done()
        pid = address_of(own).pid
        stopped = own.run_here("sandbox.stop").done()
        assert stopped.verbs == [("sandbox", "deleted")]
        assert process.read_address(own.root_path / ".sandbox") is None
        pause = threading.Event()
        assert any(not _is_alive(pid) or pause.wait(0.05) for _ in range(200))
        assert (own.root_path / ".sandbox/firmware").is_dir()
        assert own.run_here("sandbox.stop").done().verbs == [("sandbox", "absent")]
        assert own.run_here("sandbox.reset").done().verbs == [("files", "deleted")]
        assert own.run_here("sandbox.reset").done().verbs == [("files", "absent")]

    def test_reset_forgets_everything_and_the_chain_goes_on(self, project: Project, built: Path) -> None:
        before = address_of(project)
        done = project.run_here("sandbox", "thing", "sandbox.reset", "bucket").done()
        assert [noun for noun, verb in done.verbs if verb == "deleted"] == ["sandbox", "files"]
        assert done.verbs[-1] == ("bucket", "created")
        assert address_of(project).pid != before.pid
        assert account_at(address_of(project)).iot.list_things()["things"] == []
        assert not (project.root_path / ".sandbox/certificates").exists()
        shutil.copytree(built / "certs", project.root_path / ".sandbox/firmware/certs")  # for the tests after this one

    def test_a_sandbox_that_cannot_start_says_why(self, own: Project) -> None:
        (own.root_path / ".sandbox").write_text("in the way")
        own.run_here("sandbox", "bucket").failed(".sandbox")

    def test_a_pause_that_is_no_number_has_a_sentence(self, own: Project) -> None:
        own.run_here("sandbox", "bucket", OTA_SANDBOX_PAUSE_S="soon").failed("OTA_SANDBOX_PAUSE_S", "soon")

    @pytest.mark.parametrize("port", ["https", "0", "65536", "-1"])
    def test_a_port_that_is_none_has_a_sentence(self, own: Project, port: str) -> None:
        own.run_here("sandbox", "bucket", OTA_SANDBOX_HTTPS_PORT=port).failed("OTA_SANDBOX_HTTPS_PORT", port)

    def test_a_port_that_is_taken_has_a_sentence(self, own: Project) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            own.run_here("sandbox", "bucket", OTA_SANDBOX_HTTPS_PORT=port).failed(f"Port {port}", "in use", "unset it")

    def test_without_moto_it_says_what_to_install(self, own: Project, tmp_path: Path) -> None:
        (tmp_path / "moto.py").write_text("raise ModuleNotFoundError(\"No module named 'moto'\", name='moto')\n")
        path = os.pathsep.join([str(tmp_path), own.environ["PYTHONPATH"]])
        own.run("sandbox", "all", PYTHONPATH=path).failed("moto", "pip install")


class TestEnvironment:
    def test_any_client_finds_the_sandbox_by_the_printed_lines(self, project: Project) -> None:
        project.run_here("sandbox", "bucket").done()
        program = (
            "import boto3, os; print([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']], "
            "[name for name in os.environ if name.startswith('AWS_ENDPOINT_URL_')], os.environ['no_proxy'])"
        )
        script = f'eval "$("{sys.executable}" -m invoke sandbox.env)" && exec "{sys.executable}" -c "{program}"'
        nowhere = "http://127.0.0.1:9"
        elsewhere = {
            "AWS_PROFILE": "nobody",
            "AWS_DEFAULT_PROFILE": "nobody",
            "AWS_ENDPOINT_URL": nowhere,
            "AWS_ENDPOINT_URL_S3": nowhere,
            "AWS_ENDPOINT_URL_IOT_WIRELESS": nowhere,
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_USE_DUALSTACK_ENDPOINT": "true",
            "AWS_SECRET_ACCESS_KEY": "x",
            "HTTP_PROXY": nowhere,
            "http_proxy": nowhere,
            "no_proxy": "example.com",
        }
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=project.root_path,
            env={**project.environ, **elsewhere},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"{STAND_IN_THING}-ota-" in done.stdout
        assert done.stdout.strip().endswith("'] [] example.com,127.0.0.1,localhost")

    def test_a_device_of_ones_own_finds_the_broker_by_them(self, project: Project) -> None:
        script = f'eval "$("{sys.executable}" -m invoke sandbox.env)" && env'
        done = subprocess.run(
            ["bash", "-ec", script], cwd=project.root_path, env=project.environ, capture_output=True, text=True
        )
        found = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("OTA_SANDBOX_"))
        context = ssl.create_default_context(cafile=found["OTA_SANDBOX_CA"])
        context.check_hostname = False
        where = found["OTA_SANDBOX_MQTT_HOST"], int(found["OTA_SANDBOX_MQTT_PORT"])
        with socket.create_connection(where, timeout=10) as plain, context.wrap_socket(plain) as secured:
            assert secured.version() in ("TLSv1.2", "TLSv1.3")
        project.run_here("sandbox", "list.things", **found).done()

    def test_nothing_but_shell_lines_is_printed(self, project: Project) -> None:
        result = project.run_here("sandbox.env").done()
        assert all(
            line.startswith(("export AWS_", "export OTA_SANDBOX_", "unset AWS_")) for line in result.out.splitlines()
        )
        assert result.err == ""


def test_everything_of_a_run_is_in_the_sandbox(project: Project) -> None:
    """The objects' kinds, asked under the names of a thing of the user's."""
    project.set(thing_name=THING)
    project.run_here("sandbox", "all").done()
    assert account_at(address_of(project)).there() == EVERYTHING


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
