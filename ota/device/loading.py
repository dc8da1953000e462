"""Loads an offered image into the device's flash, and tells how far it is: here, and to whoever watches the job.

The firmware reports nothing while it loads; ``receive: n/m``, at most every tenth of the way, is the classic agent's.

Source: ``ota_orchestrator.c`` of FreeRTOS/iot-reference-arm-corstone3xx; ``ota.c`` of
aws/ota-for-aws-iot-embedded-sdk (``receive``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ota.device.blocks import Download
from ota.device.connection import Connection
from ota.device.download import FAITHFUL_PACE, BlockStream, Pace, fetch_over_http
from ota.device.faults import Trouble
from ota.device.images import Store
from ota.device.manners import Manners, Talk
from ota.device.memory import Pending
from ota.device.messages import Topics
from ota.device.offers import Offer
from ota.device.refusals import Place
from ota.profiles import HTTP

PROGRESS_STEPS = 10


class Loader:
    """Loads images of one device.

    Attributes:
        has_progressed: whether a block of an image that is not whole has come since this was last set to False.
        load_s: how long the last image took.
    """

    def __init__(
        self, topics: Topics, store: Store, manners: Manners, talk: Talk, trouble: Trouble, *, is_faithful: bool
    ) -> None:
        self._topics, self._store, self._manners = topics, store, manners
        self._talk, self._trouble = talk, trouble
        self._pace = manners.pace or (FAITHFUL_PACE if is_faithful else Pace())
        self.has_progressed = False
        self.load_s = 0.0

    def load(self, connection: Connection, offer: Offer, pending: Pending, on_step: Callable[[Download], None]) -> None:
        """Load what is missing of the image; ``on_step`` is called at every tenth of the way.

        Raises:
            Refused, Rejected, DeviceFailed: as ``device_download`` has it.
        """
        begun = self._manners.clock()
        with self._store.open_download(pending.image_name, pending.size_bytes) as download:
            if download.done_bytes:
                self._talk.say(f"goes on after {download.done_count} of {download.block_count} blocks")
            with self._talk.bar(f"{self._topics.thing_name} loads {offer.file_path}", offer.size_bytes) as show:
                self._follow(download, self._fetch(connection, offer, download), show, on_step)
        self.load_s = self._manners.clock() - begun
        self.has_progressed = False

    def _fetch(self, connection: Connection, offer: Offer, download: Download) -> Iterator[int]:
        if offer.protocol == HTTP:
            return fetch_over_http(offer, download, self._trouble)
        encoding = self._manners.encoding
        connection.subscribe(self._topics.stream(offer.stream, "data", encoding), Place.SUBSCRIBE)
        return BlockStream(connection, self._topics, offer, encoding, self._pace, self._trouble).fetch(download)

    def _follow(
        self,
        download: Download,
        progress: Iterator[int],
        show: Callable[[int], None],
        on_step: Callable[[Download], None],
    ) -> None:
        told = PROGRESS_STEPS * download.done_bytes // download.size_bytes
        for done_bytes in progress:
            self.has_progressed = True
            show(done_bytes)
            step = PROGRESS_STEPS * done_bytes // download.size_bytes
            if step != told:
                told = step
                download.save()
                on_step(download)
