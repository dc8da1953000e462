"""Names that AWS and the firmware take, names that they do not, and what is suggested instead."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.settings import names
from ota.settings.names import NameProblem

BOUNDARY = "arn:aws:iam::123456789012:policy/Boundary"
CERTIFICATE = f"arn:aws:iot:eu-west-1:123456789012:cert/{'0f' * 32}"
Check = Callable[[str], NameProblem | None]

GOOD: dict[Check, list[str]] = {
    names.thing_name_problem: ["a", "myTestThing", "lamp-1", "a_b:c-D", "x" * 128],
    names.group_name_problem: ["a", "lamps:2026_a-B", "x" * 128],
    names.policy_name_problem: ["a", "lamp_policy", "w+=,.@-_", "x" * 128],
    names.role_name_problem: ["a", "Proj-lamp_role", "w+=,.@-_", "x" * 64],
    names.role_prefix_problem: ["Proj", "x" * 40],
    names.update_name_problem: ["a", "lamp_update-1", "x" * 55],
    names.bucket_name_problem: ["abc", "my.bucket-1", "a" * 63, "1-2", "1.2.3", "lamp-ota-123456789012", "s3alias"],
    names.boundary_problem: [
        BOUNDARY,
        "arn:aws-cn:iam::123456789012:policy/B",
        "arn:aws-us-gov:iam::123456789012:policy/path/B",
        "arn:aws:iam::aws:policy/PowerUserAccess",
    ],
    names.certificate_arn_problem: ["CREATE_NEW_CERTIFICATE", CERTIFICATE, CERTIFICATE.replace("aws", "aws-cn", 1)],
    names.word_problem: ["corstone315", "GNU", "ETHOS-U55", "a/b"],
    names.application_problem: ["keyword-detection", "my_app", "app2", "a.b"],
}

# check, refused value, part of the reason, what to write (a value, or the start of the form)
BAD: list[tuple[Check, str, str, str]] = [
    (names.thing_name_problem, "my lamp", "may hold only", "my-lamp"),
    (names.thing_name_problem, "lämp.1", "may hold only", "l-mp-1"),
    (names.thing_name_problem, "", "may hold only", "write one of 1 to 128 characters"),
    (names.thing_name_problem, "x" * 129, "at most 128 characters, this has 129", "x" * 119 + "-0ec9eb33"),
    (names.group_name_problem, "all lamps", "may hold only", "all-lamps"),
    (names.policy_name_problem, "a:b", "may hold only", "a-b"),
    (names.policy_name_problem, "a policy/x", "may hold only", "a-policy-x"),
    (names.role_name_problem, "a:b_role", "may hold only", "a-b_role"),
    (names.role_prefix_problem, "a b", "role prefix may hold only", "a-b"),
    (names.update_name_problem, "a:b.c", "may hold only", "a-b-c"),
    (names.bucket_name_problem, "my_bucket", "no underscore", "my-bucket"),
    (names.bucket_name_problem, "MyBucket", "no capitals", "mybucket"),
    (names.bucket_name_problem, "ab", "3 to 63 characters, this has 2", "ota-ab"),
    (names.bucket_name_problem, "", "this has 0", "ota"),
    (names.bucket_name_problem, "-lamp-", "starts and ends", "lamp"),
    (names.bucket_name_problem, "a..b", "two dots", "a-b"),
    (names.bucket_name_problem, "192.168.5.4", "IP address", "192-168-5-4"),
    (names.bucket_name_problem, "xn--lamp", "start with xn--", "ota-xn--lamp"),
    (names.bucket_name_problem, "sthree-lamp", "sthree-", "ota-sthree-lamp"),
    (names.bucket_name_problem, "amzn-s3-demo-lamp", "amzn-s3-demo-", "ota-amzn-s3-demo-lamp"),
    (names.bucket_name_problem, "lamp-s3alias", "end with -s3alias", "lamp-s3alias-ota"),
    (names.bucket_name_problem, "lamp--x-s3", "--x-s3", "lamp--x-s3-ota"),
    (names.bucket_name_problem, "lamp.mrap", ".mrap", "lamp-mrap"),
    (names.boundary_problem, "Boundary", "not the ARN of an IAM policy", "write arn:aws:iam::<12 digits>:policy/"),
    (names.boundary_problem, BOUNDARY.replace("policy", "role"), "not the ARN", "write arn:aws:iam"),
    (names.boundary_problem, BOUNDARY.replace("12", "1", 1), "not the ARN", "write arn:aws:iam"),
    (names.certificate_arn_problem, "create_new_certificate", "in capitals", "CREATE_NEW_CERTIFICATE"),
    (names.certificate_arn_problem, "create-new-certificate", "in capitals", "CREATE_NEW_CERTIFICATE"),
    (names.certificate_arn_problem, "0f" * 32, "not the ARN", "write CREATE_NEW_CERTIFICATE, or arn:aws:iot:"),
    (names.certificate_arn_problem, CERTIFICATE[:-1], "not the ARN", "write CREATE_NEW_CERTIFICATE"),
    (names.word_problem, "a b", "one word", "a-b"),
    (names.word_problem, "--clean", "hyphen", "clean"),
    (names.word_problem, "-", "one word", "write a word"),
    (names.application_problem, "../x", "cannot be a target application", "x"),
    (names.application_problem, "a/b", "cannot be a target application", "a-b"),
    (names.application_problem, "..", "cannot be a target application", "write keyword-detection"),
]

PATTERNS = {
    names.tidy_policy_name: r"[A-Za-z0-9_+=,.@-]{1,128}",
    names.tidy_role_name: r"[A-Za-z0-9_+=,.@-]{1,64}",
    names.tidy_update_name: r"[A-Za-z0-9_-]{1,55}",
}
# Other processes may keep the machine busy, and nothing here is about time.
relaxed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("check", "name"),
    [pytest.param(check, name, id=f"{check.__name__}-{name[:40]}") for check in GOOD for name in GOOD[check]],
)
def test_a_good_name_passes(check: Check, name: str) -> None:
    assert check(name) is None


@pytest.mark.parametrize(
    ("check", "name", "reason", "fix"),
    [pytest.param(*case, id=f"{case[0].__name__}-{case[1][:40]}") for case in BAD],
)
def test_a_bad_name_is_refused_with_what_to_write(check: Check, name: str, reason: str, fix: str) -> None:
    problem = check(name)

    assert problem is not None
    assert reason in problem.reason
    assert (problem.suggestion or problem.form).startswith(fix)
    assert problem.suggestion in ("", fix)


@pytest.mark.parametrize(
    ("check", "limit"),
    [
        (names.thing_name_problem, 128),
        (names.policy_name_problem, 128),
        (names.role_name_problem, 64),
        (names.role_prefix_problem, 40),
        (names.update_name_problem, 55),
        (names.bucket_name_problem, 63),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_name_of_the_greatest_length_passes_and_one_more_is_cut(check: Check, limit: int) -> None:
    assert check("x" * limit) is None

    problem = check("x" * (limit + 1))

    assert problem is not None
    assert str(limit) in problem.reason
    assert len(problem.suggestion) == limit


def test_a_problem_reads_as_a_sentence() -> None:
    assert str(names.bucket_name_problem("My_Bucket")) == (
        "S3 refuses this as a bucket name: only a-z 0-9 . - are allowed, no capitals and no underscore; "
        'write "my-bucket"'
    )
    assert str(names.boundary_problem("x")).endswith("or leave it empty to make the role without a boundary")


def test_a_long_thing_name_is_warned_about_for_the_firmware() -> None:
    assert names.thing_name_warning("x" * 64) is None
    assert "has 65 characters" in str(names.thing_name_warning("x" * 65))


class TestTidy:
    """Names that the tool derives itself."""

    @pytest.mark.parametrize(
        ("tidy", "text", "expected"),
        [
            (names.tidy_policy_name, "a:b_policy", "a-b_policy"),
            (names.tidy_role_name, "-lamp_role", "lamp_role"),
            (names.tidy_role_name, "Proj-lamp_role", "Proj-lamp_role"),
            (names.tidy_role_name, "Proj-a:b_role", "Proj-a-b_role"),
            (names.tidy_update_name, "a:b.c_update", "a-b-c_update"),
            (names.tidy_bucket_name, "--lamp-ota-123456789012", "lamp-ota-123456789012"),
            (names.tidy_bucket_name, "xn--a-ota-123456789012", "ota-xn--a-ota-123456789012"),
            (names.tidy_bucket_name, "My_bucket", "My_bucket"),
        ],
    )
    def test_a_derived_name_is_made_to_fit(self, tidy: Callable[[str], str], text: str, expected: str) -> None:
        assert tidy(text) == expected

    def test_a_long_bucket_name_keeps_its_account_id(self) -> None:
        name = names.tidy_bucket_name("a" * 70 + "-ota-123456789012")

        assert len(name) == 63
        assert re.fullmatch(r"a+-[0-9a-f]{8}-123456789012", name)

    def test_a_long_role_name_keeps_its_beginning_and_its_end(self) -> None:
        name = names.tidy_role_name(f"Proj-{'a' * 100}_role")

        assert re.fullmatch(r"Proj-a+-[0-9a-f]{8}_role", name)

    def test_two_long_names_stay_two(self) -> None:
        first, second = (names.tidy_update_name(f"{'a' * 80}{last}_update") for last in "12")

        assert first != second

    @relaxed
    @given(st.text(min_size=1), st.sampled_from(list(PATTERNS)))
    def test_a_tidied_name_is_always_valid(self, text: str, tidy: Callable[[str], str]) -> None:
        assert re.fullmatch(PATTERNS[tidy], tidy(f"x{text}_role"))

    @relaxed
    @given(st.from_regex(r"[a-z0-9-]{1,128}", fullmatch=True))
    def test_a_bucket_name_from_any_thing_is_valid(self, thing: str) -> None:
        name = names.tidy_bucket_name(f"{thing}-ota-123456789012")

        assert names.bucket_name_problem(name) is None
        assert name.endswith("-123456789012")


@relaxed
@given(
    st.one_of(st.text(), st.text("abA_.-:", max_size=70), st.sampled_from(["xn--", "a--ol-s3", "sthree-"])),
    st.sampled_from(list(GOOD)),
)
def test_a_suggestion_always_passes_its_own_check(name: str, check: Check) -> None:
    problem = check(name)

    if problem and problem.suggestion:
        assert check(problem.suggestion) is None


@relaxed
@given(st.text("ab-_.", max_size=100), st.integers(30, 70))
def test_fit_cuts_only_what_is_too_long(text: str, limit: int) -> None:
    cut = names.fit(text, limit)

    assert len(cut) <= limit
    assert (cut == text) == (len(text) <= limit)
