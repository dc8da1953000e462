"""The firmware tree as this tool sees it: which applications it has and where each keeps its header.

The tree belongs to the firmware project. What the tool needs to know of its layout stands here and nowhere else, so
that another project's layout is one change; ``headers.py`` and ``builds.py`` ask here.

Source: FreeRTOS/iot-reference-arm-corstone3xx, the folder ``applications`` and its build script's names for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ota.errors import FirmwareError

HEADER_IN_APPLICATION = Path("configs/aws_configs/aws_clientcredential.h")

VERSION_VARIABLE = "MCUBOOT_IMAGE_VERSION_NS_UPDATE"
MODEL_VERSION_VARIABLE = "MCUBOOT_IMAGE_VERSION_NS_ML_MODEL_UPDATE"
# The one application that has a machine-learning model of its own beside it, with the one toolchain that splits it off.
MODEL_APPLICATION, MODEL_TOOLCHAIN = "keyword-detection", "GNU"


@dataclass(frozen=True)
class VersionPlace:
    """Where the build takes an image's version from: a CMake file and the variable that it sets."""

    path: Path
    variable: str


def has_firmware_tree(firmware_root: Path) -> bool:
    """Whether a firmware tree is there: a folder with ``applications`` in it."""
    return _applications_path(firmware_root).is_dir()


def missing_tree_text(firmware_root: Path) -> str:
    """What to say where there is no tree: where it was looked for and which setting to change."""
    return f"no firmware tree: {_applications_path(firmware_root).absolute()} is not there; set firmware_root"


def list_applications(firmware_root: Path) -> tuple[str, ...]:
    """Names of the tree's applications that connect to AWS, sorted, as its build script spells them.

    An application is a folder with an ``aws_clientcredential.h``; the folder ``keyword_detection`` is the
    application ``keyword-detection``. Empty where there is no tree.
    """
    if not has_firmware_tree(firmware_root):
        return ()
    names = [folder.replace("_", "-") for folder in _folders(firmware_root)]
    return tuple(sorted(name for name in names if header_path(firmware_root, name).is_file()))


def header_path(firmware_root: Path, target_application: str) -> Path:
    """Where this application keeps its ``aws_clientcredential.h``, there or not."""
    folder = target_application.replace("-", "_")
    return _applications_path(firmware_root) / folder / HEADER_IN_APPLICATION


def version_place(firmware_root: Path, target_application: str, *, is_model: bool) -> VersionPlace | None:
    """Where the version of the update's image is written; None where it cannot be found."""
    path = _applications_path(firmware_root) / target_application.replace("-", "_") / "CMakeLists.txt"
    variable = MODEL_VERSION_VARIABLE if is_model else VERSION_VARIABLE
    if not path.is_file():
        return None
    is_there = re.search(rf'^\s*set\({variable} +"', path.read_text(errors="replace"), re.MULTILINE)
    return VersionPlace(path, variable) if is_there else None


def has_model(target_application: str, toolchain: str) -> bool:
    """Whether this build makes a machine-learning model of its own beside the application."""
    return (target_application, toolchain) == (MODEL_APPLICATION, MODEL_TOOLCHAIN)


def image_kind(file_name: str, target_application: str) -> str | None:
    """Whether a build output of this name belongs to the ``application`` or its ``model``; None where none says so.

    Takes the names of images and of signature files.
    """
    kinds = {
        f"{target_application}-update_signed.bin": "application",
        "update-signature.txt": "application",
        f"{target_application}-model-update_signed.bin": "model",
        "model-update-signature.txt": "model",
    }
    return kinds.get(Path(file_name).name)


def check_application(firmware_root: Path, target_application: str) -> Path:
    """The header's path of an application that the tree really has.

    Raises:
        FirmwareError: no tree, no such application, or one without a header.
    """
    if not has_firmware_tree(firmware_root):
        raise FirmwareError(missing_tree_text(firmware_root))
    path = header_path(firmware_root, target_application)
    known = list_applications(firmware_root)
    if target_application in known:
        return path
    choice = f"set target_application to one of: {', '.join(known) or '(the tree has none)'}"
    if target_application.replace("-", "_") in _folders(firmware_root) and "_" not in target_application:
        raise FirmwareError(
            f"the application {target_application} has no header: {path} is not there; restore it, or {choice}"
        )
    raise FirmwareError(f"the firmware tree {firmware_root} has no application {target_application!r}; {choice}")


def _applications_path(firmware_root: Path) -> Path:
    return firmware_root / "applications"


def _folders(firmware_root: Path) -> list[str]:
    return [entry.name for entry in _applications_path(firmware_root).iterdir() if entry.is_dir()]
