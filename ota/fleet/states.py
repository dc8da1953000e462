"""What a registration that is under way keeps on disk, so that the same command carries on after any cut.

Beside the devices' folders are two files: ``registration.json`` says which task it is, and ``registration.jsonl`` is
the input that AWS reads. The input's key is unique and is on disk before the task is started, so a task whose id was
lost with a killed run is found by it. Both files are deleted once every certificate is written.

Source: POSIX ``rename`` (in ``ota/certificates/keys.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ota.certificates import keys
from ota.errors import OtaError
from ota.fleet.templates import CSR, NAME
from ota.folders import make_private_folder
from ota.messages import shell

STATE, INPUT = "registration.json", "registration.jsonl"


@dataclass(frozen=True)
class Unfinished:
    """A registration that was begun.

    Attributes:
        account: the account and region, as ``Cloud.account_name`` has it.
        bucket: where its input is.
        key: the input's key.
        template_sha256: the template's fingerprint.
        count: how many devices it has.
        task_id: empty until AWS has answered the start.
        version_id: the input's version; empty until it is uploaded, and in a bucket without versions.
    """

    account: str
    bucket: str
    key: str
    template_sha256: str
    count: int
    task_id: str = ""
    version_id: str = ""


@dataclass(frozen=True)
class StateFiles:
    """The two files in the folder of the devices."""

    folder_path: Path

    @property
    def state_path(self) -> Path:
        """The file that says which task it is."""
        return self.folder_path / STATE

    @property
    def input_path(self) -> Path:
        """The input, as it was uploaded."""
        return self.folder_path / INPUT

    def find(self) -> Unfinished | None:
        """The registration that is under way; None where there is none.

        Raises:
            OtaError: the file was changed by hand.
        """
        try:
            return Unfinished(**json.loads(self.state_path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            aside = shell("mv", self.state_path, f"{self.state_path}.bad")
            raise OtaError(
                f"{self.state_path} is not as this tool writes it, so the registration that it is about cannot be "
                "carried on. Move it away: ",
                aside,
                ", and run the same command again.",
                remedy=aside,
            ) from None

    def write(self, unfinished: Unfinished) -> None:
        """Note the registration, synced."""
        keys.write_atomically(self.state_path, json.dumps(asdict(unfinished), indent=2).encode())

    def write_input(self, lines: Iterable[str]) -> int:
        """Write the input, synced, without having all of it in memory; how many lines it has."""
        unfinished_path = self.input_path.with_name(f".{INPUT}{keys.UNFINISHED_SUFFIX}")
        make_private_folder(self.folder_path)
        with unfinished_path.open("w", encoding="utf-8") as file:
            count = sum(1 for line in lines if file.write(line))
            file.flush()
            os.fsync(file.fileno())
        unfinished_path.replace(self.input_path)
        return count

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Name and signing request of each line of the input, in order; none where the file is gone."""
        try:
            with self.input_path.open(encoding="utf-8") as file:
                for line in file:
                    read = json.loads(line)
                    yield read[NAME], read[CSR]
        except FileNotFoundError:
            return

    def remove(self) -> None:
        """Forget the registration; the input goes last, for it is of no use without the other."""
        self.state_path.unlink(missing_ok=True)
        self.input_path.unlink(missing_ok=True)
