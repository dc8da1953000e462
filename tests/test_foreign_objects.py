"""Own and foreign operations in any order: whatever this tool did not make stays byte for byte what it was.

Somebody at work in the same account makes twins of our names and look-alikes, puts objects into our bucket, hangs
certificates and policies on ours, and points updates at them; command lines of two things, which may share names, come
in between. None of them is forced, and none deletes by name what a twin bears.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ota import ownership
from ota.sandbox.process import Address
from tests.conftest import ACCOUNT, REGION
from tests.hand_made import POLICY_DOCUMENT, Hands, id_of
from tests.neighbours import OURS, Neighbours
from tests.project import Project, Result, aws_project, built_tree
from tests.sandbox_world import trust_document

THINGS = ("lamp", "lamp-2")
STRANGER = "lam"  # a thing of the neighbours
KINDS = ("things", "certificates", "policies", "buckets", "roles", "managed_policies", "updates", "jobs", "streams")
SHARED = ("--policy-name", "ota", "--iam-role-name", "ota", "--bucket-name", f"ota-{ACCOUNT}", "--update-name", "ota")
NAMES: dict[str, tuple[str, ...]] = {
    "default": (),
    "shared": SHARED,
    "another update": ("--update-name", "next"),
    "a look-alike's": (
        *("--policy-name", "lamp_policy_old", "--iam-role-name", "lamp_role_old"),
        *("--bucket-name", f"my-lamp-ota-{ACCOUNT}", "--update-name", "lamp_update_2"),
    ),
    "a neighbour's": (
        *("--policy-name", f"{OURS}_policy", "--iam-role-name", f"{OURS}_role"),
        *("--bucket-name", f"{OURS}-ota-{ACCOUNT}", "--update-name", f"{OURS}_update"),
    ),
}
WRITING = ("all", "clean", "thing", "policy", "bucket", "role", "update")
READING = (("plan",), ("clean", "--plan"), ("status",), ("doctor",), ("list", "--mine"))
DELETING = ("thing", "policy", "bucket", "role", "update")
KEYS = ("holiday.jpg", "ota-tasks/readme.txt", "ota-tasks/lamp-22/image.bin", "ota-tasks", "Ota-tasks/lamp/image.bin")

SOME = 6

things = st.sampled_from(THINGS)
names = st.sampled_from(sorted(NAMES))


class Account(RuleBasedStateMachine):
    """One account; ``foreign`` has the place of everything foreign to its hash."""

    neighbours: ClassVar[Neighbours]
    hands: ClassVar[Hands]
    address: ClassVar[Address]
    built: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.root_path = Path(tempfile.mkdtemp())
        self.project: Project = aws_project(self.root_path / "project", self.address)
        self.project.put_image(self.built)
        self.project.set(overwrite_header="true", role_settle_timeout_s="0")
        self.twins: set[str] = set()
        self.foreign: dict[str, str] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root_path)

    @initialize()
    def move_in(self) -> None:
        self.neighbours.move_in()
        self.foreign = dict(self.neighbours.objects)

    # --- own operations

    @rule(thing=things, chosen=names, task=st.sampled_from(WRITING))
    def run(self, thing: str, chosen: str, task: str) -> None:
        self._run(thing, chosen, task)

    @rule(thing=things, chosen=names)
    def come_and_go(self, thing: str, chosen: str) -> None:
        for task in ("all", "clean"):
            self._run(thing, chosen, task)

    @rule(thing=things, chosen=names, words=st.sampled_from(READING))
    def look(self, thing: str, chosen: str, words: tuple[str, ...]) -> None:
        before = self.neighbours.control.objects()
        self._run(thing, chosen, *words)
        assert self.neighbours.control.objects() == before

    @rule(thing=things, noun=st.sampled_from(DELETING))
    def delete(self, thing: str, noun: str) -> None:
        if f"{noun} {thing}" not in self.twins:
            self._run(thing, "default", f"delete.{noun}")

    # --- foreign operations

    @rule(thing=things, noun=st.sampled_from(DELETING), marked=st.booleans())
    def make_twin(self, thing: str, noun: str, marked: bool) -> None:
        """An object by one of our names, unmarked or with the marks of the neighbour's thing."""
        self._make_twin(thing, noun, OURS if marked else "")

    @rule(thing=things, marked=st.booleans())
    def make_all_twins(self, thing: str, marked: bool) -> None:
        for noun in DELETING:
            self._make_twin(thing, noun, OURS if marked else "")

    def _make_twin(self, thing: str, noun: str, owner: str) -> None:
        bucket = f"{thing}-ota-{ACCOUNT}"
        makers: dict[str, Callable[[], object]] = {
            "thing": lambda: self.hands.iot.create_thing(
                thingName=thing, attributePayload={"attributes": ownership.marks(owner) if owner else {}}
            ),
            "policy": lambda: self.hands.policy(f"{thing}_policy", ours_for=owner),
            "bucket": lambda: self.hands.bucket(bucket, ours_for=owner, holds=("image.bin",)),
            "role": lambda: self.hands.role(f"{thing}_role", ours_for=owner),
            "update": lambda: self._make_update(f"{thing}_update", bucket, "lamp_role_old"),
        }
        if self._there(noun, thing):
            return
        self.twins.add(f"{noun} {thing}")
        self._make(makers[noun])

    @rule(thing=things, key=st.sampled_from(KEYS))
    def put_object(self, thing: str, key: str) -> None:
        self._make(lambda: self.hands.s3.put_object(Bucket=f"{thing}-ota-{ACCOUNT}", Key=key, Body=b"somebody's"))

    @rule(thing=things, active=st.booleans())
    def hang_certificate(self, thing: str, active: bool) -> None:
        """A certificate on our policy, and on another thing where it is active."""

        def make() -> None:
            arn = self.hands.certificate(*([STRANGER] if active else []), exclusive=False)
            self.hands.iot.update_certificate(certificateId=id_of(arn), newStatus="ACTIVE" if active else "INACTIVE")
            self.hands.iot.attach_policy(policyName=f"{thing}_policy", target=arn)

        self._make(make)

    @rule(thing=things)
    def share_certificate(self, thing: str) -> None:
        """A certificate on our thing and on another one."""
        self._make(lambda: self.hands.certificate(thing, STRANGER))

    @rule(thing=things, number=st.integers(0, 2))
    def point_update(self, thing: str, number: int) -> None:
        """An update of somebody's that takes an image out of our bucket, with our role."""
        self._make(lambda: self._make_update(f"{thing}_update-{number}", f"{thing}-ota-{ACCOUNT}", f"{thing}_role"))

    @rule(thing=things)
    def make_job(self, thing: str) -> None:
        """A job with the id that our update's job has or will have."""
        target = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{STRANGER}"
        self.twins.add(f"update {thing}")
        self._make(lambda: self.hands.iot.create_job(jobId=f"AFR_OTA-{thing}_update", targets=[target], document="{}"))

    @rule(thing=things)
    def attach_to_role(self, thing: str) -> None:
        """A policy of somebody's on our role."""

        def make() -> None:
            self.hands.iam.create_policy(PolicyName=f"of-{thing}", PolicyDocument=POLICY_DOCUMENT)
            self.hands.iam.attach_role_policy(
                RoleName=f"{thing}_role", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/of-{thing}"
            )

        self._make(make)

    @rule(name=st.sampled_from(["ota_role", "lamp_role2", "ota-role"]))
    def make_look_alike_role(self, name: str) -> None:
        self._make(lambda: self.hands.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_document()))

    @invariant()
    def foreign_objects_are_what_they_were(self) -> None:
        now = self.neighbours.control.objects()
        assert [place for place, was in self.foreign.items() if now.get(place) != was] == []

    # --- help

    def _run(self, thing: str, chosen: str, *words: str) -> Result:
        result = self.project.run_here("with", "--thing-name", thing, *NAMES[chosen], *words)
        assert "Traceback" not in result.text, result.text
        return result

    def _make(self, make: Callable[[], object]) -> None:
        """Make something foreign, if AWS lets it be made; what is new in the account then is foreign."""
        before = self.neighbours.control.objects()
        with contextlib.suppress(ClientError, IndexError):  # no such bucket of ours yet, or nothing in it
            make()
        now = self.neighbours.control.objects()
        new = {place for place in now if place not in before and set(place.split("/")) & set(KINDS)}
        self.foreign = {place: one for place, one in now.items() if place in self.foreign or place in new}

    def _make_update(self, name: str, bucket: str, role: str) -> None:
        versions = self.hands.s3.list_object_versions(Bucket=bucket).get("Versions", [])
        self.hands.update(name, STRANGER, role=role, bucket=bucket, key=versions[0]["Key"])

    def _there(self, noun: str, thing: str) -> bool:
        plural = {"policy": "policies"}.get(noun, f"{noun}s")
        name = {"thing": thing, "bucket": f"{thing}-ota-{ACCOUNT}"}.get(noun, f"{thing}_{noun}")
        return name in self.hands.names()[plural]


