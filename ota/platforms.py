"""What this computer's system lacks, and what a user does about it.

Every task works on Linux, macOS and Windows, except two things that need a POSIX system: the sandbox, whose processes
are found and ended by POSIX means, and build scripts for a POSIX shell, such as Arm's. On Windows both work in WSL.

Source: Python's ``os`` and ``fcntl`` documentation ("Availability: Unix").
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ota.errors import OtaError
from ota.messages import Shell, shell

HAS_PROCESS_GROUPS = hasattr(os, "killpg")
# Without users by number, the mode of a file does not tell who may read it.
HAS_FILE_MODES = hasattr(os, "geteuid")
# Without this flag a folder cannot be opened, and so cannot be synced.
CAN_OPEN_FOLDERS = hasattr(os, "O_DIRECTORY")
INSTALL_WSL = shell("wsl", "--install")


def lacking() -> Iterator[str]:
    """A sentence for each thing that does not work on this system."""
    if not HAS_PROCESS_GROUPS:
        yield "the sandbox does not run on this system: use WSL for it"
        yield "a build script for a POSIX shell, such as Arm's, does not run on this system: use WSL, or set skip_build"


def end_process_command(pid: int) -> Shell:
    """The command that ends a process."""
    return shell("kill", pid) if HAS_PROCESS_GROUPS else shell("taskkill", "/PID", pid)


def check_sandbox() -> None:
    """Refuse the sandbox where it cannot run.

    Raises:
        OtaError: this system is not POSIX.
    """
    if not HAS_PROCESS_GROUPS:
        raise OtaError("The sandbox needs Linux or macOS. On Windows, run it in WSL: ", INSTALL_WSL, remedy=INSTALL_WSL)
