"""Download an offered image into the device's flash: in blocks over MQTT, or in one request over HTTP.

Over MQTT the device requests as many blocks at once as AWS sends for one request, and sends the next request before the
last one is answered. When no block arrives for a while, it requests the missing ones again, with a bitmap where there
are gaps. ``--faithful`` does what Arm's firmware does: one block in a request, the next request after the block has
arrived, no retry.

Over HTTP it follows the presigned URL in its job. In the sandbox that names a host of AWS; the device connects to this
machine instead, without an entry in the hosts file, and requests and verifies the URL's host by TLS.

The firmware reports no progress during a download. ``receive: n/m``, at most once for every tenth of the image, is what
the classic agent reports.

Source: AWS IoT Developer Guide, "Using AWS IoT MQTT-based file delivery in devices" (128 KiB for one request);
``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx; ``ota.c`` of aws/ota-for-aws-iot-embedded-sdk
(``receive``).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ota.device.connection import Connection, MqttMessage
from ota.device.faults import FaultInjector
from ota.device.firmware import Offer
from ota.device.flash import Download, Flash, PendingUpdate
from ota.device.messages import BLOCK_BYTES, Block, Encoding, Topics, blocks_request, read_block, read_stream_message
from ota.device.options import Pace, Timing
from ota.device.refusals import Refused, Rejected, Stage, Symptom
from ota.errors import DeviceFailed
from ota.profiles import HTTP

PROGRESS_STEPS = 10
HTTP_TIMEOUT_S = 30.0
THIS_MACHINE = "127.0.0.1"


class Screen(Protocol):
    """Where a device shows what it does."""

    def say(self, text: str) -> None:
        """Show one line."""

    def bar(self, label: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show progress; yields what to call with the bytes done so far."""


class ImageLoader:
    """Loads images into the flash of one device.

    Attributes:
        has_progressed: whether a block of an incomplete image has arrived since this was last set to False.
        load_s: how long the last image took.
    """

    def __init__(
        self,
        topics: Topics,
        flash: Flash,
        screen: Screen,
        injector: FaultInjector,
        *,
        encoding: Encoding,
        pace: Pace,
        timing: Timing,
        opener: urllib.request.OpenerDirector,
    ) -> None:
        self._topics, self._flash, self._screen, self._injector = topics, flash, screen, injector
        self._opener = opener
        self._encoding, self._pace, self._clock = encoding, pace, timing.clock
        self.has_progressed = False
        self.load_s = 0.0

    def load(
        self, connection: Connection, offer: Offer, pending: PendingUpdate, on_step: Callable[[Download], None]
    ) -> None:
        """Load what is missing of the image; ``on_step`` is called at every tenth of it.

        Raises:
            Refused: the connection ended, or requested blocks do not arrive.
            Rejected: the cloud rejected a request for blocks.
            DeviceFailed: the presigned URL is refused or not to be trusted.
        """
        begun_s = self._clock()
        with self._flash.open_download(pending.image_name, pending.size_bytes) as download:
            if download.done_bytes:
                self._screen.say(f"resumes after {download.done_count} of {download.block_count} blocks")
            with self._screen.bar(f"{self._topics.thing_name} loads {offer.file_path}", offer.size_bytes) as show:
                self._follow(download, self._fetch(connection, offer, download), show, on_step)
        self.load_s = self._clock() - begun_s
        self.has_progressed = False

    def _fetch(self, connection: Connection, offer: Offer, download: Download) -> Iterator[int]:
        if offer.protocol == HTTP:
            return fetch_over_http(offer, download, self._injector, self._opener)
        connection.subscribe(self._topics.stream(offer.stream, "data", self._encoding), Stage.SUBSCRIBE)
        stream = BlockStream(connection, self._topics, offer, self._encoding, self._pace, self._injector)
        return stream.fetch(download)

    def _follow(
        self,
        download: Download,
        progress: Iterator[int],
        show: Callable[[int], None],
        on_step: Callable[[Download], None],
    ) -> None:
        last_step = PROGRESS_STEPS * download.done_bytes // download.size_bytes
        for done_bytes in progress:
            self.has_progressed = True
            show(done_bytes)
            step = PROGRESS_STEPS * done_bytes // download.size_bytes
            if step != last_step:
                last_step = step
                download.save()
                on_step(download)


