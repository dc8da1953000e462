"""`register` on the command line: things, certificates and keys for a list, refused lines, repeats, strangers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ota.certificates import keys
from ota.sandbox.process import Address
from tests.fleet.fleet_world import GROUP, ROLE, Fleet, open_fleet, rows
from tests.project import THING
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

MARK = {"managed-by": f"ota-tasks/{THING}"}
MOST_CALLS = 12
SURROUNDINGS = "GetBucketTagging CreateBucket PutBucketVersioning PutPublicAccessBlock PutBucketPolicy PutBucketTagging"


@pytest.fixture
def fleet(tmp_path: Path, clean_sandbox: Address, kept_clients: Callable[[str], Any]) -> Fleet:
    return open_fleet(tmp_path / "project", clean_sandbox, kept_clients)


def register(fleet: Fleet, *flags: str, path: str = "devices.csv") -> Any:
    return fleet.project.run_here("register", "--file", path, *flags)


def test_every_device_gets_thing_certificate_policy_and_group(fleet: Fleet) -> None:
    fleet.write("lamp-1,attic,1.2", "lamp-2,cellar,1.3", header="thing_name,site,board.rev")
    done = register(fleet).done()
    assert done.verbs == [
        ("policy", "created"), ("group", "created"), ("role", "created"), ("bucket", "created"), ("devices", "created"),
    ]  # fmt: skip
    assert fleet.state() == {
        "devices": {
            name: {
                "attributes": {**MARK, "site": site, "board.rev": rev},
                "certificates": [
                    {"status": "ACTIVE", "is the file": True, "has the key": True, "policies": [f"{THING}_policy"]}
                ],
                "key mode": 0o600,
            }
            for name, site, rev in (("lamp-1", "attic", "1.2"), ("lamp-2", "cellar", "1.3"))
        },
        "members": ["lamp-1", "lamp-2"],
        "inputs": [],
        "files": sorted(
            f"{name}/thing_{kind}_{name}.pem.{suffix}"
            for name in ("lamp-1", "lamp-2")
            for kind, suffix in (("private_key", "key"), ("public_key", "key"), ("certificate", "crt"))
        ),
        "failed": [],
        "certificates": fleet.state()["certificates"],
    }


def test_the_role_may_do_no_more_than_register_these_devices(fleet: Fleet) -> None:
    fleet.write(*rows(1))
    register(fleet).done()
    iam = fleet.clients("iam")
    role = iam.get_role(RoleName=ROLE)["Role"]
    condition = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
    assert condition["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    assert {one["Key"]: one["Value"] for one in role["Tags"]} == {"managed-by": "ota-tasks", "ota-thing": THING}

    def may(action: str, resource: str) -> bool:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=role["Arn"], ActionNames=[action], ResourceArns=[resource]
        )
        return answer["EvaluationResults"][0]["EvalDecision"] == "allowed"

    bucket, iot = f"arn:aws:s3:::{THING}-ota-123456789012", "arn:aws:iot:eu-west-1:123456789012"
    assert may("s3:GetObject", f"{bucket}/ota-tasks/{THING}/registration/x.jsonl")
    assert not may("s3:GetObject", f"{bucket}/ota-tasks/{THING}/image.bin")
    assert may("iot:AddThingToThingGroup", f"{iot}:thinggroup/{GROUP}")
    assert not may("iot:AddThingToThingGroup", f"{iot}:thinggroup/other")
    for action in ("iot:UpdateCertificate", "iot:DeleteThing", "iot:CreatePolicy", "iot:Publish", "iam:PassRole"):
        assert not may(action, "*"), action


def test_a_repeat_reuses_every_device_and_new_lines_are_added(fleet: Fleet, control: Control) -> None:
    fleet.write(*rows(3))
    register(fleet).done()
    before = fleet.state()["devices"]
    control.clear_calls()
    assert register(fleet).done().verbs == [("devices", "reused")]
    assert Counter(control.operations()) == Counter(["GetCallerIdentity", "ListThings", "ListCertificates"])
    fleet.write(*rows(5))
    assert register(fleet).done().verbs[-2:] == [("devices", "created"), ("devices", "reused")]
    after = fleet.state()
    assert {name: after["devices"][name] for name in before} == before
    assert after["members"] == rows(5)
    assert after["certificates"] == fleet.state()["certificates"]


@pytest.mark.parametrize("count", [1, 50])
def test_it_costs_twelve_calls_and_one_for_each_hundred(fleet: Fleet, control: Control, count: int) -> None:
    fleet.project.run_here("bucket").done()
    fleet.clients("iot").create_policy(policyName="shared", policyDocument=policy_of(fleet))
    fleet.project.set(policy_name="shared")
    fleet.write(*rows(count))
    control.clear_calls()
    register(fleet).done()
    assert len(control.operations()) <= MOST_CALLS + count // 100, control.operations()
    assert len(fleet.names()) == count


def test_a_key_from_the_factory_never_was_here(fleet: Fleet) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (fleet.project.root_path / "csr").mkdir()
    (fleet.project.root_path / "csr/1.pem").write_text(keys.signing_request(key, "whatever"))
    other = keys.signing_request(ec.generate_private_key(ec.SECP256R1()), "lamp-2")
    fleet.write("lamp-1,csr/1.pem", f'lamp-2,"{other}"', "lamp-3,", header="thing_name,csr")
    register(fleet).done()
    files = fleet.state()["files"]
    assert [one for one in files if "private" in one] == ["lamp-3/thing_private_key_lamp-3.pem.key"]
    assert [one["certificates"][0]["is the file"] for one in fleet.state()["devices"].values()] == [True] * 3
    assert register(fleet).done().verbs == [("devices", "reused")]


def test_refused_lines_are_told_by_number_and_can_be_given_back_in(fleet: Fleet) -> None:
    iot = fleet.clients("iot")
    iot.create_thing(thingName="lamp-2", attributePayload={"attributes": {"owner": "somebody"}})
    fleet.write("lamp-1,attic", "", "lamp-2,cellar", "lamp-3,roof", header="thing_name,site")
    failed = register(fleet).failed("1 of 3 devices were not registered", "line 4: lamp-2: a thing of this name exists")
    assert ("devices", "created") in failed.verbs
    assert iot.describe_thing(thingName="lamp-2")["attributes"] == {"owner": "somebody"}
    assert iot.list_thing_principals(thingName="lamp-2")["principals"] == []
    path = fleet.project.root_path / "devices.failed.csv"
    assert path.read_text() == "thing_name,site\nlamp-2,cellar\n"
    key = fleet.key_path("lamp-2").read_bytes()
    iot.delete_thing(thingName="lamp-2")
    register(fleet, path="devices.failed.csv").done()
    assert fleet.key_path("lamp-2").read_bytes() == key
    register(fleet).done()
    assert not path.exists()


def test_json_tells_everything_in_one_document(fleet: Fleet) -> None:
    fleet.clients("iot").create_thing(thingName="lamp-2")
    path = fleet.project.root_path / "devices.jsonl"
    path.write_text("".join(json.dumps({"thing_name": name, "site": "x"}) + "\n" for name in rows(3)))
    answer = register(fleet, "--json", path="devices.jsonl")
    document = json.loads(answer.out)
    assert answer.status == 1
    (refused,) = document.pop("refused")
    assert (refused["line"], refused["thing_name"]) == (2, "lamp-2")
    del document["outcomes"]
    assert document == {
        "exit_status": 1,
        "list": str(path),
        "group": GROUP,
        "folder": str(fleet.folder_path),
        "devices": 3,
        "registered": 2,
        "reused": 0,
        "failed_list": str(path.with_name("devices.failed.jsonl")),
    }
    assert path.with_name("devices.failed.jsonl").read_text() == '{"thing_name": "lamp-2", "site": "x"}\n'


def test_mistakes_in_the_list_are_told_before_any_call_or_key(fleet: Fleet, control: Control) -> None:
    fleet.write("lamp-1", "my lamp", "lamp-1")
    control.clear_calls()
    register(fleet).failed("line 3", '"my lamp"', "line 4: lamp-1 is on line 2 already", "nothing was done")
    assert control.operations() == []
    assert not fleet.folder_path.exists()


def test_a_thing_of_ours_whose_key_is_lost_is_refused_and_one_whose_certificate_file_is_lost_is_adopted(
    fleet: Fleet,
) -> None:
    fleet.write(*rows(3))
    register(fleet).done()
    before = fleet.state()
    fleet.certificate_path("lamp-1").unlink()
    fleet.certificate_path("lamp-2").unlink()
    fleet.key_path("lamp-2").unlink()
    failed = register(fleet).failed("line 3: lamp-2", "whose key is not here")
    assert fleet.device("lamp-1") == before["devices"]["lamp-1"]
    (command,) = re.findall(r"`(invoke delete.certificate [^`]*)`", failed.err)
    fleet.project.paste(command).done()
    register(fleet).done()
    assert fleet.state() == before


def test_an_inactive_certificate_is_told_with_the_command_that_activates_it(fleet: Fleet) -> None:
    fleet.write(*rows(2))
    register(fleet).done()
    (arn,) = fleet.clients("iot").list_thing_principals(thingName="lamp-2")["principals"]
    fleet.clients("iot").update_certificate(certificateId=arn.rpartition("/")[2], newStatus="INACTIVE")
    register(fleet).failed("line 3: lamp-2: its certificate is INACTIVE", "aws iot update-certificate")


def test_a_task_of_somebody_else_is_waited_for_named_and_left_alone(fleet: Fleet, control: Control) -> None:
    task_id = start_foreign_task(fleet, control)
    fleet.project.set(lock_timeout_s="0")
    fleet.write(*rows(2))
    register(fleet).failed(f"The registration task {task_id} of somebody else still runs", "theirs")
    iot = fleet.clients("iot")
    assert iot.describe_thing_registration_task(taskId=task_id)["status"] == "InProgress"
    assert fleet.names() == []
    control.pause(0)
    control.advance_clock(3600)
    register(fleet).done()
    assert fleet.names() == rows(2)


def test_a_role_that_iam_has_not_spread_yet_is_waited_for(fleet: Fleet, control: Control) -> None:
    control.iam_delay(1)
    fleet.write(*rows(2))
    register(fleet).done()
    assert fleet.names() == rows(2)


def test_a_list_is_made_up_in_the_sandbox_only(fleet: Fleet) -> None:
    fleet.project.run_here("register", "--count", "2").failed("only the sandbox does", "invoke sandbox register")
    fleet.project.run_here("register").failed("Name the list of devices")


def policy_of(fleet: Fleet) -> str:
    """The document that the tool gives its policy."""
    from ota.policy_documents import device_policy_document

    assert fleet.project
    return json.dumps(device_policy_document("aws", "eu-west-1", "123456789012"))


def start_foreign_task(fleet: Fleet, control: Control) -> str:
    """A long task of somebody else."""
    control.pause(600)
    iot, s3, iam = (fleet.clients(service) for service in ("iot", "s3", "iam"))
    s3.create_bucket(Bucket="theirs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="theirs", Key="in.jsonl", Body=b'{"ThingName": "pump"}\n')
    role = iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=trust_document())["Role"]["Arn"]
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}
    template = {"Parameters": {"ThingName": {"Type": "String"}}, "Resources": {"thing": thing}}
    task_id: str = iot.start_thing_registration_task(
        templateBody=json.dumps(template), inputFileBucket="theirs", inputFileKey="in.jsonl", roleArn=role
    )["taskId"]
    return task_id
