"""What references and filters give, and what is said about wrong ones."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ota.errors import SettingsError
from ota.settings.formatter import Filter, Literal, Reference, format_all, format_text, nearest, parse

VALUES = {
    "thing_name": "myTestThing",
    "role_prefix": "Proj",
    "target_application": "keyword-detection",
    "colon": "a:b:c",
    "under_score": "a_b__c",
    "empty": "",
    "dollar": "$<thing_name>",
    "spaced": "two words",
    "german": "Straße",
}

GOOD = {
    # literals
    "nothing": ("", ""),
    "plain text": ("lamp-1", "lamp-1"),
    "a dollar": ("$", "$"),
    "two dollars": ("$$", "$$"),
    "a price": ("cost $5", "cost $5"),
    "a dollar at the end": ("$<thing_name>$", "myTestThing$"),
    "a shell variable": ("$HOME/x", "$HOME/x"),
    "braces with no reference before": ("{lower}", "{lower}"),
    "angles with no dollar": ("a <b> c", "a <b> c"),
    "a path": ("./tools/scripts/build.sh", "./tools/scripts/build.sh"),
    "letters beyond ascii": ("Gerät-$<thing_name>", "Gerät-myTestThing"),
    "a line end": ("a\n$<thing_name>", "a\nmyTestThing"),
    # references
    "angle form": ("$<thing_name>", "myTestThing"),
    "brace form": ("${thing_name}", "myTestThing"),
    "text around": ("a-$<thing_name>-b", "a-myTestThing-b"),
    "brace form with text around": ("${thing_name}_policy", "myTestThing_policy"),
    "two in one text": ("$<role_prefix>-$<thing_name>_role", "Proj-myTestThing_role"),
    "both forms in one text": ("$<role_prefix>-${thing_name}_role", "Proj-myTestThing_role"),
    "two without a gap": ("$<thing_name>$<role_prefix>", "myTestThingProj"),
    "the same twice": ("$<role_prefix>$<role_prefix>", "ProjProj"),
    "an empty value": ("[$<empty>]", "[]"),
    "a value with blanks": ("$<spaced>", "two words"),
    "a dollar right before": ("5$ $<thing_name>", "5$ myTestThing"),
    "a brace behind a blank is text": ("$<thing_name> {lower}", "myTestThing {lower}"),
    "a closing brace behind is text": ("$<thing_name>}", "myTestThing}"),
    "a closing angle behind is text": ("$<thing_name>>", "myTestThing>"),
    # escapes
    "escaped angle": ("$$<thing_name>", "$<thing_name>"),
    "escaped brace": ("$${thing_name}", "${thing_name}"),
    "escape then reference": ("$$<a>$<role_prefix>", "$<a>Proj"),
    "three dollars keep one and escape": ("$$$<x>", "$$<x>"),
    "escape at the end": ("x$$<", "x$<"),
    "escaped brace and a filter": ("$${thing_name}{lower}", "${thing_name}{lower}"),
    # lower and upper
    "lower": ("$<thing_name>{lower}", "mytestthing"),
    "lower in brace form": ("${thing_name}{lower}", "mytestthing"),
    "upper": ("$<thing_name>{upper}", "MYTESTTHING"),
    "text behind a filter": ("${thing_name}{lower}-bucket", "mytestthing-bucket"),
    "blanks in a filter": ("$<thing_name>{ lower }", "mytestthing"),
    "lower of nothing": ("$<empty>{lower}", ""),
    "upper beyond ascii": ("$<german>{upper}", "STRASSE"),
    "a filter holds for its reference only": ("$<thing_name>{lower}$<role_prefix>", "mytestthingProj"),
    # replace
    "replace": ("$<thing_name>{replace my with some}", "someTestThing"),
    "replace in inner braces": ("$<thing_name>{replace{my with some}}", "someTestThing"),
    "replace in inner braces behind a blank": ("$<thing_name>{replace {my with some}}", "someTestThing"),
    "replace in brace form": ("${thing_name}{replace my with some}", "someTestThing"),
    "inner braces in brace form": ("${thing_name}{replace{my with some}}", "someTestThing"),
    "replace every occurrence": ("$<colon>{replace : with -}", "a-b-c"),
    "replace an underscore": ("$<under_score>{replace{_ with -}}", "a-b--c"),
    "replace is case-sensitive": ("$<thing_name>{replace MY with some}", "myTestThing"),
    "replace what is not there": ("$<thing_name>{replace zzz with x}", "myTestThing"),
    "replace with nothing": ("$<thing_name>{replace my with }", "TestThing"),
    "replace with nothing, blank lost": ("$<thing_name>{replace my with}", "TestThing"),
    "inner braces with nothing": ("$<thing_name>{replace{my with }}", "TestThing"),
    "replace a blank": ("$<spaced>{replace   with -}", "two-words"),
    "replace with a blank": ("$<colon>{replace : with  }", "a b c"),
    "replace the whole": ("$<thing_name>{replace myTestThing with x}", "x"),
    "replacement holds the search": ("$<role_prefix>{replace P with PP}", "PProj"),
    "the first with separates": ("$<role_prefix>{replace P with a with b}", "a with broj"),
    "dots are no wildcards": ("$<role_prefix>{replace . with -}", "Proj"),
    "backslashes are plain": (r"$<role_prefix>{replace P with \1}", r"\1roj"),
    # chains
    "lower then replace": ("$<thing_name>{lower}{replace test with x}", "myxthing"),
    "replace then lower": ("$<thing_name>{replace Test with X}{lower}", "myxthing"),
    "order matters": ("$<thing_name>{lower}{replace Test with X}", "mytestthing"),
    "lower then upper": ("$<thing_name>{lower}{upper}", "MYTESTTHING"),
    "three filters": ("$<thing_name>{replace my with _}{replace _ with -}{lower}", "-testthing"),
    "both replace forms": ("$<colon>{replace{: with _}}{replace _ with -}", "a-b-c"),
    "chains on two references": (
        "$<role_prefix>{lower}{upper}-$<thing_name>{upper}{lower}",
        "PROJ-mytestthing",
    ),
    # once only
    "a value is not read again": ("$<dollar>", "$<thing_name>"),
    "replace may make a reference's form": ("$<role_prefix>{replace Proj with $<thing_name>}", "$<thing_name>"),
    "two values may make one together": ("$<dollar>{replace thing_name with }$<empty>", "$<>"),
}

BAD = {
    "unknown name": (
        "$<thing_nam>_policy",
        '"$<thing_nam>" (character 1 of "$<thing_nam>_policy") refers to no setting; write "$<thing_name>"',
    ),
    "unknown name in brace form": ("${thingname}", '"${thingname}" refers to no setting; write "$<thing_name>"'),
    "wrong case": ("$<Thing_Name>", '"$<Thing_Name>" refers to no setting; write "$<thing_name>"'),
    "hyphen for underscore": ("$<thing-name>", '"$<thing-name>" refers to no setting; write "$<thing_name>"'),
    "blanks around the name": ("$< thing_name >", '"$< thing_name >" refers to no setting; write "$<thing_name>"'),
    "a name like no other": (
        "$<zzz>",
        '"$<zzz>" refers to no setting; name a setting, or write "$$" for a literal "$"',
    ),
    "unknown name with a filter": (
        "$<role_prefi>{lower}",
        '"$<role_prefi>{lower}" refers to no setting; write "$<role_prefix>"',
    ),
    "no name": (
        "a-$<>",
        '"$<>" (character 3 of "a-$<>") names nothing; write a setting\'s name between "$<" and ">"',
    ),
    "no name in brace form": ("${}", '"${}" names nothing; write a setting\'s name between "$<" and ">"'),
    "unclosed angle": (
        "$<thing_name",
        '"$<thing_name" is not closed; end the name with ">", or write "$$<" for a literal "$<"',
    ),
    "unclosed brace": (
        "x-${thing_name",
        '"${thing_name" (character 3 of "x-${thing_name") is not closed; '
        'end the name with "}", or write "$${" for a literal "${"',
    ),
    "opening only": ("$<", '"$<" is not closed; end the name with ">", or write "$$<" for a literal "$<"'),
    "closed by the other bracket": (
        "$<thing_name}",
        '"$<thing_name" (character 1 of "$<thing_name}") is not closed; '
        'end the name with ">", or write "$$<" for a literal "$<"',
    ),
    "unclosed before another": (
        "$<thing_name-$<role_prefix>",
        '"$<thing_name-" (character 1 of "$<thing_name-$<role_prefix>") is not closed; '
        'end the name with ">", or write "$$<" for a literal "$<"',
    ),
    "unknown filter": (
        "$<thing_name>{lowr}",
        '"{lowr}" (character 14 of "$<thing_name>{lowr}") is not a filter; '
        "write {lower}: filters are {lower}, {upper} and {replace A with B}",
    ),
    "filter in capitals": (
        "$<thing_name>{UPPER}",
        '"{UPPER}" (character 14 of "$<thing_name>{UPPER}") is not a filter; '
        "write {upper}: filters are {lower}, {upper} and {replace A with B}",
    ),
    "replace misspelt": (
        "$<thing_name>{repalce a with b}",
        '"{repalce a with b}" (character 14 of "$<thing_name>{repalce a with b}") is not a filter; '
        "write {replace A with B}: filters are {lower}, {upper} and {replace A with B}",
    ),
    "a filter like no other": (
        "$<thing_name>{x}",
        '"{x}" (character 14 of "$<thing_name>{x}") is not a filter; '
        "filters are {lower}, {upper} and {replace A with B}",
    ),
    "no filter": (
        "$<thing_name>{}",
        '"{}" (character 14 of "$<thing_name>{}") is not a filter; filters are {lower}, {upper} and {replace A with B}',
    ),
    "lower with more": (
        "$<thing_name>{lower x}",
        '"{lower x}" (character 14 of "$<thing_name>{lower x}") takes nothing more; write {lower}',
    ),
    "upper with inner braces": (
        "$<thing_name>{upper{x}}",
        '"{upper{x}}" (character 14 of "$<thing_name>{upper{x}}") takes nothing more; write {upper}',
    ),
    "replace by": (
        "$<thing_name>{replace my by some}",
        '"{replace my by some}" (character 14 of "$<thing_name>{replace my by some}") '
        "does not say what to replace with what; write {replace A with B}",
    ),
    "replace alone": (
        "$<thing_name>{replace}",
        '"{replace}" (character 14 of "$<thing_name>{replace}") '
        "does not say what to replace with what; write {replace A with B}",
    ),
    "replace nothing": (
        "$<thing_name>{replace{ with x}}",
        '"{replace{ with x}}" (character 14 of "$<thing_name>{replace{ with x}}") '
        "does not say what to replace with what; write {replace A with B}",
    ),
    "unclosed filter": (
        "$<thing_name>{lower",
        '"{lower" (character 14 of "$<thing_name>{lower") is not closed; end the filter with "}"',
    ),
    "unclosed second filter": (
        "$<thing_name>{lower}{upper",
        '"{upper" (character 21 of "$<thing_name>{lower}{upper") is not closed; end the filter with "}"',
    ),
    "inner braces closed once": (
        "$<thing_name>{replace{my with x}-b",
        '"{replace{my with x}" (character 14 of "$<thing_name>{replace{my with x}-b") is not closed; '
        'end the filter with "}}"',
    ),
    "inner braces not closed": (
        "$<thing_name>{replace{my with x",
        '"{replace{my with x" (character 14 of "$<thing_name>{replace{my with x") is not closed; '
        'end the filter with "}}"',
    ),
}


def _cases(table: dict[str, tuple[str, str]]) -> list[object]:
    return [pytest.param(*case, id=name.replace(" ", "-")) for name, case in table.items()]


@pytest.mark.parametrize(("text", "expected"), _cases(GOOD))
def test_text_becomes(text: str, expected: str) -> None:
    assert format_text(text, VALUES) == expected


@pytest.mark.parametrize(("text", "expected"), _cases(BAD))
def test_wrong_text_is_quoted_with_its_fix(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        format_text(text, VALUES, setting="policy_name")

    assert str(caught.value) == f"policy_name: {expected}"


def test_all_problems_of_a_text_are_found() -> None:
    text = "$<nope1>-$<thing_name>{lowr}{replace x}-${}-$<thing_name"

    with pytest.raises(SettingsError) as caught:
        format_text(text, VALUES)

    found = [re.findall(r'"(.*?)" \(', str(problem))[0] for problem in caught.value.problems]
    assert sorted(found) == sorted(["$<nope1>", "{lowr}", "{replace x}", "${}", "$<thing_name"])


def test_a_long_text_is_quoted_around_the_place() -> None:
    text = "a" * 200 + "$<nope>" + "b" * 200

    with pytest.raises(SettingsError) as caught:
        format_text(text, VALUES)

    quoted = f'"$<nope>" (character 201 of "…{"a" * 60}$<nope>{"b" * 53}…")'
    assert quoted in str(caught.value)


def test_a_long_text_is_not_cut_where_it_ends() -> None:
    with pytest.raises(SettingsError, match=re.escape('of "…' + "a" * 60 + '$<nope>")')):
        format_text("a" * 200 + "$<nope>", VALUES)


def test_a_long_wrong_part_is_cut() -> None:
    with pytest.raises(SettingsError, match=re.escape('"$<' + "x" * 58 + '…"')):
        format_text("$<" + "x" * 100, VALUES)


def test_an_unknown_name_is_corrected_in_the_whole_text() -> None:
    text = "a-$<thing_nam>{lower}-$<role_prefix>"

    (problem,) = format_all({"policy_name": text}, finished=VALUES).problems

    assert (problem.setting, problem.suggestion) == ("policy_name", "a-$<thing_name>{lower}-$<role_prefix>")


class TestTogether:
    """Texts that refer to each other."""

    def test_references_reach_through_references_in_any_order(self) -> None:
        texts = {"c": "$<b>{upper}3", "a": "x", "b": "$<a>2"}

        assert format_all(texts).values == {"a": "x", "b": "x2", "c": "X23"}

    def test_a_reference_may_be_used_twice_without_being_a_cycle(self) -> None:
        assert format_all({"a": "$<b>$<c>", "b": "$<c>", "c": "1"}).values["a"] == "11"

    def test_finished_values_are_not_read(self) -> None:
        done = format_all({"a": "$<b>"}, finished={"b": "$<nope>"})

        assert (done.values["a"], done.problems) == ("$<nope>", ())

    def test_others_see_what_finish_made(self) -> None:
        done = format_all({"a": "$<b>!", "b": "x"}, finish=lambda name, value: f"{name}={value}")

        assert done.values == {"b": "b=x", "a": "a=b=x!"}

    def test_uses_tells_all_that_a_value_was_made_of(self) -> None:
        done = format_all({"a": "$<b>", "b": "$<c>$<d>", "c": "1", "e": "-"}, finished={"d": "2"})

        assert done.uses == {
            "a": frozenset("bcd"),
            "b": frozenset("cd"),
            "c": frozenset(),
            "e": frozenset(),
        }

    @pytest.mark.parametrize(
        ("texts", "chains"),
        [
            pytest.param({"a": "$<a>"}, ["a -> a"], id="itself"),
            pytest.param({"a": "$<b>", "b": "$<a>"}, ["a -> b -> a"], id="two"),
            pytest.param({"a": "$<b>", "b": "${c}", "c": "x$<a>{lower}"}, ["a -> b -> c -> a"], id="three"),
            pytest.param({"x": "$<a>", "a": "$<b>", "b": "$<a>"}, ["a -> b -> a"], id="entered from outside"),
            pytest.param(
                {"a": "$<b>", "b": "$<a>", "c": "$<d>", "d": "$<c>"}, ["a -> b -> a", "c -> d -> c"], id="two cycles"
            ),
            pytest.param(
                {"a": "$<b>$<c>", "b": "$<a>", "c": "$<a>"}, ["a -> b -> a", "a -> c -> a"], id="cycles that share"
            ),
        ],
    )
    def test_a_cycle_is_shown_once(self, texts: dict[str, str], chains: list[str]) -> None:
        done = format_all(texts)

        assert sorted(re.findall(r"cycle, (.*?);", "\n".join(map(str, done.problems)))) == chains
        assert done.values == {}

    def test_what_is_beside_a_cycle_is_still_filled(self) -> None:
        assert format_all({"a": "$<a>", "b": "$<c>", "c": "1"}).values == {"b": "1", "c": "1"}

    def test_one_mistake_is_told_once_however_many_refer_to_it(self) -> None:
        done = format_all({"a": "$<b>", "b": "$<c>", "c": "$<nope>"})

        assert [problem.setting for problem in done.problems] == ["c"]
        assert done.values == {}

    def test_problems_stand_in_the_order_of_the_texts(self) -> None:
        done = format_all({"b": "$<x>", "a": "$<", "c": "$<c>", "d": "$<y>$<z>"})

        assert [problem.setting for problem in done.problems] == ["b", "a", "c", "d", "d"]


class TestAllowList:
    """``format_vars`` and what it binds."""

    def test_without_a_list_every_name_may_be_referred_to(self) -> None:
        assert format_all({"a": "$<b>", "b": "1"}, allowed=None).values["a"] == "1"

    def test_a_name_on_the_list_may_be_referred_to(self) -> None:
        assert format_all({"a": "$<b>", "b": "1"}, allowed=["b"]).problems == ()

    def test_a_name_off_the_list_is_refused_with_the_way_out(self) -> None:
        done = format_all({"a": "x-$<b>", "b": "1"}, allowed=["a"])

        assert [str(problem) for problem in done.problems] == [
            'a: "$<b>" (character 3 of "x-$<b>") is not allowed by format_vars; add ";b" to format_vars'
        ]

    def test_an_unknown_name_is_unknown_rather_than_not_allowed(self) -> None:
        assert "refers to no setting" in str(format_all({"a": "$<bb>"}, allowed=["a"]).problems[0])

    def test_finished_values_are_always_allowed(self) -> None:
        assert format_all({"a": "$<id>"}, finished={"id": "1"}, allowed=[]).values["a"] == "1"

    def test_exempt_texts_are_not_bound(self) -> None:
        done = format_all({"a": "$<c>", "b": "$<c>", "c": "1"}, allowed=[], exempt=["a"])

        assert [problem.setting for problem in done.problems] == ["b"]


def test_parse_keeps_what_was_written() -> None:
    parsed = parse("a-$<thing_name>{lower}{replace _ with -}-b")

    assert parsed.pieces == (
        Literal("a-"),
        Reference(
            "thing_name",
            (Filter("lower"), Filter("replace", "_", "-")),
            "$<thing_name>{lower}{replace _ with -}",
            2,
        ),
        Literal("-b"),
    )


@pytest.mark.parametrize("filter_", [Filter("lower"), Filter("upper"), Filter("replace", "a", "b c")], ids=str)
def test_a_filter_reads_back_as_it_is_written(filter_: Filter) -> None:
    (reference,) = parse(f"$<x>{filter_}").references()

    assert reference.filters == (filter_,)


@pytest.mark.parametrize(
    ("asked", "found"),
    [("thing_nam", "thing_name"), ("THING-NAME", "thing_name"), ("bucketname", "bucket_name"), ("zzz", None)],
)
def test_nearest_finds_the_name_that_was_meant(asked: str, found: str | None) -> None:
    assert nearest(asked, ["thing_name", "bucket_name"]) == found


PLAIN = st.text(st.characters(blacklist_characters="<{$", blacklist_categories=["Cs"]))
ANY = st.text("$<>{}ab_ ") | st.text()
SYNTAX = st.lists(
    st.sampled_from(["$", "<", ">", "{", "}", "a", "b", "lower", "replace ", " with ", "$<a>", "${b}"])
).map("".join)
NAMES = st.sampled_from("abcdef")
# Other processes may keep the machine busy, and nothing here is about time.
relaxed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(PLAIN)
def test_text_without_openings_is_itself(text: str) -> None:
    assert format_text(text, {}) == text


@relaxed
@given(ANY)
def test_a_value_is_filled_in_as_it_is(value: str) -> None:
    assert format_text("<$<x>>", {"x": value}) == f"<{value}>"


@relaxed
@given(st.lists(st.sampled_from(["$<", "${", "$ ", "<", "{", ">", "}", "a", "ä"])).map("".join))
def test_doubling_the_dollar_of_each_opening_gives_the_text_back(text: str) -> None:
    assert format_text(text.replace("$<", "$$<").replace("${", "$${"), {}) == text


@relaxed
@given(st.one_of(ANY, SYNTAX))
def test_any_text_is_filled_or_refused_with_a_reason(text: str) -> None:
    done = format_all({"value": text}, finished={"a": "1", "b": "2"})

    assert bool(done.problems) != ("value" in done.values)
    assert all(str(problem).startswith('value: "') for problem in done.problems)


@relaxed
@given(PLAIN, PLAIN, PLAIN)
def test_both_bracket_forms_mean_the_same(before: str, value: str, after: str) -> None:
    values = {"x": value}

    assert format_text(f"{before}|$<x>|{after}", values) == format_text(f"{before}|${{x}}|{after}", values)


@relaxed
@given(
    st.text(st.characters(blacklist_characters="{}", blacklist_categories=["Cs"]), min_size=1),
    st.text(st.characters(blacklist_characters="{}", blacklist_categories=["Cs"])),
    ANY,
)
def test_both_replace_forms_do_what_str_replace_does(find: str, put: str, value: str) -> None:
    assume(" with " not in f"{find} with")
    expected = value.replace(find, put)

    assert format_text(f"$<x>{{replace {find} with {put}}}", {"x": value}) == expected
    assert format_text(f"$<x>{{replace{{{find} with {put}}}}}", {"x": value}) == expected


@relaxed
@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3)))
def test_every_text_is_filled_or_explained(graph: dict[str, list[str]]) -> None:
    texts = {name: "".join(f"$<{target}>" for target in targets) + "." for name, targets in graph.items()}

    done = format_all(texts)

    assert (set(done.values) == set(texts)) == (not done.problems)
    assert all("$<" not in value for value in done.values.values())


@relaxed
@given(st.permutations(list("abcde")))
def test_the_order_of_the_texts_does_not_matter(order: list[str]) -> None:
    texts = {"a": "1", "b": "$<a>2", "c": "$<a>$<b>", "d": "$<c>{replace 1 with 0}", "e": "$<d>$<c>"}

    assert format_all({name: texts[name] for name in order}).values == format_all(texts).values
