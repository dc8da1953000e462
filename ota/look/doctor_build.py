"""The doctor's checks of the build: the firmware tree, what it lacks, and the programs that build it.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``tools/scripts/build.sh`` for the tools that its build calls, and
``cmake/CompilerFlags*.cmake`` for its compilers; gitmodules(5).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ota.errors import OtaError, attempt
from ota.firmware import builds
from ota.firmware.tree import check_tree, list_applications, tree_problem, users_root
from ota.messages import AnyCommand, Remedy, command, shell
from ota.outcomes import Finding, fatal, ok

if TYPE_CHECKING:
    from ota.settings.settings import Settings

FIRMWARE_URL = "https://github.com/FreeRTOS/iot-reference-arm-corstone3xx.git"
# A program that Arm's build may call, and the package that contains it; none where no package does.
PACKAGES = {
    "openssl": "openssl",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "python3": "python3",
    "git": "git",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
}
COMPILERS = {"GNU": "arm-none-eabi-gcc", "ARMCLANG": "armclang"}
COMPILER_URL = "https://developer.arm.com/Tools%20and%20Software/Arm%20Compiler%20for%20Embedded"
ALWAYS_NEEDED = ("openssl",)
# A script that calls this compiles; it finds the compiler by the toolchain's name.
COMPILING = "cmake"
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
SUBMODULE_PATH = re.compile(r"^\s*path\s*=\s*(\S.*?)\s*$", re.MULTILINE)
MOST_NAMED = 3


def check_build(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the firmware tree is here and whole, and so are the programs that build it."""
    if settings.skip_build:
        yield ok("build", "skipped, as skip_build says")
        return
    if problem := tree_problem(settings):
        remedy = () if settings.has_own_layout else _firmware_remedy(users_root(settings))
        yield fatal("build", problem, remedy)
        return
    refusal = attempt(lambda: _check_start(settings, environ))
    if isinstance(refusal, OtaError):
        yield fatal("build", refusal.message, refusal.remedy or _build_remedy(settings))
        return
    mistakes = [*check_submodules(settings), *_check_tools(settings, environ)]
    yield from mistakes
    if not mistakes:
        what = settings.build_command[0] if settings.has_own_build else settings.build_script_path.name
        yield ok("build", f"{what} and the programs that it calls are here")


def check_submodules(settings: Settings) -> Iterator[Finding]:
    """Whether the tree has the files of its git submodules, and not empty folders in their place."""
    listed = settings.firmware_root / ".gitmodules"
    if not listed.is_file():
        return
    paths = SUBMODULE_PATH.findall(listed.read_text(errors="replace"))
    empty = [path for path in paths if not _has_files(settings.firmware_root / path)]
    if empty:
        named = ", ".join(empty[:MOST_NAMED]) + (", …" if len(empty) > MOST_NAMED else "")
        fetch = shell("git", "-C", users_root(settings), "submodule", "update", "--init", "--recursive")
        yield fatal("submodules", f"{len(empty)} of {len(paths)} git submodules are empty: {named}", fetch)


def tools_of(script_text: str) -> tuple[str, ...]:
    """The programs in ``PACKAGES`` that a build script calls; comments do not count."""
    code = COMMENT.sub("", script_text)
    named = [tool for tool in PACKAGES if re.search(rf"(?<![\w./-]){re.escape(tool)}(?![\w-])", code)]
    return tuple(dict.fromkeys([*ALWAYS_NEEDED, *named]))


def install_command(tool: str, environ: Mapping[str, str]) -> AnyCommand:
    """The command that installs a program: with Homebrew where it is installed, else with apt."""
    if _has("brew", environ):
        return shell("brew", "install", tool)
    return shell("sudo", "apt-get", "install", "-y", PACKAGES[tool])


def _check_start(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise what the build would be refused for at its start."""
    check_tree(settings)
    if settings.has_own_build:
        builds.check_program(settings.build_command, settings.firmware_root, environ)
    else:
        builds.check_script(settings.build_script_path)


def _check_tools(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The programs that Arm's build script calls, and the compiler of the toolchain."""
    if settings.has_own_build:
        return
    tools = tools_of(settings.build_script_path.read_text(errors="replace"))
    compiler = COMPILERS.get(settings.toolchain)
    needed = dict.fromkeys([*tools, compiler] if compiler and COMPILING in tools else tools)
    for tool in needed:
        if not _has(tool, environ):
            yield _missing(tool, settings.toolchain if tool == compiler else "", environ)


def _missing(tool: str, toolchain: str, environ: Mapping[str, str]) -> Finding:
    """That a program is not here, with the command that installs it; ``toolchain`` is set for that one's compiler."""
    why = f"toolchain {toolchain} needs it" if toolchain else "the build needs it"
    said = f"{tool} is not on the PATH, and {why}"
    if tool in PACKAGES:
        return fatal("tools", said, install_command(tool, environ))
    return fatal("tools", f"{said}; install it from {COMPILER_URL}")


def _has_files(folder: Path) -> bool:
    """Whether there is more than git's own file in this folder."""
    return folder.is_dir() and any(entry.name != ".git" for entry in folder.iterdir())


def _firmware_remedy(root: Path) -> Remedy:
    """Clone the firmware tree to ``root``; beside it where ``root`` is a folder with something else in it."""
    if not root.exists():
        return (_clone(root),)
    beside = root.resolve().parent / PurePosixPath(FIRMWARE_URL).stem
    use = command("doctor", firmware_root=str(beside))
    return (use,) if beside.exists() else (_clone(beside), use)


def _clone(path: Path) -> AnyCommand:
    return shell("git", "clone", "--recursive", FIRMWARE_URL, path)


def _has(tool: str, environ: Mapping[str, str]) -> bool:
    return shutil.which(tool, path=environ.get("PATH", os.defpath)) is not None


def _build_remedy(settings: Settings) -> Remedy:
    """Name an application or a script that the tree has, else restore the tree's script."""
    if settings.has_own_layout:
        return ()
    root, script = settings.firmware_root, settings.build_script_path
    known = list_applications(root, settings.header_format)
    if known and settings.target_application not in known:
        return (command("all", target_application=known[0]),)
    others = sorted(root.rglob(script.name))
    if others:
        return (command("build", build_script_path=str(others[0].relative_to(root))),)
    return (shell("git", "-C", users_root(settings), "checkout", "--", os.path.relpath(script, root)),)
