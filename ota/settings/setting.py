"""The class of a setting's row: how it is read and checked, and what it is in the sandbox.

A row is also the typed attribute of :class:`ota.settings.settings.Settings` that holds the setting's value.

Listing the tasks reads this module, so it imports nothing that takes time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

from ota.settings.names import NameProblem

SANDBOX_FOLDER = ".sandbox"

T = TypeVar("T")


class Values:
    """What has the values of the settings, by name."""

    _values: Mapping[str, Any]


class Base(Enum):
    """Where a relative path starts."""

    ROOT = "the settings file"
    FIRMWARE = "firmware_root"
    BUILD = "build_dir"


class SandboxRule(NamedTuple):
    """What a setting is in the sandbox; one of the first four has a value.

    Attributes:
        moved_to: the value there, which only a flag overrides.
        is_reset: there the value is the default, which only a flag overrides. Its references lead into the sandbox.
        stand_in: the value there where the user set none.
        kept_because: why the user's value is safe there.
        is_of_tree: where the user has a firmware tree, the user's value counts, and a path in the tree is that in the
            sandbox's copy of it (``ota/settings/sandbox_paths.py``). The other fields are for a sandbox without one.
    """

    moved_to: str = ""
    is_reset: bool = False
    stand_in: str = ""
    kept_because: str = ""
    is_of_tree: bool = False

    @property
    def guards_a_path(self) -> bool:
        """Whether a path of the user's is replaced in the sandbox, or is stated to be safe there."""
        return bool(self.moved_to or self.is_reset or self.kept_because)


def moved_to(folder: str) -> SandboxRule:
    """In the sandbox the path is this folder under ``.sandbox/``."""
    return SandboxRule(moved_to=f"{SANDBOX_FOLDER}/{folder}")


RESET = SandboxRule(is_reset=True)
IN_TREE = SandboxRule(is_reset=True, is_of_tree=True)


def stand_in(text: str) -> SandboxRule:
    """In the sandbox this value is used where the user set none."""
    return SandboxRule(stand_in=text)


def kept(because: str) -> SandboxRule:
    """In the sandbox the user's value is used too."""
    return SandboxRule(kept_because=because)


class Setting(Generic[T]):
    """The row of one setting, and the attribute that holds its value.

    Attributes:
        name: as in config.json.
        read: text to the typed value; :class:`ota.settings.readers.Unreadable` says what to write.
        meaning: one line, for the README and for the flag of ``invoke with``.
        default: the built-in value, with references; empty where the setting is unset by default.
        shipped: the placeholder in the shipped config.json; empty where it has none.
        example: a value to show where the setting must be set; empty where it never must.
        check: text to what is wrong with it, or None.
        tidy: makes a default name valid after its references are filled.
        filters: filters that make the value of a reference valid here, to suggest them.
        base: for a path on this machine, where it starts when it is relative.
        sandbox: what it is in the sandbox. A path must say so, or a sandbox run could change the user's files.
        by_profile: the default is the firmware profile's, in ``ota/profiles.py``.
        for_firmware: only the tasks that use the firmware need it, so it may refer to ``target_application``.
    """

    name: str

    def __init__(
        self,
        read: Callable[[str], T],
        meaning: str,
        default: str = "",
        *,
        shipped: str = "",
        example: str = "",
        check: Callable[[str], NameProblem | None] = lambda _text: None,
        tidy: Callable[[str], str] = lambda text: text,
        filters: str = "",
        base: Base | None = None,
        sandbox: SandboxRule | None = None,
        by_profile: bool = False,
        for_firmware: bool = False,
    ) -> None:
        if (read is Path or base) and not (base and sandbox and sandbox.guards_a_path):
            raise TypeError(f"a path needs its base and what it is in the sandbox: {meaning}")
        self.read, self.meaning, self.default, self.shipped, self.example = read, meaning, default, shipped, example
        self.check, self.tidy, self.filters = check, tidy, filters
        self.base, self.sandbox = base, sandbox or SandboxRule()
        self.by_profile, self.for_firmware = by_profile, for_firmware

    def __set_name__(self, _owner: type, name: str) -> None:
        """The name of the attribute is the name of the setting."""
        self.name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, settings: Values, owner: type) -> T: ...
    def __get__(self, settings: Values | None, owner: type) -> Setting[T] | T:
        """The row of the class, the value of an instance."""
        if settings is None:
            return self
        value: T = settings._values[self.name]
        return value

    def __set__(self, settings: object, value: object) -> None:
        """Refuse: settings do not change."""
        raise AttributeError(f"{self.name} cannot be set; settings do not change")

    @property
    def flag(self) -> str:
        """The flag of ``invoke with``: ``--thing-name``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable: ``OTA_THING_NAME``."""
        return f"OTA_{self.name.upper()}"

    @property
    def sandbox_text(self) -> str:
        """The value in the sandbox that only a flag overrides; empty where the user's counts."""
        return self.default if self.sandbox.is_reset else self.sandbox.moved_to
