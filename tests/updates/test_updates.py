from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ota.errors import InTheWay, NotOurs, OtaError, PermissionDenied, UpdateFailed, WaitTimeout
from ota.images import image_key
from ota.messages import command
from ota.outcomes import Action, Change, Outcome, Verb
from ota.ownership import marks
from ota.roles.permissions import role_arn, role_permissions_document, role_trust_document
from ota.roles.roles import WantedRole, decide_role, delete_role, find_role_with_policies, make_role
from ota.settings.readers import AbortCriterion
from ota.updates.jobs import Execution, Job, Patience, find_job, list_jobs
from ota.updates.requests import (
    COMPLETE,
    Update,
    UpdateRequest,
    create_update_request,
    failure_of,
    has_same_content,
    update_from,
)
from ota.updates.rollout_rules import RolloutRules
from ota.updates.updates import (
    FoundUpdate,
    decide_update,
    decide_update_deletion,
    delete_update,
    find_update,
    list_updates,
    make_update,
    wait_at_rest,
)
from tests.interruptions import repeated_after_every_kill
from tests.sandbox_control import Control

ACCOUNT = "123456789012"
REGION = "eu-west-1"
THING = "lamp"
THING_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{THING}"
NAME = "lamp-update"
JOB = f"AFR_OTA-{NAME}"
BUCKET = f"lamp-ota-{ACCOUNT}"
ROLE = "lamp_role"
SHA256 = "ab" * 32
KEY = image_key(THING, SHA256, "app.bin")
REQUEST = UpdateRequest(
    update_id=NAME,
    thing_name=THING,
    targets=(THING_ARN,),
    role_arn=role_arn("aws", ACCOUNT, ROLE),
    bucket=BUCKET,
    key=KEY,
    image_sha256=SHA256,
    file_name="non_secure image",
    signature="c2lnbmF0dXJl",
)
OTHER = replace(REQUEST, signature="b3RoZXI=")
GOLDEN = Path(__file__).parents[1] / "golden"


class Time:
    """A clock that only sleeping moves; it takes the sandbox's clock along."""

    def __init__(self, control: Control | None = None) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self._control = control

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if self._control:
            self._control.advance_clock(seconds)

    def patience(self, **bounds: float) -> Patience:
        return Patience(**bounds, sleep=self.sleep, clock=self.clock)


@dataclass(frozen=True)
class World:
    """A thing, a role, a bucket with an image, and the clients to reach them."""

    iot: Any
    iam: Any
    s3: Any
    control: Control
    jobs_data: Any

    def build(self) -> None:
        self.iot.create_thing(thingName=THING)
        self.make_role()
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"image")

    def make_role(self) -> None:
        trust = role_trust_document(ACCOUNT, REGION, "aws")
        permissions = role_permissions_document("aws", REGION, ACCOUNT, BUCKET, REQUEST.role_arn)
        found = find_role_with_policies(self.iam, ROLE, THING)
        make_role(self.iam, decide_role(self.iam, found, WantedRole(ROLE, trust, permissions, THING)))

    def drop_role(self) -> None:
        delete_role(self.iam, ROLE)

    def ensure(self, request: UpdateRequest = REQUEST, **options: Any) -> Outcome[Update]:
        """What a run does: look, wait, decide, make."""
        return self.ensure_beside(find_update(self.iot, NAME), request, **options)

    def ensure_beside(
        self,
        existing: Update | None,
        request: UpdateRequest = REQUEST,
        patience: Patience | None = None,
        **options: Any,
    ) -> Outcome[Update]:
        """What a run does that found ``existing``."""
        patience = patience or Time(self.control).patience()
        update = wait_at_rest(self.iot, existing, patience) if existing else None
        change = decide_update(self.iot, FoundUpdate(update, has_image=True), request, **options)
        return make_update(self.iot, change, **options, patience=patience)

    def delete(self, **options: Any) -> Outcome[None]:
        options = {"patience": Time(self.control).patience(), **options}
        return delete_update(self.iot, NAME, **options)

    def decide(self, owner: str | None = THING, *, lost_role: str = "") -> Change:
        """What clean decides after its look."""
        found, job = find_update(self.iot, NAME), find_job(self.iot, JOB)
        return decide_update_deletion(found, job, NAME, owner, lost_role=lost_role)

    def make_foreign(self, request: UpdateRequest = REQUEST) -> None:
        body = create_update_request(request)
        del body["additionalParameters"], body["tags"]
        self.iot.create_ota_update(**body)

    def let_device_begin(self) -> None:
        self.jobs_data.start_next_pending_job_execution(thingName=THING)

    def let_device_finish(self) -> None:
        self.let_device_begin()
        self.jobs_data.update_job_execution(thingName=THING, jobId=JOB, status="SUCCEEDED")

    def left(self) -> list[str]:
        updates = [one["otaUpdateId"] for one in self.iot.list_ota_updates()["otaUpdates"]]
        jobs = [one["jobId"] for one in self.iot.list_jobs()["jobs"]]
        return [*updates, *jobs, *(one["streamId"] for one in self.iot.list_streams()["streams"])]

    def state(self) -> tuple[str, str, int]:
        """Status and signature of the update, and how many objects there are: update, job and stream make three."""
        found = find_update(self.iot, NAME)
        assert found is not None
        return found.status, found.signature, len(self.left())