class BlockStream:
    """Fetches the blocks of one offer over one connection.

    Args:
        connection: connected, and subscribed to the stream's data.
        topics: the thing's topics.
        offer: the image to fetch.
        encoding: JSON or CBOR.
        pace: how blocks are requested.
        injector: the fault to inject.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        offer: Offer,
        encoding: Encoding,
        pace: Pace,
        injector: FaultInjector,
    ) -> None:
        self._connection, self._offer = connection, offer
        self._encoding, self._pace, self._injector = encoding, pace, injector
        self._get, self._data, self._rejected = (
            topics.stream(offer.stream, what, encoding) for what in ("get", "data", "rejected")
        )

    def fetch(self, download: Download) -> Iterator[int]:
        """Fetch what is missing; yields the bytes that are there after each block.

        Raises:
            Refused: the connection ended, or requested blocks do not arrive.
            Rejected: the cloud rejected a request.
        """
        waiting = download.missing[::-1]
        requested: set[int] = set()
        silences = 0
        while waiting or requested:
            self._request(waiting, requested)
            block = self._receive()
            if block is None:
                silences += 1
                waiting, requested = self._after_silence(download, silences), set()
            elif download.put(block):
                requested.discard(block.index)
                silences = 0
                yield download.done_bytes
                if self._injector.cuts_connection(download.done_bytes, download.size_bytes):
                    self._connection.cut()

    def _request(self, waiting: list[int], requested: set[int]) -> None:
        """Request the next blocks, as far ahead as the pace allows."""
        room = self._pace.request_blocks * (self._pace.requests_ahead - 1)
        while waiting and len(requested) <= room:
            indexes = [waiting.pop() for _ in range(min(self._pace.request_blocks, len(waiting)))]
            self._connection.publish(self._get, blocks_request(self._offer.file_id, indexes, self._encoding))
            requested.update(indexes)

    def _receive(self) -> Block | None:
        """The next block that is not lost; None after a silence."""
        while (message := self._connection.receive(self._pace.quiet_s, Stage.BLOCKS)) is not None:
            block = self._read(message)
            if block is not None and not self._injector.loses_block(block.index):
                return block
        return None

    def _read(self, message: MqttMessage) -> Block | None:
        if message.topic == self._rejected:
            told = read_stream_message(message.payload, self._encoding)
            raise Rejected(Stage.BLOCKS, str(told.get("o", "")), str(told.get("m", "")))
        return read_block(message.payload, self._encoding) if message.topic == self._data else None

    def _after_silence(self, download: Download, silences: int) -> list[int]:
        """The missing blocks, last one first; raises Refused after the last try."""
        missing = download.missing
        if silences >= self._pace.tries:
            times = "" if silences == 1 else f", requested {silences} times"
            detail = f"{len(missing)} of {download.block_count} blocks are missing, the first is {missing[0]}{times}"
            raise Refused(Stage.BLOCKS, Symptom.SILENCE, detail)
        return missing[::-1]


def fetch_over_http(
    offer: Offer, download: Download, injector: FaultInjector, opener: urllib.request.OpenerDirector
) -> Iterator[int]:
    """Fetch the image from its presigned URL, from the first missing block on; yields as ``BlockStream.fetch`` does.

    Raises:
        DeviceFailed: the URL is refused or not to be trusted.
        Refused: the download ended too early.
    """
    _check_url(offer.url)
    first = next(iter(download.missing), 0)
    request = urllib.request.Request(offer.url)  # noqa: S310 - its scheme was checked
    if first:
        request.add_header("Range", f"bytes={first * BLOCK_BYTES}-")
    try:
        with opener.open(request, timeout=HTTP_TIMEOUT_S) as response:
            begin = first if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            for index in range(begin, download.block_count):
                data = response.read(download.length_of(index))
                if download.put(Block(index, data)):
                    yield download.done_bytes
                if injector.cuts_connection(download.done_bytes, download.size_bytes):
                    raise Refused(Stage.BLOCKS, Symptom.DROPPED, "HTTP")
    except urllib.error.HTTPError as error:
        raise DeviceFailed(
            f"{Stage.BLOCKS.value}: the presigned URL in the job document is refused with HTTP status {error.code}: it "
            "has expired, or the update's role may not read the image. Run the device again: it gets a new URL each "
            "time it asks for its job."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise Refused(Stage.BLOCKS, Symptom.DROPPED, f"HTTP, {type(error).__name__}") from None
    if download.missing:
        raise Refused(Stage.BLOCKS, Symptom.DROPPED, f"HTTP, after {download.done_bytes} bytes")


def make_opener(sandbox_ca_path: Path | None = None) -> urllib.request.OpenerDirector:
    """An opener for presigned URLs: of AWS, or of the sandbox whose CA is in ``sandbox_ca_path``."""
    if sandbox_ca_path is None:
        return urllib.request.build_opener(CheckedRedirects)
    return urllib.request.build_opener(
        CheckedRedirects, urllib.request.ProxyHandler({}), _ThisMachineHandler(sandbox_ca_path)
    )


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to a URL that a job document may name."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request for the new URL; raises DeviceFailed where it is not to be trusted."""
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _ThisMachineConnection(http.client.HTTPSConnection):
    """Connects to this machine, whatever host the URL has; TLS requests and verifies the URL's host."""

    def __init__(self, host: str, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(host, context=context, **options)
        self._tls = context

    def connect(self) -> None:
        """Connect and do the handshake."""
        plain = socket.create_connection((THIS_MACHINE, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class _ThisMachineHandler(urllib.request.HTTPSHandler):
    """Opens every https URL on this machine."""

    def __init__(self, ca_path: Path) -> None:
        self._tls = ssl.create_default_context(cafile=str(ca_path))
        super().__init__(context=self._tls)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """The response."""
        return self.do_open(partial(_ThisMachineConnection, context=self._tls), req)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise DeviceFailed(
            f"the job document's update_data_url leads to {parts.scheme}://{parts.hostname}, and an image is fetched "
            "over https only"
        )
