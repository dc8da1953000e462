"""Run the firmware's own build, one at a time in a tree, and read the image that it leaves.

A script that exits with 0 is not enough: there must be an image and a signature that this build wrote, or an earlier
one with the same header and certificate. An incremental build that finds nothing to do rightly leaves an old image. So
an image is accepted by what the build changed and by the times of its inputs, not by the clock.

Two runs for two things in one tree would build into one folder with one header, and a device would be offered an image
with the other thing's name in it. So a build locks the build script: every tree has one, and runs from other folders
find it too; with ``build_command`` it locks the tree's folder. The build itself also holds the lock, and keeps it when
the run that started it is killed.

Source: FreeRTOS/iot-reference-arm-corstone3xx ``tools/scripts/build.sh`` (arguments), its CMake files (outputs).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ota import locks
from ota.errors import FirmwareError, SignatureError
from ota.firmware.scripts import run_script
from ota.firmware.signatures import SignatureFile, read_signature
from ota.firmware.tree import check_application
from ota.images import ImageFile, read_image
from ota.messages import command, shell
from ota.outcomes import Outcome, Verb
from ota.platforms import HAS_PROCESS_GROUPS, INSTALL_WSL
from ota.profiles import HeaderFormat


@dataclass(frozen=True)
class BuildRequest:
    """One run of the build script, or of another command.

    Relative paths of script, image and signature start at ``firmware_root``, those of certificate and key at the
    current folder. ``clean`` passes ``-c``, with which Arm's script first removes the whole build folder.

    Attributes:
        own_command: the words of the command that builds instead of the script; empty for the script.
        clean_command: what runs before ``own_command`` where ``clean``; empty for nothing.
        header_path: the header, where the settings name it; None for the application's own.
        has_certificate: whether the image depends on the device's certificate.
    """

    firmware_root: Path
    build_script_path: Path
    target_application: str
    header_format: HeaderFormat
    certificate_path: Path
    private_key_path: Path
    target_platform: str
    inference: str
    audio: str
    toolchain: str
    clean: bool
    image_path: Path
    signature_path: Path
    own_command: tuple[str, ...] = ()
    clean_command: tuple[str, ...] = ()
    header_path: Path | None = None
    has_certificate: bool = True

    @property
    def is_emptied(self) -> bool:
        """Whether the build begins without what an earlier one left."""
        return self.clean and bool(self.clean_command or not self.own_command)


@dataclass(frozen=True)
class Image:
    """A signed image: one reading of its file, and of its signature's."""

    file: ImageFile
    signature: SignatureFile

    @property
    def path(self) -> Path:
        """The image's file."""
        return self.file.path

    @property
    def size_bytes(self) -> int:
        """The image's size."""
        return self.file.size_bytes

    @property
    def sha256(self) -> str:
        """The image's SHA-256, in hexadecimal."""
        return self.file.sha256


def find_image(image_path: Path, signature_path: Path) -> Image | None:
    """The image that a build left, read and hashed; None where image or signature is missing.

    Raises:
        FirmwareError: the image cannot be read.
        SignatureError: the signature cannot be read.
    """
    if not (image_path.is_file() and signature_path.is_file()):
        return None
    return Image(read_image(image_path), read_signature(signature_path))


def skip_build(image_path: Path, signature_path: Path) -> Outcome[Image]:
    """Take the image of an earlier build instead of building.

    Raises:
        FirmwareError: image or signature is missing, or the image is empty.
    """
    for path, what in ((image_path, "image"), (signature_path, "signature")):
        if not path.is_file():
            once = command("build", skip_build="false")
            missing = f"skip_build is set, but the {what} {path.absolute()} is not there; build once ("
            raise FirmwareError(missing, once, ")", remedy=once)
    image = _image(image_path, signature_path)
    return Outcome("image", Verb.SKIPPED, image_path.name, f"build skipped, {_size(image)} taken", image)


def needs_clean(header_path: Path | None, certificate_path: Path | None, image_path: Path) -> str | None:
    """Why an incremental build could leave an image with an old header or certificate; None where it could not.

    The files' times tell, so that it holds across runs. Without an image nothing can be old. None stands for a header
    or certificate on which the image does not depend.
    """
    if not image_path.is_file():
        return None
    for path, what in ((header_path, "header"), (certificate_path, "certificate")):
        if path and path.is_file() and path.stat().st_mtime_ns > image_path.stat().st_mtime_ns:
            return f"the {what} {path.name} is newer than the image {image_path.name}"
    return None