@pytest.fixture
def world(iot: Any, iam: Any, s3: Any, jobs_data: Any, control: Control) -> World:
    made = World(iot, iam, s3, control, jobs_data)
    made.build()
    control.clear_calls()
    return made


def readable(document: Any) -> Any:
    """The request as JSON; the signature's bytes as the text that they are."""
    return json.loads(json.dumps(document, default=lambda value: value.decode("ascii")))


def test_the_request_is_the_recorded_one() -> None:
    request = replace(REQUEST, version_id="v1", rules=RolloutRules(in_progress_timeout_min=60))
    assert readable(create_update_request(request)) == json.loads((GOLDEN / "create_ota_update.json").read_text())


def test_a_request_without_version_and_timeout_names_neither() -> None:
    body = create_update_request(REQUEST)
    assert body["files"][0]["fileLocation"]["s3Location"] == {"bucket": BUCKET, "key": KEY}
    assert "awsJobTimeoutConfig" not in body


def test_an_update_that_aws_describes_with_empty_structures_is_read() -> None:
    info: Any = {
        "otaUpdateId": "x",
        "otaUpdateStatus": "CREATE_FAILED",
        "otaUpdateFiles": [{"codeSigning": {"startSigningJobParameter": {}, "customCodeSigning": {}}}],
        "errorInfo": {"code": "C", "message": "M"},
    }
    update = update_from(info)
    assert (update.error_code, update.error_message, update.signature, update.image) == ("C", "M", "", None)
    assert not update.is_ours()
    assert update_from({"otaUpdateId": "x", "otaUpdateStatus": "CREATE_PENDING"}).image_sha256 == ""
    assert not Update("x", "", "").is_ours()
    assert Update("x", "", "").image_sha256 == ""


def test_a_signature_comes_back_as_text_however_it_is_held() -> None:
    signing = {"codeSigning": {"customCodeSigning": {"signature": {"inlineDocument": "dGV4dA=="}}}}
    assert (
        update_from({"otaUpdateId": "x", "otaUpdateStatus": "y", "otaUpdateFiles": [signing]}).signature  # type: ignore[list-item,typeddict-item]
        == "dGV4dA=="
    )


def described(status: str = COMPLETE, request: UpdateRequest = REQUEST, *, is_ours: bool = True) -> Update:
    """The update of this request as AWS describes it."""
    body = create_update_request(request)
    parameters = body["additionalParameters"] if is_ours else {}
    info = {"otaUpdateId": NAME, "otaUpdateStatus": status, "otaUpdateFiles": body["files"]}
    return update_from({**info, "targets": body["targets"], "additionalParameters": parameters})  # type: ignore[typeddict-item]


