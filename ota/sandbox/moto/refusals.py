"""A refusal that moto's serializer renders in the form of the service at hand.

moto looks up an exception's code in the service's model and takes HTTP status, body and headers from there, provided
that the exception's class does not live in moto's own core (it would be taken for a service called "core").

Source: moto 5.2.5, ``moto/core/errors.py`` and ``moto/core/serialize.py``.
"""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException


class Refusal(ServiceException):
    """AWS's no: the code of an error shape, a sentence, and the shape's further members."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(code, message)
        vars(self).update(fields)


def invalid_request(message: str) -> Refusal:
    """400 InvalidRequestException, AWS IoT's general refusal."""
    return Refusal("InvalidRequestException", message)
