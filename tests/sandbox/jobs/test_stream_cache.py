"""Contents that devices read are kept while there is room, and never given for another object."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ota.sandbox.jobs.model import StreamFile
from ota.sandbox.jobs.state import Region, Sandbox
from ota.sandbox.jobs.streams import StreamError, add_stream, get_blocks
from ota.sandbox.moto.lookups import ContentCache

ACCOUNT = "555566667777"
REQUEST = {"f": 0, "l": 256}


def reading(content: bytes, log: list[bytes]) -> Callable[[], bytes]:
    def read() -> bytes:
        log.append(content)
        return content

    return read


def test_a_content_is_read_once_for_its_name() -> None:
    log: list[bytes] = []
    contents = ContentCache()
    for _ in range(3):
        assert contents.get(("b", "k", "v1"), reading(b"one", log)) == b"one"
        assert contents.get(("b", "k", "v2"), reading(b"two", log)) == b"two"
    assert log == [b"one", b"two"]


def test_what_was_asked_for_longest_ago_makes_room() -> None:
    log: list[bytes] = []
    contents = ContentCache(max_bytes=8)
    for name in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"):
        contents.get(name, reading(name.encode(), log))
    assert log == [b"aaaa", b"bbbb", b"cccc", b"bbbb"]


def test_what_is_larger_than_all_the_room_is_given_and_not_kept() -> None:
    log: list[bytes] = []
    contents = ContentCache(max_bytes=8)
    contents.get("small", reading(b"s", log))
    for _ in range(2):
        assert contents.get("large", reading(b"x" * 9, log)) == b"x" * 9
    contents.get("small", reading(b"s", log))
    assert len(log) == 3


def test_nothing_is_kept_over_a_reset() -> None:
    log: list[bytes] = []
    sandbox = Sandbox()
    sandbox.contents.get("k", reading(b"one", log))
    sandbox.reset()
    sandbox.contents.get("k", reading(b"two", log))
    assert log == [b"one", b"two"]


@pytest.fixture
def region() -> Region:
    """A bucket without versions with one object that a stream is bound to."""
    from moto.s3.models import s3_backends

    backend = s3_backends[ACCOUNT]["aws"]
    backend.reset()
    backend.create_bucket("reading", "eu-west-1")
    stored = backend.put_object("reading", "k", b"a" * 300)
    made = Region(ACCOUNT, "eu-west-1", Sandbox())
    location = {"bucket": "reading", "key": "k"}
    add_stream(made, "s", "arn:aws:iam::1:role/r", (StreamFile(0, location, None, stored.etag, 300),))
    return made


def test_an_upload_under_the_same_key_is_seen_at_once_and_so_is_a_deletion(region: Region) -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends[ACCOUNT]["aws"]
    assert b"".join(one["p"] for one in get_blocks(region, "s", REQUEST)) == b"a" * 300
    backend.put_object("reading", "k", b"b" * 300)
    with pytest.raises(StreamError, match="ETagMismatch"):
        get_blocks(region, "s", REQUEST)
    backend.put_object("reading", "k", b"a" * 300)
    assert len(get_blocks(region, "s", REQUEST)) == 2
    backend.delete_object("reading", "k")
    with pytest.raises(StreamError, match="ResourceNotFound"):
        get_blocks(region, "s", REQUEST)


def test_blocks_after_the_first_do_not_read_the_object_again(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.s3.models import FakeKey

    assert len(get_blocks(region, "s", REQUEST)) == 2
    monkeypatch.setattr(FakeKey, "value", property(lambda _: pytest.fail("read again")))
    assert len(get_blocks(region, "s", REQUEST)) == 2