FAILED_LOOK = PermissionDenied("no")
OTHERS_JOB = Job(JOB, "IN_PROGRESS", (f"{THING_ARN}-2",))
LEFT_JOB = Job(JOB, "IN_PROGRESS", (THING_ARN,))
RUNNING = Execution(THING, "IN_PROGRESS")
DECISIONS: dict[str, tuple[FoundUpdate | OtaError, Action, str]] = {
    "nothing there": (FoundUpdate(), Action.CREATE, ""),
    "its job left": (FoundUpdate(job=LEFT_JOB), Action.CREATE, "once its leftover job is deleted"),
    "another thing's job": (FoundUpdate(job=OTHERS_JOB), Action.BLOCKED, "aws iot delete-job"),
    "a failed look": (FAILED_LOOK, Action.BLOCKED, "no"),
    "the same": (FoundUpdate(described(), has_image=True), Action.REUSE, f"job {JOB}"),
    "the same, downloading": (FoundUpdate(described(), True, RUNNING), Action.REUSE, f"job {JOB}"),
    "the same without our marks": (
        FoundUpdate(described(is_ours=False), True),
        Action.BLOCKED,
        "was not made by this tool",
    ),
    "the same, being made": (FoundUpdate(described("CREATE_PENDING"), has_image=True), Action.REUSE, f"job {JOB}"),
    "the same, image not seen": (FoundUpdate(described(), has_image=FAILED_LOOK), Action.BLOCKED, "no"),
    "the same, image gone": (FoundUpdate(described()), Action.REPLACE, "its image is no longer in the bucket"),
    "other content": (FoundUpdate(described(request=OTHER), True), Action.REPLACE, "same image, other signature"),
    "other content, downloading": (
        FoundUpdate(described(request=OTHER), True, RUNNING),
        Action.BLOCKED,
        "downloading",
    ),
    "other content, device not seen": (FoundUpdate(described(request=OTHER), True, FAILED_LOOK), Action.BLOCKED, "no"),
    "other content of somebody else": (
        FoundUpdate(described(request=OTHER, is_ours=False), has_image=True),
        Action.BLOCKED,
        "was not made by this tool",
    ),
    "failed": (FoundUpdate(described("CREATE_FAILED")), Action.REPLACE, "it is CREATE_FAILED"),
    "failed beside another thing's job": (
        FoundUpdate(described("CREATE_FAILED"), job=OTHERS_JOB),
        Action.BLOCKED,
        "was not made for the thing lamp",
    ),
    "being deleted": (FoundUpdate(described("DELETE_IN_PROGRESS")), Action.CREATE, "once the old one is gone"),
    "somebody else's, being deleted": (
        FoundUpdate(described("DELETE_IN_PROGRESS", is_ours=False)),
        Action.CREATE,
        "once the old one is gone",
    ),
}


@pytest.mark.parametrize(("found", "action", "words"), DECISIONS.values(), ids=DECISIONS)
def test_what_becomes_of_an_update_is_decided_from_what_is_there(
    iot: Any, control: Control, found: FoundUpdate | OtaError, action: Action, words: str
) -> None:
    control.clear_calls()
    change = decide_update(iot, found, REQUEST)
    assert (change.action, bool(change.problem)) == (action, action is Action.BLOCKED)
    assert str(change.detail) == words if not words else words in str(change.detail)
    assert control.operations() == []


def test_a_blocked_update_is_not_carried_out(iot: Any, control: Control) -> None:
    change = decide_update(iot, FoundUpdate(job=OTHERS_JOB), REQUEST)
    control.clear_calls()
    with pytest.raises(InTheWay, match="was not made for the thing lamp"):
        make_update(iot, change)
    assert control.operations() == []


