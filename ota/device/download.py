"""Fetches an image, block by block over MQTT or in one piece over HTTP, and again what was lost.

Over MQTT many blocks are asked for at once, as many as AWS sends for one request, and the next request goes out before
the last one is answered. When nothing comes for a while, what is missing by then is asked for again, with a bitmap
where there are gaps. ``--faithful`` is Arm's firmware: one block a request, the next one after it has come, no second
try.

Source: AWS IoT Developer Guide, "Using AWS IoT MQTT-based file delivery in devices" (128 KiB for one request);
``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ota.device.blocks import Download
from ota.device.connection import Connection, Message
from ota.device.faults import Trouble
from ota.device.messages import BLOCK_BYTES, Block, Encoding, Topics, blocks_request, read_block, read_stream_message
from ota.device.offers import Offer
from ota.device.refusals import Place, Refused, Rejected, Symptom
from ota.errors import DeviceFailed

REQUEST_BLOCKS = 131072 // BLOCK_BYTES
REQUESTS_AHEAD = 3
HTTP_TIMEOUT_S = 30.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Pace:
    """How blocks are asked for.

    Attributes:
        request_blocks: how many in one request.
        requests_ahead: how many requests may be unanswered.
        quiet_s: after how long without a block what is missing is asked for again.
        tries: how often in a row that is done in vain.
        clock: a count of seconds that never goes back.
    """

    request_blocks: int = REQUEST_BLOCKS
    requests_ahead: int = REQUESTS_AHEAD
    quiet_s: float = 1.0
    tries: int = 5
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)


# Nothing is asked for twice; the wait is only so long that silence is told from slowness.
FAITHFUL_PACE = Pace(request_blocks=1, requests_ahead=1, quiet_s=5.0, tries=1)


class BlockStream:
    """Fetches the blocks of one offer over one connection.

    Args:
        connection: connected, and subscribed to the stream's data.
        topics: the thing's.
        offer: what is fetched.
        encoding: JSON or CBOR.
        pace: how to ask.
        trouble: what goes wrong on purpose.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        offer: Offer,
        encoding: Encoding,
        pace: Pace,
        trouble: Trouble,
    ) -> None:
        self._connection, self._offer = connection, offer
        self._encoding, self._pace, self._trouble = encoding, pace, trouble
        self._get, self._data, self._rejected = (
            topics.stream(offer.stream, what, encoding) for what in ("get", "data", "rejected")
        )

    def fetch(self, download: Download) -> Iterator[int]:
        """Fetch what is missing; yields the bytes that are there after each block.

        Raises:
            Refused: the connection ended, or blocks that were asked for do not come.
            Rejected: the cloud does not give them.
        """
        waiting = download.missing[::-1]
        asked: set[int] = set()
        quiet = 0
        while waiting or asked:
            self._ask(waiting, asked)
            block = self._receive()
            if block is None:
                quiet += 1
                waiting, asked = self._after_silence(download, quiet), set()
            elif download.put(block):
                asked.discard(block.index)
                quiet = 0
                yield download.done_bytes
                if self._trouble.cuts(download.done_bytes, download.size_bytes):
                    self._connection.cut()

    def _ask(self, waiting: list[int], asked: set[int]) -> None:
        """Ask for the next blocks, as far ahead as the pace allows."""
        room = self._pace.request_blocks * (self._pace.requests_ahead - 1)
        while waiting and len(asked) <= room:
            indexes = [waiting.pop() for _ in range(min(self._pace.request_blocks, len(waiting)))]
            self._connection.publish(self._get, blocks_request(self._offer.file_id, indexes, self._encoding))
            asked.update(indexes)

    def _receive(self) -> Block | None:
        """The next block that is not lost; None after a silence."""
        while (message := self._connection.receive(self._pace.quiet_s, Place.BLOCKS)) is not None:
            block = self._read(message)
            if block is not None and not self._trouble.loses(block.index):
                return block
        return None

    def _read(self, message: Message) -> Block | None:
        if message.topic == self._rejected:
            told = read_stream_message(message.payload, self._encoding)
            raise Rejected(Place.BLOCKS, str(told.get("o", "")), str(told.get("m", "")))
        return read_block(message.payload, self._encoding) if message.topic == self._data else None

    def _after_silence(self, download: Download, quiet: int) -> list[int]:
        missing = download.missing
        if quiet >= self._pace.tries:
            times = "" if quiet == 1 else f", asked for {quiet} times"
            detail = f"{len(missing)} of {download.block_count} blocks are missing, the first is {missing[0]}{times}"
            raise Refused(Place.BLOCKS, Symptom.SILENCE, detail)
        return missing[::-1]


def fetch_over_http(
    offer: Offer, download: Download, trouble: Trouble, *, opener: urllib.request.OpenerDirector | None = None
) -> Iterator[int]:
    """Fetch the image from its presigned URL, from the first block on that is missing; yields as ``fetch`` does.

    Raises:
        DeviceFailed: the URL is not one to be trusted, is refused, or the download ends too early.
    """
    _check_url(offer.url)
    first = next(iter(download.missing), 0)
    request = urllib.request.Request(offer.url)  # noqa: S310 - its scheme was checked
    if first:
        request.add_header("Range", f"bytes={first * BLOCK_BYTES}-")
    try:
        with (opener or _opener(offer.url)).open(request, timeout=HTTP_TIMEOUT_S) as response:
            begin = first if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            for index in range(begin, download.block_count):
                data = response.read(download.length_of(index))
                if download.put(Block(index, data)):
                    yield download.done_bytes
                if trouble.cuts(download.done_bytes, download.size_bytes):
                    raise Refused(Place.BLOCKS, Symptom.DROPPED, "HTTP")
    except urllib.error.HTTPError as error:
        raise DeviceFailed(
            f"{Place.BLOCKS.value}: the presigned URL in the job document is refused with HTTP status {error.code}: it "
            "has run out, or the update's role may not read the image. Run the device again: each time it asks for its "
            "job it is given a new one."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise Refused(Place.BLOCKS, Symptom.DROPPED, f"HTTP, {type(error).__name__}") from None
    if download.missing:
        raise Refused(Place.BLOCKS, Symptom.DROPPED, f"HTTP, after {download.done_bytes} bytes")


def _check_url(url: str, *, allows_loopback: bool = True) -> None:
    parts = urlsplit(url)
    is_here = allows_loopback and parts.scheme == "http" and parts.hostname in LOOPBACK
    if parts.scheme != "https" and not is_here:
        raise DeviceFailed(
            f"the job document's update_data_url leads to {parts.scheme}://{parts.hostname}, and an image is fetched "
            "over https only"
        )


def _opener(url: str) -> urllib.request.OpenerDirector:
    """No proxy stands between this machine and itself."""
    handlers = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in LOOPBACK else []
    return urllib.request.build_opener(CheckedRedirects, *handlers)


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to a URL that the job document itself might name, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request for the new URL; DeviceFailed where it is not to be trusted."""
        _check_url(newurl, allows_loopback=req.type != "https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
