"""Lists of what is in the account: complete, marked right, and with few calls."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from ota import cloud
from ota.errors import PermissionDenied
from ota.manage import listings, rows
from ota.manage.listings import Listing, Query, make_listing, make_listings
from ota.nouns import LISTED
from ota.ownership import mark_tags
from ota.records import Row
from ota.roles.roles import DESCRIPTION
from ota.sandbox.process import Address
from tests.hand_made import Hands, id_of
from tests.sandbox_control import Control
from tests.sandbox_world import trust_document

if TYPE_CHECKING:
    from ota.cloud import Cloud

ALL = Query(1000)
OURS = Query(1000, is_ours=True)
NOUN_BY_PLURAL = {noun.plural: noun for noun in LISTED}
GONE_MEANWHILE = (
    "GetOTAUpdate",
    "ListTagsForResource",
    "ListThingPrincipalsV2",
    "ListTargetsForPolicy",
    "DescribeCertificate",
    "ListAttachedPolicies",
    "ListPrincipalThingsV2",
    "DescribeJob",
)
NOW = datetime(2026, 3, 5, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def hands(iot: Any, s3: Any, iam: Any) -> Hands:
    return Hands(iot, s3, iam)


@pytest.fixture(scope="module")
def account(sandbox: Address) -> Cloud:
    return cloud.open_sandbox(sandbox.endpoint_url, sandbox.region)


def listed(account: Cloud, plural: str, query: Query = ALL) -> dict[str, Row]:
    return {row.name: row for row in make_listing(account, NOUN_BY_PLURAL[plural], query).rows}


def ours(rows: dict[str, Row]) -> dict[str, bool | None]:
    return {name: row.is_ours for name, row in rows.items()}


@pytest.mark.parametrize(
    ("name", "pattern", "is_like"),
    [
        ("lamp-1", "lamp-1", True),
        ("lamp-1", "lamp*", True),
        ("lamp-1", "*1", True),
        ("lamp-1", "l*-*1", True),
        ("lamp-1", "*", True),
        ("lamp-1", "lamp-1*", True),
        ("lamp-1", "lamp", False),
        ("lamp-1", "amp*", False),
        ("lamp-1", "Lamp*", False),
        ("lamp-1", "lamp-?", False),
        ("lamp-1", "lamp-[1]", False),
        ("lamp+1", "lamp+*", True),
        ("lampp1", "lamp+*", False),
        ("a.b", "a.*", True),
        ("axb", "a.b", False),
    ],
)
def test_a_pattern_is_like_whole_names_and_only_the_star_is_special(name: str, pattern: str, is_like: bool) -> None:
    assert listings.matches(name, pattern) is is_like


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=-90), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 min ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=1), "1 h ago"),
        (timedelta(hours=47, minutes=59), "47 h ago"),
        (timedelta(hours=48), "2026-03-03"),
        (timedelta(days=400), "2025-01-29"),
    ],
)
def test_the_past_is_told_as_shortly_as_it_matters(past: timedelta, words: str) -> None:
    assert listings.ago(NOW - past, NOW) == words


def test_a_time_that_nobody_knows_is_left_open() -> None:
    assert listings.ago(None, NOW) == ""


def test_names_stand_in_the_order_of_their_numbers() -> None:
    rows = [Row(name) for name in ("lamp-10", "lamp-2", "b", "lamp-1b", "lamp-1", "2", "10", "B")]
    assert [row.name for row in listings.by_name(rows)] == [
        "2",
        "10",
        "B",
        "b",
        "lamp-1",
        "lamp-1b",
        "lamp-2",
        "lamp-10",
    ]


def test_the_newest_come_first_and_the_dateless_last() -> None:
    rows = [Row("none"), Row("old", NOW - timedelta(days=1)), Row("new", NOW), Row("older", NOW - timedelta(days=2))]
    assert [row.name for row in listings.newest_first(rows)] == ["new", "old", "older", "none"]


def test_things_tell_their_certificates_and_whose_they_are(hands: Hands, account: Cloud) -> None:
    hands.thing("ours", ours=True)
    hands.thing("theirs")
    # The marks of another thing, as on a copy, do not make it ours.
    hands.iot.create_thing(
        thingName="copy", attributePayload={"attributes": {"managed-by": "ota-tasks", "ota-thing": "ours"}}
    )
    arns = [hands.certificate("theirs"), hands.certificate("theirs")]
    rows = listed(account, "things")
    assert ours(rows) == {"copy": False, "ours": True, "theirs": False}
    assert rows["ours"].facts == {"certificates": []}
    assert sorted(rows["theirs"].facts["certificates"]) == sorted(map(id_of, arns))


def test_policies_tell_what_they_hang_on_and_come_newest_first(hands: Hands, account: Cloud) -> None:
    hands.policy("older", ours_for="lamp")
    hands.policy("newer")
    arn = hands.certificate(policies=("newer",))
    rows = listed(account, "policies")
    assert list(rows) == ["newer", "older"]
    assert ours(rows) == {"newer": False, "older": True}
    assert rows["newer"].facts == {"attached_to": [id_of(arn)]}
    assert rows["older"].facts == {"attached_to": []}


def test_certificates_tell_status_expiry_and_what_hangs_on_them(hands: Hands, account: Cloud) -> None:
    hands.thing("lamp", ours=True)
    hands.thing("desk")
    hands.policy("lamp_policy")
    arn = hands.certificate("lamp", policies=("lamp_policy",))
    loose = hands.certificate()
    hands.iot.update_certificate(certificateId=id_of(loose), newStatus="INACTIVE")
    rows = listed(account, "certificates")
    assert list(rows) == [id_of(loose), id_of(arn)], "newest first"
    facts = rows[id_of(arn)].facts
    assert (facts["status"], facts["things"], facts["policies"]) == ("ACTIVE", ["lamp"], ["lamp_policy"])
    described = hands.iot.describe_certificate(certificateId=id_of(arn))["certificateDescription"]
    assert facts["expires"] == described["validity"]["notAfter"].date()
    assert rows[id_of(loose)].facts["status"] == "INACTIVE"
    assert rows[id_of(loose)].facts["things"] == []


@pytest.mark.parametrize("our_things", [3, 20], ids=["learnt from our few things", "learnt from the few certificates"])
def test_a_certificate_is_ours_when_it_hangs_on_our_thing_and_nothing_else(
    hands: Hands, account: Cloud, our_things: int
) -> None:
    for number in range(our_things):
        hands.thing(f"ours-{number}", ours=True)
    hands.thing("theirs")
    expected = {
        hands.certificate("ours-0"): True,
        hands.certificate("ours-1", exclusive=False): True,
        hands.certificate("ours-0", "ours-1"): False,
        hands.certificate("ours-2", "theirs"): False,
        hands.certificate("theirs"): False,
        hands.certificate(): False,
    }
    rows = listed(account, "certificates")
    assert ours(rows) == {id_of(arn): is_ours for arn, is_ours in expected.items()}
    mine = listed(account, "certificates", OURS)
    assert set(mine) == {id_of(arn) for arn, is_ours in expected.items() if is_ours}
    assert all(row.facts["expires"] for row in mine.values())


def test_buckets_tell_region_and_versioning(hands: Hands, account: Cloud) -> None:
    hands.bucket("ours-bucket", ours_for="lamp")
    hands.bucket("theirs-bucket", versioned=False)
    rows = listed(account, "buckets")
    assert ours(rows) == {"ours-bucket": True, "theirs-bucket": False}
    assert rows["ours-bucket"].facts == {"region": "eu-west-1", "versioned": True}
    assert rows["theirs-bucket"].facts["versioned"] is False
    assert rows["theirs-bucket"].created is not None


@pytest.mark.parametrize(
    ("plural", "operation", "is_marked"),
    [
        ("things", "ListThingPrincipalsV2", True),
        ("policies", "ListTagsForResource", False),
        ("policies", "ListTargetsForPolicy", True),
        ("certificates", "DescribeCertificate", True),
        ("buckets", "GetBucketTagging", False),
        ("buckets", "GetBucketVersioning", True),
        ("roles", "GetRole", False),
        ("updates", "GetOTAUpdate", False),
        ("updates", "DescribeJob", True),
        ("jobs", "GetOTAUpdate", False),
        ("jobs", "DescribeJob", True),
    ],
)
def test_what_these_credentials_may_not_ask_about_is_left_open(
    hands: Hands, account: Cloud, control: Control, plural: str, operation: str, is_marked: bool
) -> None:
    """As with the published operator's policy, which is for the names of one's own things."""
    hands.whole("lamp", ours=True)
    noun = NOUN_BY_PLURAL[plural]
    control.fail(operation, "access-denied", times=50)
    made = make_listing(account, noun, ALL)
    assert [row.is_ours for row in made.rows] == [True if is_marked else None]
    assert listings.cells(noun, made.rows[0], NOW)[-1] == ("yes" if is_marked else "?")
    assert made.unknown == (0 if is_marked else 1)
    assert any("may not ask AWS about 1 of the" in note for note in listings.notes(made)) is not is_marked
    mine = make_listing(account, noun, OURS)
    assert (mine.total, mine.unknown) == ((1, 0) if is_marked else (0, 1))


def test_a_bucket_of_another_account_is_left_open(hands: Hands, account: Cloud, control: Control) -> None:
    hands.bucket("theirs")
    control.fail("GetBucketTagging", "access-denied", times=50)
    control.fail("HeadBucket", code="403", status=403, times=50)
    made = make_listing(account, NOUN_BY_PLURAL["buckets"], ALL)
    assert [row.is_ours for row in made.rows] == [None]


def test_a_list_that_leaves_out_the_regions_has_them_asked_for(hands: Hands, account: Cloud) -> None:
    hands.bucket("here")
    row = rows.fill_bucket(account, Row("here", facts={"region": None}))
    assert row.facts == {"region": "eu-west-1", "versioned": True}


def test_any_other_failure_ends_the_list(hands: Hands, account: Cloud, control: Control) -> None:
    hands.bucket("lamp-images")
    control.fail("GetBucketTagging", code="MalformedXML", status=400, message="no", times=50)
    with pytest.raises(ClientError, match="MalformedXML"):
        make_listing(account, NOUN_BY_PLURAL["buckets"], ALL)


def test_roles_tell_their_boundaries(hands: Hands, account: Cloud) -> None:
    boundary = hands.iam.create_policy(PolicyName="edge", PolicyDocument=_iam_document())["Policy"]["Arn"]
    hands.role("ours_role", ours_for="lamp")
    hands.role("theirs_role")
    hands.iam.put_role_permissions_boundary(RoleName="theirs_role", PermissionsBoundary=boundary)
    rows = listed(account, "roles")
    assert ours(rows) == {"ours_role": True, "theirs_role": False}
    assert rows["ours_role"].facts["boundary"] == "none"
    assert rows["theirs_role"].facts["boundary"] == "edge"


def test_updates_and_jobs_tell_status_and_targets(hands: Hands, account: Cloud) -> None:
    hands.whole("lamp", ours=True)
    hands.thing("desk")
    hands.update("desk_update", "desk", role="lamp_role", bucket="lamp-ota-123456789012")
    hands.iot.create_job(jobId="other", targets=[hands.thing("desk")], document="{}")
    updates = listed(account, "updates")
    assert list(updates) == ["desk_update", "lamp_update"], "newest first"
    assert ours(updates) == {"lamp_update": True, "desk_update": False}
    assert dict(updates["lamp_update"].facts) == {
        "status": "CREATE_COMPLETE",
        "job": "AFR_OTA-lamp_update",
        "job_status": "IN_PROGRESS",
        "targets": ["lamp"],
    }
    jobs = listed(account, "jobs")
    assert list(jobs) == ["other", "AFR_OTA-desk_update", "AFR_OTA-lamp_update"], "newest first"
    assert ours(jobs) == {"AFR_OTA-lamp_update": True, "AFR_OTA-desk_update": False, "other": False}
    assert dict(jobs["AFR_OTA-desk_update"].facts) == {"status": "IN_PROGRESS", "targets": ["desk"]}


def test_an_update_without_a_job_says_so(hands: Hands, account: Cloud) -> None:
    hands.thing("lamp")
    hands.update("lost", "lamp", role="no-such-role", bucket="no-such-bucket")
    facts = listed(account, "updates")["lost"].facts
    assert (facts["status"], facts["job_status"]) == ("CREATE_FAILED", "none")


def test_what_goes_while_it_is_listed_is_no_error(hands: Hands, account: Cloud, control: Control) -> None:
    hands.whole("lamp", ours=True)
    for operation in GONE_MEANWHILE:
        control.fail(operation, code="ResourceNotFoundException", status=404, times=100)
    control.fail("GetRole", code="NoSuchEntity", status=404, times=100)
    for operation in ("GetBucketTagging", "GetBucketVersioning"):
        control.fail(operation, code="NoSuchBucket", status=404, times=100)
    made = make_listings(account, LISTED, ALL)
    there = {noun.plural: len(hands.names().get(noun.plural, ())) for noun in LISTED}
    assert {one.noun.plural: one.total for one in made if isinstance(one, Listing)} == there
    updates = next(one for one in made if isinstance(one, Listing) and one.noun.plural == "updates")
    assert updates.rows[0].facts["status"] == "gone"


def test_only_what_is_shown_is_asked_about(hands: Hands, account: Cloud, control: Control) -> None:
    for number in range(30):
        hands.policy(f"policy-{number}")
    control.clear_calls()
    made = make_listing(account, NOUN_BY_PLURAL["policies"], Query(2))
    assert ([row.name for row in made.rows], made.total, made.is_cut) == (["policy-29", "policy-28"], 30, True)
    asked = control.operations()
    assert sorted(asked) == ["ListPolicies", *["ListTagsForResource"] * 2, *["ListTargetsForPolicy"] * 2]


def test_what_is_ours_is_found_behind_what_is_not(hands: Hands, account: Cloud, control: Control) -> None:
    hands.policy("ours-1", ours_for="lamp")
    hands.policy("ours-2", ours_for="desk")
    for number in range(10):
        hands.policy(f"theirs-{number}")
    control.clear_calls()
    made = make_listing(account, NOUN_BY_PLURAL["policies"], Query(1, is_ours=True))
    assert ([row.name for row in made.rows], made.total) == (["ours-2"], 2)
    assert control.operations().count("ListTargetsForPolicy") == 1


def test_the_filter_comes_before_every_question(hands: Hands, account: Cloud, control: Control) -> None:
    for name in ("lamp-1", "lamp-2", "desk-1"):
        hands.bucket(name, ours_for=name)
    control.clear_calls()
    assert set(listed(account, "buckets", Query(10, "lamp-*", is_ours=True))) == {"lamp-1", "lamp-2"}
    assert control.operations().count("GetBucketTagging") == 2


def test_refused_lists_leave_the_others(hands: Hands, account: Cloud, control: Control) -> None:
    hands.thing("lamp")
    control.fail("ListRoles", "access-denied", times=50)
    made = make_listings(account, LISTED, ALL)
    refused = [one for one in made if not isinstance(one, Listing)]
    assert len(made) == len(LISTED)
    assert [type(one) for one in refused] == [PermissionDenied]
    assert "iam:ListRoles" in str(refused[0])


@pytest.mark.parametrize(
    ("query", "rows", "total", "words"),
    [
        (Query(25), 0, 0, "no things"),
        (Query(25, "lamp*"), 0, 0, "no things like lamp*"),
        (Query(25, is_ours=True), 0, 0, "no things that this tool made"),
        (Query(25), 3, 3, "things: 3"),
        (Query(2), 2, 2000, "things: 2 of 2,000; --limit 2000 shows all"),
        (Query(2, "lamp*", is_ours=True), 2, 3, "things that this tool made like lamp*: 2 of 3; --limit 3 shows all"),
    ],
)
def test_the_heading_says_how_many_there_are(query: Query, rows: int, total: int, words: str) -> None:
    noun = NOUN_BY_PLURAL["things"]
    assert listings.heading(Listing(noun, tuple(Row(str(one)) for one in range(rows)), total), query) == words


def test_a_list_too_long_for_its_details_says_so() -> None:
    noun = NOUN_BY_PLURAL["certificates"]
    rows = tuple(Row(str(one)) for one in range(listings.MOST_FILLED + 1))
    assert listings.notes(Listing(noun, rows[1:], 500)) == []
    assert "first 200 certificates only" in listings.notes(Listing(noun, rows, 500))[0]


def test_a_cell_shows_some_of_many() -> None:
    noun = NOUN_BY_PLURAL["things"]
    row = Row("lamp", is_ours=True, facts={"certificates": ["a", "b", "c", "d"]})
    assert listings.cells(noun, row, NOW) == ("lamp", "a, b +2", "yes")
    assert listings.as_document(Listing(noun, (row,), 1)) == {
        "total": 1,
        "rows": [{"name": "lamp", "certificates": ["a", "b", "c", "d"], "ours": True}],
    }


def _iam_document() -> str:
    return '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'


def test_a_role_that_cannot_be_ours_is_not_asked_for_its_tags(hands: Hands, account: Cloud, control: Control) -> None:
    """The list tells whom a role trusts: AWS IoT alone lets one deliver updates."""
    for number in range(10):
        hands.iam.create_role(RoleName=f"ec2-{number}", AssumeRolePolicyDocument=trust_document("ec2.amazonaws.com"))
    hands.role("lamp_role", ours_for="lamp")
    hands.iam.create_role(
        RoleName="drifted",
        AssumeRolePolicyDocument=trust_document("ec2.amazonaws.com"),
        Description=DESCRIPTION,
        Tags=mark_tags("lamp"),
    )
    hands.role("iot-rule")
    control.clear_calls()
    assert set(listed(account, "roles", OURS)) == {"lamp_role", "drifted"}
    assert control.operations().count("GetRole") == 3


def test_roles_that_are_shown_are_asked_all_the_same(hands: Hands, account: Cloud) -> None:
    hands.iam.create_role(RoleName="ec2", AssumeRolePolicyDocument=trust_document("ec2.amazonaws.com"))
    (row,) = listed(account, "roles").values()
    assert (row.is_ours, row.facts["boundary"]) == (False, "none")
