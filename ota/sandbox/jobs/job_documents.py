"""The job document of an OTA update: compact JSON with exactly the keys, in the order, that devices parse.

Source: captured documents of the OTA update service; ``populateJobDocFields`` of the Jobs library for AWS IoT embedded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .presigned_urls import AUTH_SCHEME


@dataclass(frozen=True)
class OtaFile:
    """One file of an update as its document tells it. ``url`` is a placeholder, None for MQTT alone.

    ``signature`` is the text the caller gave, ``hash_name`` and ``signature_name`` his names for the algorithms: they
    make up the key, unchecked, as the service does it.
    """

    path: str
    size_bytes: int
    file_id: int
    certificate: str
    signature: str
    hash_name: str
    signature_name: str
    file_type: int | None = None
    url: str | None = None


def ota_document(protocols: Sequence[str], stream_id: str | None, files: Sequence[OtaFile]) -> str:
    """The document as JSON text without blanks."""
    body: dict[str, Any] = {"protocols": list(protocols)}
    if stream_id is not None:
        body["streamname"] = stream_id
    body["files"] = [_file(one) for one in files]
    return json.dumps({"afr_ota": body}, separators=(",", ":"), ensure_ascii=False)


def signature_key(hash_name: str, signature_name: str) -> str:
    """``sig-sha256-rsa`` for SHA256 and RSA."""
    return f"sig-{hash_name.lower()}-{signature_name.lower()}"


def _file(file: OtaFile) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filepath": file.path,
        "filesize": file.size_bytes,
        "fileid": file.file_id,
        "certfile": file.certificate,
    }
    if file.file_type is not None:
        entry["fileType"] = file.file_type
    if file.url is not None:
        entry["update_data_url"] = file.url
        entry["auth_scheme"] = AUTH_SCHEME
    entry[signature_key(file.hash_name, file.signature_name)] = file.signature
    return entry
