"""Commands in messages begin as this command line did."""

from __future__ import annotations

import pytest

from ota.command_lines import aim, aim_text

SANDBOX = "invoke sandbox"
OTHER_THING = "invoke with --thing-name lamp-2"
BOTH = "invoke sandbox with --thing-name lamp-2"


@pytest.mark.parametrize(
    ("command", "prefix", "aimed"),
    [
        ("invoke clean", "invoke", "invoke clean"),
        ("invoke clean", SANDBOX, "invoke sandbox clean"),
        ("invoke clean --force", OTHER_THING, "invoke with --thing-name lamp-2 clean --force"),
        ("invoke with --toolchain GNU build", SANDBOX, "invoke sandbox with --toolchain GNU build"),
        ("invoke with --toolchain GNU build", BOTH, f"{BOTH} --toolchain GNU build"),
        (
            "invoke with --thing-name b build",
            f"{BOTH} --inference ETHOS",
            "invoke sandbox with --inference ETHOS --thing-name b build",
        ),
        ("invoke with --audio VSI build", "invoke with --audio 'a b'", "invoke with --audio VSI build"),
        ("invoke role && invoke clean", SANDBOX, "invoke sandbox role && invoke sandbox clean"),
        ("chmod 600 key && invoke thing", SANDBOX, "chmod 600 key && invoke sandbox thing"),
        ("invoke sandbox.reset", SANDBOX, "invoke sandbox.reset"),
        ("invoke sandbox all", BOTH, "invoke sandbox all"),
        ("invoke --help delete.thing", SANDBOX, "invoke --help delete.thing"),
        ("invoke with --firmware-root 'a&&b' build", SANDBOX, "invoke sandbox with --firmware-root 'a&&b' build"),
        ("openssl version", SANDBOX, "openssl version"),
        ("", SANDBOX, ""),
    ],
)
def test_a_command_is_aimed_once(command: str, prefix: str, aimed: str) -> None:
    assert aim(command, prefix) == aimed
    assert aim(aimed, prefix) == aimed


def test_only_commands_in_backquotes_are_touched() -> None:
    text = "To invoke clean power, run `invoke clean`, or `aws iot delete-thing`, then `invoke all`."
    aimed = "To invoke clean power, run `invoke sandbox clean`, or `aws iot delete-thing`, then `invoke sandbox all`."
    assert aim_text(text, SANDBOX) == aimed
