"""README and docs hold: tables and outputs are fresh, commands run or at least parse, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.parser import Parser

import tasks
from ota.settings.formatter import format_text
from ota.settings.profile_files import FIELDS
from ota.settings.table import SETTINGS
from tests import readme_parts
from tests.project import REPOSITORY_PATH, Project
from tests.readme_parts import PAGE_PATHS

PAGES = {str(path.relative_to(REPOSITORY_PATH)): path.read_text(encoding="utf-8") for path in PAGE_PATHS}
README = PAGES["README.md"]
TASKS, SETTINGS_PAGE = PAGES["docs/tasks.md"], PAGES["docs/settings.md"]
README_BYTES = 12_000  # what a reader with five minutes reads
OPENING = (
    "python3 -m venv .venv && .venv/bin/pip install -q '.[sandbox]' && .venv/bin/invoke sandbox all",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[sandbox,test]' && .venv/bin/pytest",
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INSTALLING = re.compile(r"^.*?pip install -q (?:-e )?'\.\[([\w,]+)\]' && \.venv/bin/")
ARMS_COMMANDS = {
    "create-thing-only", "create-policy-only", "create-bucket-only", "create-iam-role-only", "create-update-only",
    "create-thing-and-policy", "create-bucket-role-update", "create-update-simplified",
    "list-things", "list-policies", "list-iam-roles", "list-ota-updates", "list-jobs", "list-buckets",
    "list-certificates", "list-all",
    "delete-thing", "delete-policy", "delete-iam-role", "delete-job", "delete-ota-update", "delete-bucket",
    "delete-certificate", "cleanup-simplified",
}  # fmt: skip

each_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of what a fresh clone has, as far as the commands need it."""
    return Project(tmp_path / "ota-tasks", {}, has_firmware=False)


def test_the_readme_can_be_read_in_five_minutes() -> None:
    assert len(README.encode()) <= README_BYTES


def test_it_opens_with_the_two_commands() -> None:
    assert tuple(text.strip() for language, text in FENCE.findall(README)[:2] if language == "sh") == OPENING


@pytest.mark.parametrize("command", OPENING)
def test_the_extras_of_the_opening_commands_exist(command: str) -> None:
    extras = INSTALLING.match(command)[1].split(",")  # type: ignore[index]
    text = (REPOSITORY_PATH / "pyproject.toml").read_text(encoding="utf-8")
    table = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    assert [extra for extra in extras if not re.search(rf"^{extra} = \[", table, re.MULTILINE)] == []


def test_the_commands_that_are_shown_with_their_output_are_those_that_are_run() -> None:
    run = [f"invoke {command}" for command in readme_parts.TYPED["run"]]
    assert _commands(_section(README, "What it looks like")) == run
    assert INSTALLING.sub("", OPENING[0]) == run[0]


def test_the_commands_that_print_the_policies_print_the_files(project: Project) -> None:
    shown = [line for line in _commands(PAGES["docs/permissions.md"]) if " > docs/" in line]
    assert len(shown) == 2
    for line in shown:
        command, _, path = line.partition(" > ")
        printed = project.run_here(*shlex.split(command)[1:]).done().out
        assert json.loads(printed) == json.loads((REPOSITORY_PATH / path).read_text(encoding="utf-8"))


def test_every_part_has_its_page() -> None:
    shown = {name for text in PAGES.values() for name in readme_parts.BEGIN.findall(text)}
    assert shown == {*readme_parts.QUICK_PARTS, *readme_parts.TYPED, "mistakes"}


@each_page
def test_a_part_made_from_the_code_is_fresh(page: str) -> None:
    for name in set(readme_parts.BEGIN.findall(PAGES[page])) & set(readme_parts.QUICK_PARTS):
        assert readme_parts.part_of(PAGES[page], name) == readme_parts.QUICK_PARTS[name](), _refresh()


def test_the_commands_run_and_print_what_is_shown() -> None:
    for name, text in readme_parts.run_parts(readme_parts.run_here).items():
        for page in PAGES.values():
            if name in readme_parts.BEGIN.findall(page):
                written = readme_parts.part_of(page, name)
                assert readme_parts.masked(written) == readme_parts.masked(text), _refresh()


def test_only_ports_ids_hashes_and_times_are_masked() -> None:
    line = "sandbox at http://127.0.0.1:4711 image created x 5 bytes, sha256 0123456789ab 0123456789ab… e"
    assert readme_parts.masked(line) == "sandbox at http://127.0.0.1:PORT image created x 5 bytes, sha256 HASH ID… e"
    lines = "lamp: loaded 1,024 of 2,048 bytes, 2 MB/s\nlamp: loaded 2,048 of 2,048 bytes\n5 bytes in 0.2 s, 7 s ago"
    assert readme_parts.masked(lines) == "LOADED\n5 bytes in SECONDS, AGO"


def test_a_part_is_replaced_in_its_place() -> None:
    page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    assert readme_parts.with_part(page, "x", "new") == page.replace("old", "new")
    assert readme_parts.part_of(page, "x") == "old"
    with pytest.raises(ValueError, match="once"):
        readme_parts.part_of(page, "y")


