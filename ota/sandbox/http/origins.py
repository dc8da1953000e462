"""Refuses what a web page makes the user's browser send to the sandbox.

A page of any site can make a browser call 127.0.0.1, and with a name of its own that it lets resolve to 127.0.0.1 (DNS
rebinding) it could also read the answers. AWS clients send neither ``Origin`` nor ``Sec-Fetch-Site``, and the sandbox's
own address as the host, with a bucket's name in front where they address buckets so. Nobody but AWS can let a name
under amazonaws.com resolve to this machine, so requests that are led here by a hosts entry are answered.

Source: Fetch Standard ("Origin"), W3C "Fetch Metadata Request Headers", RFC 6761 section 6.3 (names under localhost).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_OWN_HOST = re.compile(r"(127\.0\.0\.1|([a-z0-9.-]+\.)?localhost|[a-z0-9.-]+\.amazonaws\.com(\.cn)?)(:\d{1,5})?")


def find_foreign(environ: WSGIEnvironment) -> str | None:
    """Why this request is not answered, as a sentence; None when it is."""
    if "HTTP_ORIGIN" in environ:
        return "The sandbox answers no web page: the request has an Origin header."
    if environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        return "The sandbox answers no web page: its Sec-Fetch-Site header says that one sent the request."
    host = environ.get("HTTP_HOST", "")
    if not _OWN_HOST.fullmatch(host.lower()):
        return f"The sandbox is not known as {host[:253] or 'no host'}: address it as 127.0.0.1 or localhost."
    return None