def ensure_build(
    request: BuildRequest,
    environ: Mapping[str, str],
    *,
    log_path: Path,
    on_line: Callable[[str], None],
    held_locks: Sequence[int] = (),
    grace_s: float = 5.0,
) -> Outcome[Image]:
    """Run the build script and return the image that it left.

    The script gets only the variables in ``environ``. All of its output goes to ``log_path`` (outside the build
    folder, which a clean build empties) and, line by line without line end, to ``on_line``. Whatever ends this call
    early, such as Ctrl-C, ends every process of the build: with SIGTERM, then after ``grace_s`` seconds with SIGKILL.
    The build also holds ``held_locks``, descriptors of locks, in case this process is killed and the build is not.

    Raises:
        FirmwareError: the tree, the script, certificate or key is missing; the build failed, with its last lines; or
            it succeeded and left no image and signature that belong to this header and certificate.
    """
    header_path = request.header_path
    if not (request.own_command or header_path):
        header_path = check_application(request.firmware_root, request.target_application, request.header_format)
    request = _absolute(request)
    _check_inputs(request, environ)
    old_image = _old_image(request)
    before = _stamps(request)
    for command_ in (request.clean_command if request.clean else (), build_command(request)):
        if command_:
            run_script(
                command_,
                request.firmware_root,
                environ,
                log_path=log_path.absolute(),
                on_line=on_line,
                held_locks=held_locks,
                grace_s=grace_s,
            )
    _check_outputs(request, header_path, before, log_path)
    image = _image(request.image_path, request.signature_path)
    return Outcome("image", _verb(old_image, image), image.path.name, _size(image), image)


def build_command(request: BuildRequest) -> list[str]:
    """The words of this build's command, program first."""
    if request.own_command:
        return list(request.own_command)
    return [
        str(request.build_script_path),
        request.target_application,
        *("--certificate_path", str(request.certificate_path)),
        *("--private_key_path", str(request.private_key_path)),
        *("--target", request.target_platform),
        *("--inference", request.inference),
        *("--audio", request.audio),
        *("--toolchain", request.toolchain),
        *(["-c"] if request.clean else []),
    ]


