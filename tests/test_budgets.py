"""What setting up, repeating and cleaning cost: each call by its name, and the round trips one waits for.

The lists are exact, so that a call too many, or one too few, shows itself by name. A change that is meant changes the
list here; the limits stay.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.sandbox.process import Address
from tests.lockstep import THREADS_PATH, count_rounds, gated
from tests.project import Project, Result, aws_project, built_tree
from tests.sandbox_control import Control

SET_UP = """
    GetCallerIdentity DescribeEndpoint ListThingPrincipalsV2 CreateThing CreateCertificateFromCsr AttachThingPrincipal
    CreatePolicy AttachPolicy
    GetBucketTagging CreateBucket PutBucketVersioning PutPublicAccessBlock PutBucketPolicy PutBucketTagging
    GetRole CreateRole PutRolePolicy
    GetOTAUpdate PutObject CreateOTAUpdate GetOTAUpdate DescribeCertificate
"""
REPEAT = """
    GetCallerIdentity DescribeEndpoint ListThingPrincipalsV2 DescribeCertificate GetEffectivePolicies
    GetBucketTagging GetBucketVersioning GetPublicAccessBlock GetBucketPolicy GetRole GetRolePolicy
    GetOTAUpdate HeadObject DescribeJobExecution
"""
CLEAN = """
    GetCallerIdentity GetOTAUpdate GetRole DescribeThing ListThingPrincipalsV2 ListTagsForResource GetBucketTagging
    DeleteOTAUpdate ListOTAUpdates DescribeJob
    DeleteObject DeleteBucket DeleteRolePolicy DeleteRole
    UpdateCertificate DetachThingPrincipal DeleteCertificate DeletePolicy DeleteThing
    DescribeThing DescribeCertificate GetPolicy GetRole GetBucketTagging
"""
pytestmark = pytest.mark.alone  # each neighbour's update costs a look
STEPS = ("set-up", "repeat", "clean")
COMMANDS = {"set-up": "all", "repeat": "all", "clean": "clean"}
OPERATIONS = {"set-up": SET_UP, "repeat": REPEAT, "clean": CLEAN}
MOST_CALLS = {"set-up": 22, "repeat": 14, "clean": 24}
MOST_ROUND_TRIPS = {"set-up": 12, "repeat": 6, "clean": 12}
VERBS = {"set-up": {"created", "changed"}, "repeat": {"reused"}, "clean": {"deleted"}}
LEAST_ROUND_TRIPS = {"set-up": 8, "repeat": 3, "clean": 6}


@dataclass(frozen=True)
class Site:
    """A project whose image is built already, and the controls of its cloud."""

    project: Project
    control: Control

    def run(self, step: str) -> Result:
        return self.project.run_here(COMMANDS[step]).done()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_tree(tmp_path_factory.getbasetemp())


@pytest.fixture
def site(clean_sandbox: Address, control: Control, built: Path, tmp_path: Path) -> Site:
    project = aws_project(tmp_path / "project", clean_sandbox)
    project.put_image(built)
    return Site(project, control)


def test_every_call_is_known_by_name_and_they_are_within_the_budget(site: Site) -> None:
    for step in STEPS:
        site.control.clear_calls()
        result = site.run(step)
        assert len(site.control.operations()) <= MOST_CALLS[step], step
        assert Counter(site.control.operations()) == Counter(OPERATIONS[step].split()), step
        verbs = {verb for noun, verb in result.verbs if noun not in {"image", "header"}}
        assert verbs <= VERBS[step], result.out


@pytest.mark.skipif(not THREADS_PATH.is_dir(), reason="the states of threads are read from /proc")
def test_round_trips_are_within_the_budget(site: Site, clean_sandbox: Address) -> None:
    found = {}
    for step in STEPS:
        with gated(clean_sandbox) as (endpoint_url, gate):
            process = site.project.start(COMMANDS[step], AWS_ENDPOINT_URL=endpoint_url)
            found[step] = count_rounds(process, gate)
            out, err = process.communicate()
            assert process.returncode == 0, out + err
    assert all(found[step] <= MOST_ROUND_TRIPS[step] for step in STEPS), found
    # No run is shorter than its longest chain of calls that each need the one before: the count counts something.
    assert all(found[step] >= LEAST_ROUND_TRIPS[step] for step in STEPS), found