def test_an_update_is_made_in_two_calls_after_the_look(world: World) -> None:
    outcome = world.ensure()
    assert world.control.operations() == ["GetOTAUpdate", "CreateOTAUpdate", "GetOTAUpdate"]
    assert (outcome.noun, outcome.verb, outcome.name, outcome.detail) == ("update", Verb.CREATED, NAME, f"job {JOB}")
    made = outcome.get()
    assert made.status == "CREATE_COMPLETE"
    assert made.image == (KEY, None)
    assert made.is_ours(THING)
    assert not made.is_ours("another-thing")
    assert has_same_content(made, REQUEST)
    tags = world.iot.list_tags_for_resource(resourceArn=made.arn)["tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == marks(THING)


def test_a_repeat_costs_the_look_alone(world: World) -> None:
    made = world.ensure()
    world.control.clear_calls()
    again = world.ensure()
    assert world.control.operations() == ["GetOTAUpdate"]
    assert (again.verb, again.get()) == (Verb.REUSED, made.get())


def test_an_update_that_its_device_has_finished_is_still_the_one(world: World) -> None:
    world.ensure()
    world.let_device_finish()
    assert world.ensure().verb is Verb.REUSED


CHANGES: dict[str, Any] = {
    "image": {"image_sha256": "cd" * 32},
    "key": {"key": image_key(THING, SHA256, "other.bin")},
    "bucket": {"bucket": "another"},
    "version": {"version_id": "v2"},
    "signature": {"signature": "b3RoZXI="},
    "file name": {"file_name": "ml_model image"},
    "hash algorithm": {"hash_algorithm": "SHA1"},
    "signature algorithm": {"signature_algorithm": "ECDSA"},
    "thing": {"targets": (THING_ARN + "-2",)},
    "another target": {"targets": (THING_ARN, THING_ARN + "-2")},
    "rollout": {"rules": RolloutRules(per_minute=5)},
    "abort": {"rules": RolloutRules(aborts=(AbortCriterion("FAILED", 10, 20),))},
    "timeout": {"rules": RolloutRules(in_progress_timeout_min=5)},
    "protocol": {"protocols": ("HTTP",)},
    "one more protocol": {"protocols": ("MQTT", "HTTP")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_content_is_told_apart(world: World, change: dict[str, Any]) -> None:
    assert not has_same_content(world.ensure().get(), replace(REQUEST, **change))


def test_another_role_is_no_other_content(world: World) -> None:
    other = replace(REQUEST, role_arn="arn:aws:iam::123456789012:role/other")
    assert has_same_content(world.ensure().get(), other)


def test_an_update_with_other_content_is_replaced_once_it_is_gone(world: World) -> None:
    world.ensure()
    world.control.pause(1.0)
    outcome = world.ensure(OTHER)
    assert outcome.verb is Verb.CHANGED
    assert outcome.detail.endswith("in place of the one with other content")
    assert world.state() == ("CREATE_COMPLETE", OTHER.signature, 3)


def test_one_that_its_device_has_finished_is_replaced_by_other_content(world: World) -> None:
    world.ensure()
    world.let_device_finish()
    assert world.ensure(OTHER).verb is Verb.CHANGED


def test_one_that_a_device_is_downloading_is_not_replaced_unasked(world: World) -> None:
    world.ensure()
    world.let_device_begin()
    with pytest.raises(InTheWay, match=r"lamp is downloading lamp-update right now.*replace_running_update"):
        world.ensure(OTHER)
    assert world.ensure(REQUEST).verb is Verb.REUSED
    assert world.ensure(OTHER, may_replace_running=True).verb is Verb.CHANGED


def test_somebody_else_s_update_is_not_replaced_unasked(world: World) -> None:
    world.make_foreign()
    with pytest.raises(NotOurs, match=r"lamp-update was not made by this tool for the thing lamp"):
        world.ensure()
    assert len(world.left()) == 3


def test_an_update_that_failed_is_replaced(world: World) -> None:
    world.drop_role()
    with pytest.raises(UpdateFailed):
        world.ensure()
    world.make_role()
    outcome = world.ensure()
    assert (outcome.verb, outcome.detail) == (Verb.CHANGED, f"job {JOB}, in place of the one with CREATE_FAILED")
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_waiting_looks_at_once_and_then_ever_less_often(world: World) -> None:
    world.control.pause(6.0)
    time = Time(world.control)
    world.ensure(patience=time.patience())
    assert time.pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0][: len(time.pauses)]
    assert sum(time.pauses) >= 12


def test_waiting_has_an_end_and_a_repeat_goes_on(world: World) -> None:
    world.control.pause(30.0)
    time = Time(world.control)
    with pytest.raises(WaitTimeout, match=r"Waited 10 seconds for AWS to make the OTA update lamp-update"):
        world.ensure(patience=time.patience(timeout_s=10))
    assert sum(time.pauses) == 10
    assert world.ensure().verb is Verb.REUSED


def test_one_that_is_still_being_made_with_other_content_is_waited_for_and_replaced(world: World) -> None:
    world.control.pause(5.0)
    world.iot.create_ota_update(**create_update_request(OTHER))
    assert world.ensure().verb is Verb.CHANGED
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_one_that_is_being_deleted_is_waited_for(world: World) -> None:
    world.ensure()
    world.control.pause(5.0)
    world.iot.delete_ota_update(otaUpdateId=NAME, deleteStream=True, forceDeleteAWSJob=True)
    outcome = world.ensure()
    assert outcome.verb is Verb.CREATED
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_one_that_could_not_be_deleted_is_replaced_once_the_role_is_there_again(world: World) -> None:
    world.ensure()
    world.drop_role()
    with pytest.raises(UpdateFailed, match=r"could not delete .* make it again \(`invoke role`\)"):
        world.delete()
    found = find_update(world.iot, NAME)
    assert found is not None
    assert found.status == "DELETE_FAILED"
    world.make_role()
    assert world.ensure().detail.endswith("in place of the one with DELETE_FAILED")


def test_a_failed_deletion_in_the_way_is_explained(world: World) -> None:
    world.ensure()
    world.drop_role()
    with pytest.raises(UpdateFailed, match=r"could not delete the OTA update lamp-update: Cannot assume role"):
        world.ensure(OTHER)


def test_a_new_role_gets_its_time_to_settle(world: World) -> None:
    world.control.iam_delay(5.0)
    world.drop_role()
    world.make_role()
    time = Time(world.control)
    outcome = world.ensure(patience=time.patience(settle_timeout_s=60))
    assert outcome.verb is Verb.CREATED
    assert time.pauses == [1.0, 2.0, 4.0]
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_the_time_to_settle_has_an_end(world: World) -> None:
    world.drop_role()
    time = Time(world.control)
    with pytest.raises(UpdateFailed, match=r"Cannot assume role .*lamp_role.*`invoke role` checks it"):
        world.ensure(patience=time.patience(settle_timeout_s=40))
    assert time.pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_a_deletion_gives_a_new_role_its_time_too(world: World) -> None:
    world.ensure()
    world.drop_role()
    world.make_role()
    world.control.iam_delay(5.0)
    time = Time(world.control)
    assert world.delete(patience=time.patience(settle_timeout_s=60)).verb is Verb.DELETED
    assert time.pauses == [1.0, 2.0, 4.0]


def test_a_failure_that_is_no_settling_is_reported_at_once_in_aws_s_words(world: World) -> None:
    time = Time(world.control)
    with pytest.raises(UpdateFailed) as caught:
        world.ensure(replace(REQUEST, bucket="gone"), patience=time.patience(settle_timeout_s=60))
    assert "could not create the OTA update lamp-update: S3 object" in str(caught.value)
    assert "(AccessDeniedException)" in str(caught.value)
    assert "`invoke bucket`" in str(caught.value)
    assert time.pauses == []


def test_a_refusal_of_the_call_itself_is_reported_in_aws_s_words(world: World) -> None:
    with pytest.raises(UpdateFailed, match=r"roleArn nonsense.* is not the ARN of a role. \(InvalidRequestException\)"):
        world.ensure(replace(REQUEST, role_arn="nonsense-that-is-long-enough"))


def test_a_refusal_of_the_call_that_is_settling_is_tried_again(world: World) -> None:
    text = "The role arn:aws:iam::123456789012:role/lamp_role cannot be assumed."
    world.control.fail("CreateOTAUpdate", code="InvalidRequestException", message=text, times=2)
    time = Time(world.control)
    assert world.ensure(patience=time.patience(settle_timeout_s=60)).verb is Verb.CREATED
    assert time.pauses == [1.0, 2.0]


def leave_job(world: World, target: str = THING_ARN) -> None:
    """A job by the update's id, and no update."""
    world.delete()
    world.iot.create_job(jobId=JOB, targets=[target], document="{}")


def leave_going_job(world: World, target: str = THING_ARN) -> None:
    """A job by the update's id that goes away twenty seconds from now, and no update."""
    leave_job(world, target)
    world.control.pause(10.0)
    world.iot.delete_job(jobId=JOB, force=True)
    world.control.pause(0.0)


def test_a_job_that_is_still_being_deleted_is_waited_for(world: World) -> None:
    leave_going_job(world)
    time = Time(world.control)
    assert world.ensure(patience=time.patience()).verb is Verb.CREATED
    assert sum(time.pauses) >= 19
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_a_deletion_waits_for_a_job_that_is_going_whoever_s_it_is(world: World) -> None:
    leave_going_job(world, world.iot.create_thing(thingName="other")["thingArn"])
    assert world.delete().verb is Verb.DELETED
    assert world.left() == []


def test_a_job_that_was_left_is_cleared_away(world: World) -> None:
    leave_job(world)
    assert world.ensure().verb is Verb.CREATED
    assert world.state() == ("CREATE_COMPLETE", REQUEST.signature, 3)


def test_a_job_of_somebody_else_s_by_the_same_id_is_left_alone(world: World) -> None:
    other = world.iot.create_thing(thingName="other")["thingArn"]
    leave_job(world, other)
    with pytest.raises(InTheWay, match=rf"aws iot delete-job --job-id {JOB} --force"):
        world.ensure()
    assert find_job(world.iot, JOB) is not None


def test_a_job_that_comes_back_is_reported(world: World) -> None:
    leave_job(world)
    world.control.fail("DeleteJob", code="ResourceNotFoundException", status=404, times=0)
    answer = {"code": "AWSIotException", "message": "Job already exists (Error Code: ResourceAlreadyExistsException)"}
    with failing_creation(world.iot, answer), pytest.raises(UpdateFailed, match="A job of that name is still there"):
        world.ensure()


class failing_creation:  # noqa: N801 - reads as a sentence in a with statement
    """Have every look at the update find it failed with this error, until it is deleted."""

    def __init__(self, iot: Any, error: dict[str, str]) -> None:
        self._events = iot.meta.events
        self._error = error

    def _spoil(self, parsed: dict[str, Any], **_: object) -> None:
        info = parsed.get("otaUpdateInfo", {})
        if info.get("otaUpdateStatus") in {"CREATE_COMPLETE", "CREATE_FAILED"}:
            info.update(otaUpdateStatus="CREATE_FAILED", errorInfo=self._error)

    def __enter__(self) -> None:
        self._events.register("after-call.iot.GetOTAUpdate", self._spoil)

    def __exit__(self, *_: object) -> None:
        self._events.unregister("after-call.iot.GetOTAUpdate", self._spoil)


def test_a_name_that_another_run_takes_with_the_same_content_is_shared(world: World) -> None:
    world.ensure()
    assert world.ensure_beside(None).verb is Verb.CREATED


def test_a_name_that_another_run_takes_with_other_content_is_reported(world: World) -> None:
    world.ensure()
    with pytest.raises(InTheWay, match="another run is at work"):
        world.ensure_beside(None, OTHER)


def test_a_missing_permission_is_left_to_the_command_line(world: World) -> None:
    world.control.fail("CreateOTAUpdate", "access-denied")
    with pytest.raises(ClientError, match="CreateOTAUpdate"):
        world.ensure()


def test_an_update_is_deleted_with_job_and_stream_in_three_calls_after_the_look(world: World) -> None:
    known = world.ensure().get()
    world.control.clear_calls()
    assert world.delete(known=known) == Outcome("update", Verb.DELETED, NAME, "with its job and stream")
    calls = world.control.operations()
    assert calls[0] == "DeleteOTAUpdate"
    assert sorted(calls[1:]) == ["DescribeJob", "GetOTAUpdate"]
    assert world.left() == []


def test_a_deletion_is_over_only_when_all_are_gone(world: World) -> None:
    world.ensure()
    world.control.pause(3.0)
    assert world.delete().verb is Verb.DELETED
    assert world.left() == []


def test_deleting_an_absent_update_is_a_success(world: World) -> None:
    assert world.delete() == Outcome("update", Verb.ABSENT, NAME)


def test_a_deletion_that_has_begun_is_waited_for(world: World) -> None:
    world.ensure()
    world.control.pause(3.0)
    world.iot.delete_ota_update(otaUpdateId=NAME, deleteStream=True, forceDeleteAWSJob=True)
    world.control.clear_calls()
    assert world.delete().verb is Verb.DELETED
    assert "DeleteOTAUpdate" not in world.control.operations()
    assert world.left() == []


def test_one_that_is_still_being_made_is_deleted_once_it_is_made(world: World) -> None:
    world.control.pause(3.0)
    world.iot.create_ota_update(**create_update_request(REQUEST))
    assert world.delete().verb is Verb.DELETED
    assert world.left() == []


@pytest.mark.parametrize("owner", [THING, None])
def test_a_job_that_outlived_its_update_is_deleted(world: World, owner: str | None) -> None:
    leave_job(world)
    decided = world.decide(owner)
    assert (decided.action, decided.detail) == (Action.DELETE, "only its job is left")
    assert world.delete().detail == "only its job was left"
    assert world.left() == []


def test_a_job_that_is_not_ours_outlives_the_clean(world: World) -> None:
    other = world.iot.create_thing(thingName="other")["thingArn"]
    leave_job(world, other)
    decided = world.decide()
    assert (decided.action, decided.detail) == (Action.ABSENT, f"the job {JOB} is not for lamp and stays")
    assert world.decide(None).action is Action.DELETE


def test_waiting_for_a_job_that_stays_has_an_end(world: World) -> None:
    leave_job(world)
    world.control.fail("DeleteJob", code="ResourceNotFoundException", status=404)
    with pytest.raises(WaitTimeout, match=rf"AWS to delete the OTA update {NAME} and its job {JOB}"):
        world.delete()


def test_somebody_else_s_update_stays(world: World) -> None:
    world.make_foreign()
    decided = world.decide()
    assert (decided.action, "`invoke clean --force`" in str(decided.detail)) == (Action.KEEP, True)
    assert world.decide(None).action is Action.DELETE


def test_one_whose_role_is_lost_is_known_to_stay_before_aws_is_asked(world: World) -> None:
    world.ensure()
    assert world.decide(lost_role="another-role").action is Action.DELETE
    decided = world.decide(lost_role=ROLE)
    assert (decided.action, decided.command) == (Action.BLOCKED, command("role"))
    with pytest.raises(UpdateFailed, match=f"{ROLE} does not exist or does not trust AWS IoT"):
        decided.check()


def test_somebody_else_s_job_is_not_deleted_with_an_update_that_is_going_already(world: World) -> None:
    world.make_foreign()
    find_update(world.iot, NAME)
    world.control.pause(1.0)
    world.iot.delete_ota_update(otaUpdateId=NAME, deleteStream=True, forceDeleteAWSJob=True)
    existing = find_update(world.iot, NAME)
    world.control.pause(0.0)
    world.control.advance_clock(1.0)
    other = world.iot.create_thing(thingName="other")["thingArn"]
    world.iot.create_job(jobId=JOB, targets=[other], document="{}")
    with pytest.raises(InTheWay, match="was not made for the thing lamp"):
        world.ensure_beside(existing)
    assert find_job(world.iot, JOB) is not None


def test_one_that_never_had_a_job_needs_no_role(world: World) -> None:
    world.drop_role()
    with pytest.raises(UpdateFailed):
        world.ensure()
    assert world.decide(lost_role=ROLE).action is Action.DELETE
    assert world.delete().verb is Verb.DELETED


def test_all_updates_and_jobs_are_listed_over_all_pages(world: World) -> None:
    for number in range(3):
        world.iot.create_ota_update(**create_update_request(replace(REQUEST, update_id=f"update-{number}")))

    def small_pages(params: dict[str, Any], **_: object) -> None:
        params["maxResults"] = 2

    for operation in ("ListOTAUpdates", "ListJobs"):
        world.iot.meta.events.register(f"before-parameter-build.iot.{operation}", small_pages)
    try:
        updates, jobs = list(list_updates(world.iot)), list(list_jobs(world.iot))
    finally:
        for operation in ("ListOTAUpdates", "ListJobs"):
            world.iot.meta.events.unregister(f"before-parameter-build.iot.{operation}", small_pages)
    assert sorted(one.update_id for one in updates) == ["update-0", "update-1", "update-2"]
    assert sorted(one.job_id for one in jobs) == ["AFR_OTA-update-0", "AFR_OTA-update-1", "AFR_OTA-update-2"]
    assert {one.status for one in jobs} == {"IN_PROGRESS"}


FAILURES = {
    "PassRole": (
        "AWSIotException",
        "User: arn:aws:sts::1:assumed-role/r/ab is not authorized to perform: iam:PassRole on resource: "
        "arn:aws:iam::1:role/r (Service: AWSIot; Status Code: 403; Error Code: AccessDeniedException)",
        "iam:PassRole on its own ARN",
        True,
    ),
    "assume": ("AccessDeniedException", "Cannot assume role arn:aws:iam::1:role/r", "cannot assume the role", True),
    "unable to assume": ("X", "The service is unable to assume role r", "cannot assume the role", True),
    "role gone": ("X", "role arn:aws:iam::1:role/r does not exist", "cannot assume the role", True),
    "S3": (
        "AccessDeniedException",
        "S3 object demo.bin not accessible. Please check your permissions (Service: AWSSigner; Status Code: 403)",
        "may not read the image",
        True,
    ),
    "bucket gone": ("X", "S3 object k not accessible: bucket b does not exist", "`invoke bucket`", False),
    "image gone": ("X", "S3 object k not accessible: bucket b has no object k", "uploads it again", False),
    "other permission": (
        "AWSIotException",
        "User: arn:aws:sts::1:assumed-role/r/ab is not authorized to perform: iot:CreateJob on resource: *",
        "lacks a permission",
        True,
    ),
    "limit": ("LimitExceededException", "Too many", "A limit of the account", False),
    "job left": ("AWSIotException", "Job AFR_OTA-x already exists.", "A job of that name", False),
    "unknown": ("Oops", "Something happened", "Remove the cause", False),
}


@pytest.mark.parametrize(("code", "message", "advice", "is_settling"), FAILURES.values(), ids=FAILURES)
def test_aws_s_words_are_understood(code: str, message: str, advice: str, is_settling: bool) -> None:
    failure = failure_of(Update(NAME, "", "CREATE_FAILED", error_code=code, error_message=message))
    assert advice in str(failure.advice)
    assert failure.is_settling is is_settling


def prepared(world: World, before: Callable[[], object]) -> Callable[[], None]:
    def prepare() -> None:
        world.control.reset()
        world.build()
        before()

    return prepare


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_a_creation_cut_off_after_any_call_and_repeated_ends_the_same(world: World, pause_s: float) -> None:
    def act() -> None:
        world.control.pause(pause_s)
        world.ensure()

    states = repeated_after_every_kill(world.iot, prepared(world, lambda: None), act, world.state)
    assert len(states) >= 3
    assert {state for _, state in states} == {("CREATE_COMPLETE", REQUEST.signature, 3)}


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_a_replacement_cut_off_after_any_call_and_repeated_ends_the_same(world: World, pause_s: float) -> None:
    def act() -> None:
        world.control.pause(pause_s)
        world.ensure(OTHER)

    states = repeated_after_every_kill(world.iot, prepared(world, world.ensure), act, world.state)
    assert len(states) >= 7
    assert {state for _, state in states} == {("CREATE_COMPLETE", OTHER.signature, 3)}


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
def test_a_deletion_cut_off_after_any_call_and_repeated_leaves_nothing(world: World, pause_s: float) -> None:
    def act() -> None:
        world.control.pause(pause_s)
        world.delete()

    states = repeated_after_every_kill(world.iot, prepared(world, world.ensure), act, world.left)
    assert len(states) >= 4
    assert all(state == [] for _, state in states)
