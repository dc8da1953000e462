"""The layout of the firmware tree: its applications, and where each has its header and its image's version.

The tree belongs to the firmware project. Arm's layout is described here only. A tree that is laid out in another way is
described by settings: ``build_command`` and ``header_path``.

Source: FreeRTOS/iot-reference-arm-corstone3xx, the folder ``applications`` and its build script's names for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ota.errors import FirmwareError
from ota.profiles import HeaderFormat

if TYPE_CHECKING:
    from ota.settings.settings import Settings

VERSION_VARIABLE = "MCUBOOT_IMAGE_VERSION_NS_UPDATE"
MODEL_VERSION_VARIABLE = "MCUBOOT_IMAGE_VERSION_NS_ML_MODEL_UPDATE"
# The only application with a machine-learning model, and the only toolchain that makes a separate image of it.
MODEL_APPLICATION, MODEL_TOOLCHAIN = "keyword-detection", "GNU"


@dataclass(frozen=True)
class VersionPlace:
    """Where the build reads an image's version: a CMake file and the variable that it sets."""

    path: Path
    variable: str


def tree_problem(settings: Settings) -> str:
    """That there is no firmware tree, and the setting to change; empty where there is one."""
    root = users_root(settings)
    if settings.has_own_layout:
        return "" if root.is_dir() else f"no firmware tree: {root} is not there; set firmware_root"
    return "" if has_firmware_tree(root) else missing_tree_text(root)


def users_root(settings: Settings) -> Path:
    """The user's firmware tree, also where the sandbox works on a copy of it."""
    return settings.tree_copy.source_path if settings.tree_copy else settings.firmware_root


def find_header_path(settings: Settings) -> Path | None:
    """Where the firmware's header is, whether or not it exists; None where the settings name none."""
    if settings.has_own_layout:
        return settings.header_path
    application = settings.target_application
    return header_path(settings.firmware_root, application, settings.header_format) if application else None


def check_tree(settings: Settings) -> Path | None:
    """The path of the firmware's header, which exists or is made from a template; None where the settings name none.

    Raises:
        FirmwareError: there is no tree, no such application in it, or no header.
        SettingsError: target_application is not set, and the tree has applications.
    """
    if not settings.has_own_layout:
        return check_application(settings.firmware_root, settings.require_application(), settings.header_format)
    if problem := tree_problem(settings):
        raise FirmwareError(problem)
    path = settings.header_path
    if path and not settings.header_template and not path.is_file():
        raise FirmwareError(f"the header {path} is not there; set header_path, or build once where the build makes it")
    return path


def has_firmware_tree(firmware_root: Path) -> bool:
    """Whether a firmware tree is there: a folder with ``applications`` in it."""
    return _applications_path(firmware_root).is_dir()


def missing_tree_text(firmware_root: Path) -> str:
    """The message where there is no tree: the folder that is missing and the setting to change."""
    return f"no firmware tree: {_applications_path(firmware_root).absolute()} is not there; set firmware_root"


def list_applications(firmware_root: Path, header_format: HeaderFormat) -> tuple[str, ...]:
    """Names of the tree's applications that connect to AWS, sorted, as its build script spells them.

    An application is a folder with a header; the folder ``keyword_detection`` is the application
    ``keyword-detection``. Empty where there is no tree.
    """
    if not has_firmware_tree(firmware_root):
        return ()
    names = [folder.replace("_", "-") for folder in _folders(firmware_root)]
    return tuple(sorted(name for name in names if header_path(firmware_root, name, header_format).is_file()))


def header_path(firmware_root: Path, target_application: str, header_format: HeaderFormat) -> Path:
    """The path of this application's header, whether or not it exists."""
    return _folder(firmware_root, target_application) / header_format.path


def version_place(firmware_root: Path, target_application: str, *, is_model: bool) -> VersionPlace | None:
    """Where the version of the update's image is set; None where it cannot be found."""
    path = _folder(firmware_root, target_application) / "CMakeLists.txt"
    variable = MODEL_VERSION_VARIABLE if is_model else VERSION_VARIABLE
    if not path.is_file():
        return None
    is_there = re.search(rf'^\s*set\({variable} +"', path.read_text(errors="replace"), re.MULTILINE)
    return VersionPlace(path, variable) if is_there else None


def has_model(target_application: str, toolchain: str) -> bool:
    """Whether this build makes a separate image for the machine-learning model."""
    return (target_application, toolchain) == (MODEL_APPLICATION, MODEL_TOOLCHAIN)


def image_kind(file_name: str, target_application: str) -> str | None:
    """Whether a build output of this name belongs to the ``application`` or its ``model``; None for another name.

    Takes the names of images and of signature files.
    """
    kinds = {
        f"{target_application}-update_signed.bin": "application",
        "update-signature.txt": "application",
        f"{target_application}-model-update_signed.bin": "model",
        "model-update-signature.txt": "model",
    }
    return kinds.get(Path(file_name).name)


def check_application(firmware_root: Path, target_application: str, header_format: HeaderFormat) -> Path:
    """The path of the application's header, which exists.

    Raises:
        FirmwareError: no tree, no such application, or one without a header.
    """
    if not has_firmware_tree(firmware_root):
        raise FirmwareError(missing_tree_text(firmware_root))
    path = header_path(firmware_root, target_application, header_format)
    known = list_applications(firmware_root, header_format)
    if target_application in known:
        return path
    choice = f"set target_application to one of: {', '.join(known) or '(the tree has none)'}"
    if target_application.replace("-", "_") in _folders(firmware_root) and "_" not in target_application:
        raise FirmwareError(
            f"the application {target_application} has no header: {path} is not there; restore it, or {choice}"
        )
    raise FirmwareError(f"the firmware tree {firmware_root} has no application {target_application!r}; {choice}")


def _folder(firmware_root: Path, target_application: str) -> Path:
    return _applications_path(firmware_root) / target_application.replace("-", "_")


def _applications_path(firmware_root: Path) -> Path:
    return firmware_root / "applications"


def _folders(firmware_root: Path) -> list[str]:
    return [entry.name for entry in _applications_path(firmware_root).iterdir() if entry.is_dir()]
