"""Cuts a list into pages with opaque tokens, for the IoT lists that moto returns whole.

Source: AWS IoT API reference, ``pageSize``/``marker``/``nextMarker`` and ``maxResults``/``nextToken``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from .refusals import invalid_request

T = TypeVar("T")

_DEFAULT_SIZE = 25


def cut_page(items: Sequence[T], size: int | None, token: str | None) -> tuple[Sequence[T], str | None]:
    """The page that ``token`` names (None: the first) and the token of the one after it, if any."""
    start = _offset(token) if token is not None else 0
    end = start + int(size or _DEFAULT_SIZE)
    following = base64.urlsafe_b64encode(f"o:{end}".encode()).decode() if end < len(items) else None
    return items[start:end], following


def _offset(token: str) -> int:
    try:
        kind, _, offset = base64.urlsafe_b64decode(token).decode().partition(":")
        if kind == "o" and offset.isdecimal():
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    raise invalid_request(f"Invalid token: {token}")
