"""A desk with many devices: a group of things, an update for it, and devices that act without MQTT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import ACCOUNT, REGION
from tests.look.look_desk import JOB, ROLE, UPDATE, Desk
from tests.look.look_desk import desk as bare_desk
from tests.sandbox.iot_calls import turn_indexing_on

__all__ = ["bare_desk"]

GROUP = "fleet"
GROUP_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{GROUP}"
SIGNATURE, VERSION = "0x000000e3: 0x00000000", "rejected: 0x00000010"


@dataclass(frozen=True)
class FleetDesk:
    """A desk whose update is for the group of things ``fleet-1`` and on; a stranger has a job of its own."""

    desk: Desk

    def names(self, first: int, last: int) -> list[str]:
        return [f"fleet-{number}" for number in range(first, last + 1)]

    def roll_out(self, count: int, **request: Any) -> None:
        """Make so many things, and an update for their group in the place of the one thing's."""
        iot = self.desk.iot
        for name in self.names(1, count):
            iot.create_thing(thingName=name)
        made = iot.get_ota_update(otaUpdateId=UPDATE)["otaUpdateInfo"]
        iot.delete_ota_update(otaUpdateId=UPDATE, deleteStream=True, forceDeleteAWSJob=True)
        copied = {"files": made["otaUpdateFiles"], "additionalParameters": made["additionalParameters"]}
        role = self.desk.iam.get_role(RoleName=ROLE)["Role"]["Arn"]
        iot.create_ota_update(otaUpdateId=UPDATE, targets=[GROUP_ARN], roleArn=role, **{**copied, **request})

    def take(self, names: Iterable[str]) -> None:
        for name in names:
            self.desk.jobs_data.start_next_pending_job_execution(thingName=name)

    def end(self, names: Iterable[str], status: str, **details: str) -> None:
        """The devices take the job and end it like this."""
        for name in names:
            if status != "REJECTED":
                self.take([name])
            self.desk.jobs_data.update_job_execution(jobId=JOB, thingName=name, status=status, statusDetails=details)

    def succeed(self, first: int, last: int) -> None:
        self.end(self.names(first, last), "SUCCEEDED", updatedBy="0")

    def fail(self, first: int, last: int, reason: str = SIGNATURE) -> None:
        self.end(self.names(first, last), "FAILED", reason=reason)


@pytest.fixture
def fleet(bare_desk: Desk) -> FleetDesk:
    """Set up, with a dynamic group for the things by these names, and a stranger whose job failed."""
    bare_desk.set_up()
    iot, jobs_data = bare_desk.iot, bare_desk.jobs_data
    turn_indexing_on(iot)
    iot.create_dynamic_thing_group(thingGroupName=GROUP, queryString="thingName:fleet-*")
    iot.create_thing(thingName="stranger")
    stranger = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/stranger"
    iot.create_job(jobId="others", targets=[stranger], document="{}")
    jobs_data.start_next_pending_job_execution(thingName="stranger")
    jobs_data.update_job_execution(jobId="others", thingName="stranger", status="FAILED")
    return FleetDesk(bare_desk)