def check_program(command_: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
    """Refuse a command whose program is not on this computer; a relative path of it starts at ``folder``.

    Raises:
        FirmwareError: the program is missing or not executable.
    """
    program = command_[0]
    if os.sep not in program:
        if shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
            raise FirmwareError(f"{program}, with which build_command begins, is not on the PATH; install it")
        return
    path = folder / program
    if not path.is_file():
        raise FirmwareError(f"{path}, with which build_command begins, is not there; set build_command")
    if not os.access(path, os.X_OK):
        chmod = shell("chmod", "+x", path)
        raise FirmwareError(f"{path}, with which build_command begins, is not executable; run: ", chmod, remedy=chmod)


def check_script(script: Path) -> None:
    """Refuse a build script that cannot be run.

    Raises:
        FirmwareError: it is missing or not executable.
    """
    if not script.is_file():
        raise FirmwareError(f"the build script {script} is not there; set build_script_path")
    if not os.access(script, os.X_OK):
        chmod = shell("chmod", "+x", script)
        raise FirmwareError(f"the build script {script} is not executable; run: ", chmod, remedy=chmod)
    if not HAS_PROCESS_GROUPS and _is_shell_script(script):
        raise FirmwareError(
            f"the build script {script} needs a POSIX shell: on Windows, run it in WSL (",
            INSTALL_WSL,
            "), or build elsewhere and set skip_build",
            remedy=INSTALL_WSL,
        )


def _is_shell_script(script: Path) -> bool:
    with script.open("rb") as file:
        return file.read(2) == b"#!"


@contextmanager
def sole_build(script_path: Path, on_wait: Callable[[], None], timeout_s: float) -> Iterator[Sequence[int]]:
    """Wait until no other run builds with this script, or in this folder, and lock it.

    ``on_wait`` is called before waiting. Yields the lock's descriptors, which the build holds as well.

    Raises:
        FirmwareError: another run still builds after ``timeout_s``.
    """
    if not script_path.exists():
        yield ()
        return
    try:
        lock = locks.take_lock_on(script_path, lambda _: on_wait(), timeout_s)
    except locks.StillHeld as held:
        raise FirmwareError(
            f"Another run still builds with {script_path} after {timeout_s:g} s (lock_timeout_s): wait for it, or end "
            "it (",
            shell("fuser", script_path),
            " lists its processes), then run the same command again.",
        ) from held
    try:
        yield lock.inheritable
    finally:
        lock.release()


def is_building(script_path: Path) -> bool:
    """Whether another process is building with this script."""
    return locks.is_locked(script_path)


def check_unchanged(image: Image) -> None:
    """Refuse an image that is no longer the one that was built or taken.

    Raises:
        FirmwareError: another run has built in the same tree in the meantime.
    """
    found = find_image(image.path, image.signature.path)
    if found is None or found.sha256 != image.sha256:
        raise FirmwareError(
            f"the image {image.path} is not the one that this run built: another run builds in the same firmware tree. "
            "Run the same command again when that build has ended, or give each run its own tree (firmware_root)."
        )


def _old_image(request: BuildRequest) -> Image | None:
    """The image of an earlier build; None also where it cannot be read, because the build writes another."""
    try:
        return find_image(request.image_path, request.signature_path)
    except (FirmwareError, SignatureError):
        return None


def _absolute(request: BuildRequest) -> BuildRequest:
    root = request.firmware_root.absolute()
    return replace(
        request,
        firmware_root=root,
        build_script_path=root / request.build_script_path,
        certificate_path=request.certificate_path.absolute(),
        private_key_path=request.private_key_path.absolute(),
        image_path=root / request.image_path,
        signature_path=root / request.signature_path,
    )


def _check_inputs(request: BuildRequest, environ: Mapping[str, str]) -> None:
    if request.own_command:
        check_program(request.own_command, request.firmware_root, environ)
    else:
        check_script(request.build_script_path)
    if not request.has_certificate:
        return
    for path, what in ((request.certificate_path, "certificate"), (request.private_key_path, "private key")):
        if not path.is_file():
            thing, skip = command("thing"), command("update", skip_build="true")
            raise FirmwareError(
                f"the device's {what} {path} is not there; run ",
                thing,
                ". For a device in the field put the file there, or build apart from this tool and run ",
                skip,
                remedy=thing,
            )


def _stamps(request: BuildRequest) -> tuple[object, object]:
    return _stamp(request.image_path), _stamp(request.signature_path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _check_outputs(
    request: BuildRequest, header_path: Path | None, before: tuple[object, object], log_path: Path
) -> None:
    problem = _output_problem(request, header_path, before)
    if problem:
        raise FirmwareError(f"the build reported success, but {problem} (its output is in {log_path})")


def _output_problem(request: BuildRequest, header_path: Path | None, before: tuple[object, object]) -> str | None:
    for path, what in ((request.image_path, "image"), (request.signature_path, "signature")):
        if not path.is_file():
            return f"the {what} {path} is not there; set build_dir and its file name to where the script writes"
    is_new_image, is_new_signature = (old != new for old, new in zip(before, _stamps(request), strict=True))
    if request.is_emptied and not is_new_image:
        return f"the image {request.image_path} is from before; set build_dir to where the script writes"
    if is_new_image and not is_new_signature:
        return f"the signature {request.signature_path} is older than the image; {_way_to_clean(request)}"
    certificate_path = request.certificate_path if request.has_certificate else None
    stale = needs_clean(header_path, certificate_path, request.image_path)
    return f"{stale}; {_way_to_clean(request)}" if stale else None


def _way_to_clean(request: BuildRequest) -> str:
    if request.own_command and not request.clean_command:
        return "set clean_command to what removes the old build"
    return "set clean_build to true"


def _image(image_path: Path, signature_path: Path) -> Image:
    image = find_image(image_path, signature_path)
    if image is None or image.size_bytes == 0:
        raise FirmwareError(f"the image {image_path} is empty; build again with clean_build set to true")
    return image


def _verb(old: Image | None, new: Image) -> Verb:
    if old is None:
        return Verb.CREATED
    return Verb.REUSED if old.sha256 == new.sha256 else Verb.CHANGED


def _size(image: Image) -> str:
    return f"{image.size_bytes:,} bytes, sha256 {image.sha256[:12]}"