@pytest.fixture
def machine(
    clean_sandbox: Address, neighbours: Neighbours, iot: Any, s3: Any, iam: Any, tmp_path_factory: Any
) -> Iterator[type[Account]]:
    Account.address, Account.neighbours, Account.hands = clean_sandbox, neighbours, Hands(iot, s3, iam)
    Account.built = built_tree(tmp_path_factory.getbasetemp())
    yield Account
    neighbours.move_in()


@pytest.fixture
def account(machine: type[Account]) -> Iterator[Account]:
    """The same by hand: the orders that matter most."""
    account = machine()
    account.move_in()
    yield account
    account.teardown()


@pytest.mark.parametrize(
    "chosen", [pytest.param(name, marks=pytest.mark.long if name == "shared" else ()) for name in sorted(NAMES)]
)
@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "another thing's"])
def test_twins_stay_what_they_were(account: Account, marked: bool, chosen: str) -> None:
    account.make_all_twins(thing="lamp", marked=marked)
    account.come_and_go(thing="lamp", chosen=chosen)
    account.foreign_objects_are_what_they_were()


def test_what_hangs_on_ours_stays_what_it_was(account: Account) -> None:
    account.run(thing="lamp", chosen="default", task="all")
    for key in KEYS:
        account.put_object(thing="lamp", key=key)
    for active in (True, False):
        account.hang_certificate(thing="lamp", active=active)
    account.share_certificate(thing="lamp")
    account.attach_to_role(thing="lamp")
    account.point_update(thing="lamp", number=0)
    account.run(thing="lamp", chosen="default", task="clean")
    account.foreign_objects_are_what_they_were()


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(SOME, 12, id="some"), pytest.param(30, 25, id="many", marks=pytest.mark.long)],
)
def test_foreign_objects_stay_what_they_were(machine: type[Account], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            derandomize=True,  # the same orders each time; SOME and the long numbers say how far it searches
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