def test_the_policy_files_are_fresh() -> None:
    for path, text in readme_parts.policy_files().items():
        assert path.read_text(encoding="utf-8") == f"{text}\n", _refresh()


def test_every_task_is_there(project: Project) -> None:
    tree: dict[str, Any] = json.loads(project.run("--list", "-F", "json").done().out)
    names = [task["name"] for task in tree["tasks"]]
    for collection in tree["collections"]:
        default = collection["default"]
        names += [
            collection["name"] if task["name"] == default else f"{collection['name']}.{task['name']}"
            for task in collection["tasks"]
        ]
    assert [name for name in names if f"| `{name}` |" not in TASKS] == []


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_there(name: str) -> None:
    assert f"| `{name}` |" in SETTINGS_PAGE


def test_every_command_of_arms_script_has_its_row() -> None:
    table = PAGES["docs/from-arms-script.md"]
    assert {name for name in ARMS_COMMANDS if not re.search(rf"^\| .*`{name}[ `]", table, re.MULTILINE)} == set()


def test_every_command_shown_is_understood() -> None:
    commands = sorted({command for page in PAGES.values() for command in _shown_commands(page)})
    assert len(commands) > 40
    parser = Parser(contexts=Collection.from_module(tasks).to_contexts())  # of copies: it takes the help texts away
    for command in commands:
        words = [word for word in shlex.split(command.partition(" > ")[0])[1:] if word != "…"]
        parsed = parser.parse_argv(words)
        assert [one for one in parsed if one.name], command
        assert not parsed.unparsed, command


def test_the_settings_in_the_examples_exist() -> None:
    pages = "\n".join(PAGES.values())
    of_settings = "\n".join(text for page, text in PAGES.items() if page != "docs/json.md")
    text = "\n".join(body for language, body in FENCE.findall(of_settings) if language == "json")
    names = re.findall(r'^ *"(\w+)":', text, re.MULTILINE)
    variables = {name for name in re.findall(r"\bOTA_([A-Z_]+)\b", pages) if name not in _OUR_VARIABLES}
    assert names
    assert {*names, *(name.lower() for name in variables)} <= {*SETTINGS, *FIELDS}


def test_the_references_give_what_the_table_says() -> None:
    table = _section(SETTINGS_PAGE, "References")
    rows = re.findall(r"^\| (`.*`) \| `([^`]*)`.* \|$", table, re.MULTILINE)
    assert len(rows) > 5
    for written, result in rows:
        for text in re.findall(r"`([^`]+)`", written):
            assert format_text(text, {"thing_name": "myTestThing"}) == result


def test_the_variables_are_those_of_env_example() -> None:
    example = (REPOSITORY_PATH / "env.example").read_text(encoding="utf-8")
    for variable in re.findall(r"^#(AWS_\w+)=", example, re.MULTILINE):
        assert f"`{variable}`" in _section(SETTINGS_PAGE, "Credentials")


@each_page
def test_every_link_leads_somewhere(page: str) -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if not target.startswith("https://")]
    for target in targets:
        path, _, anchor = target.partition("#")
        linked = (REPOSITORY_PATH / page).parent / path if path else REPOSITORY_PATH / page
        assert linked.is_file(), target
        if anchor:
            assert anchor in _anchors(linked.read_text(encoding="utf-8")), target


@each_page
def test_every_page_is_linked_from_the_readme(page: str) -> None:
    assert page == "README.md" or f"({page})" in README


@each_page
def test_no_line_outside_tables_and_outputs_is_too_long(page: str) -> None:
    prose = FENCE.sub("", PAGES[page]).splitlines()
    assert [line for line in prose if len(line) > 120 and not line.startswith("|")] == []


_OUR_VARIABLES = {
    "CONFIG",
    "SANDBOX",
    "SANDBOX_CA",
    "SANDBOX_HTTPS_PORT",
    "SANDBOX_MQTT_HOST",
    "SANDBOX_MQTT_PORT",
    "SANDBOX_PAUSE_S",
}


def _refresh() -> str:
    return "run: python -m tests.readme_parts"


def _section(page: str, title: str) -> str:
    found = re.search(rf"^##+ {re.escape(title)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def _commands(text: str) -> list[str]:
    """The lines of the sh blocks, those that a backslash continues put together."""
    blocks = [body for language, body in FENCE.findall(text) if language == "sh"]
    return [line.strip() for body in blocks for line in body.replace("\\\n", " ").splitlines() if line.strip()]


def _shown_commands(page: str) -> set[str]:
    """Every ``invoke …`` of a page but the outputs: in sh blocks, and in the text between backticks."""
    typed = {line for line in _commands(page) if line.startswith("invoke ")}
    prose = FENCE.sub("", page)
    quoted = {text for text in re.findall(r"`([^`]+)`", prose) if text.startswith("invoke ")}
    return {text for text in typed | quoted if not text.startswith(("invoke --", "invoke with …"))}


def _anchors(page: str) -> set[str]:
    """Those of the page's titles as GitHub makes them: lower case, blanks to hyphens, other marks dropped."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
