"""The program ``ota``: the same tasks as with ``invoke``, in any folder with a settings file.

Source: invoke's documentation, "Using Invoke as a library" (distributing tasks as a program).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from invoke.config import Config
from invoke.program import Program

if TYPE_CHECKING:
    from invoke.collection import Collection

NAME = "ota"
DISTRIBUTION = "ota-tasks"
CONFIG_KEY = "ota_program"  # in invoke's configuration, where the program has left its name


class OtaConfig(Config):
    """Invoke's configuration, which also says which program runs."""

    @staticmethod
    def global_defaults() -> dict[str, Any]:
        """Invoke's defaults and the program's name."""
        return {**Config.global_defaults(), CONFIG_KEY: NAME}


class OtaProgram(Program):
    """Invoke's command line with fixed tasks."""

    def __init__(self, tasks: Collection) -> None:
        super().__init__(namespace=tasks, name=NAME, binary=NAME, binary_names=[NAME], config_class=OtaConfig)

    def parse_core(self, argv: list[str] | None) -> None:
        """As invoke's, which then leaves no compiled code; of what is imported from here on it must be kept."""
        super().parse_core(argv)
        sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

    def print_version(self) -> None:
        """The version of the installed package; finding it takes time, so it is not looked up before."""
        from importlib.metadata import version

        self.version = version(DISTRIBUTION)
        super().print_version()
