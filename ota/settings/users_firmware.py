"""What the sandbox uses of the firmware that the user's settings name, and what it does not use.

Where there is a firmware tree, the sandbox works on a copy of it. There is one where the settings name it, a build
command or a header, or where ``firmware_root`` has applications in it. Otherwise the sandbox has its miniature tree.

Source: :mod:`ota.settings.sandbox_paths`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ota.settings.readers import Unreadable, read_flag
from ota.settings.sandbox_paths import OF_TREE, READ_ONLY, TreeCopy, find_copy, paths_in_copy
from ota.settings.sources import WITH_FLAG, Choice, Sources
from ota.settings.table import SETTINGS, default_text
from ota.settings.texts import Frame, Texts, typed_paths

APPLICATIONS = "applications"


@dataclass(frozen=True)
class UsersFirmware:
    """What the sandbox uses of the user's firmware.

    Attributes:
        names: the settings for which the user's value counts.
        paths: setting to its path in the sandbox; None for a path that is not used there.
        moved: the settings whose path there is not the user's.
        copy: the copy of the tree; None where no copy is needed.
        notes: sentences that say what is copied and what is not used.
    """

    names: frozenset[str] = frozenset()
    paths: Mapping[str, Path | None] = field(default_factory=dict)
    moved: frozenset[str] = frozenset()
    copy: TreeCopy | None = None
    notes: tuple[str, ...] = ()


def find_users_firmware(sources: Sources, frame: Frame) -> UsersFirmware:
    """What the sandbox uses of the user's firmware; looks whether there is a tree."""
    outside = Texts(replace(sources, is_sandbox=False), replace(frame, root_path=frame.users_path))
    paths = typed_paths(outside.values, frame.users_path, frame.users_path)
    used = _find_used(outside, paths, frame)
    return replace(used, notes=(*used.notes, *_unused_note(outside, used)))


def _find_used(outside: Texts, paths: Mapping[str, Path | None], frame: Frame) -> UsersFirmware:
    skips_build = _is_true(outside.values["skip_build"])
    if not _has_tree(outside, paths):
        read = frozenset(name for name in READ_ONLY if skips_build and _is_named(outside.choices[name]))
        return UsersFirmware(read, {name: paths[name] for name in read})
    of_tree = {name: paths[name] for name in OF_TREE}
    private = [paths[name] for name in ("credentials_path", "private_key_path", "build_dir")]
    root_path = of_tree["firmware_root"]
    copy = find_copy(root_path, frame.root_path, tuple(filter(None, private))) if root_path else None
    if copy is None:
        return UsersFirmware(OF_TREE, of_tree)
    there = paths_in_copy(of_tree, copy, skips_build=skips_build)
    names = frozenset(name for name in OF_TREE if there[name] is not None or of_tree[name] is None)
    if there["build_script_path"] is None:
        there["build_script_path"] = copy.path / SETTINGS["build_script_path"].default
    moved = frozenset(name for name in OF_TREE if there[name] != of_tree[name])
    return UsersFirmware(names, there, moved, copy, (_copy_note(copy),))


def _has_tree(outside: Texts, paths: Mapping[str, Path | None]) -> bool:
    root_path = paths["firmware_root"]
    is_named = _is_named(outside.choices["firmware_root"])
    is_named = is_named or any(outside.choices[name].raw for name in ("build_command", "header_path"))
    return is_named or (root_path is not None and (root_path / APPLICATIONS).is_dir())


def _copy_note(copy: TreeCopy) -> str:
    return f"the sandbox works on a copy of {copy.source_path} in {copy.path}"


def _unused_note(outside: Texts, used: UsersFirmware) -> tuple[str, ...]:
    """One sentence about the settings that the user chose and the sandbox does not use; none where there are none."""
    unused = [name for name in SETTINGS if _is_unused(name, outside, used)]
    if not unused:
        return ()
    listed = " and ".join(filter(None, (", ".join(unused[:-1]), unused[-1])))
    return (f"the sandbox has its own {listed}; yours {'are' if len(unused) > 1 else 'is'} not used",)


def _is_unused(name: str, outside: Texts, used: UsersFirmware) -> bool:
    row, choice = SETTINGS[name], outside.choices[name]
    if not _is_named(choice) or choice.source == WITH_FLAG:
        return False
    if outside.values[name] == default_text(name, outside.references):
        return False
    is_replaced = row.sandbox.is_reset or bool(row.sandbox.moved_to) or name == "permissions_boundary"
    return is_replaced and name not in used.names


def _is_named(choice: Choice) -> bool:
    """Whether the user wrote this text, also as a default in the file that differs from the built-in one."""
    return bool(choice.raw) and (not choice.is_default or choice.is_bound)


def _is_true(text: str) -> bool:
    try:
        return read_flag(text)
    except Unreadable:  # reported with the other problems
        return False
