"""What command lines in this process need not make anew: boto3's sessions and clients, RSA keys, the parser's tasks.

Making them is more than half of what such a command line costs. Sessions and clients come out the same wherever the
environment is the same, so they are made by boto3 as ever and handed out again as they were. Not kept are sessions that
read files of configuration, and clients that had to repeat a call: their pace and their count of retries are no longer
those of new ones. Keys are real ones, and each is another than the ten before it. The parser copies the descriptions of
all tasks, and then again that of each task on the command line; here it makes the second copy only.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
from collections.abc import Hashable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import invoke.parser.parser
from cryptography.hazmat.primitives.asymmetric import rsa
from invoke.vendor.lexicon import Lexicon

from ota.errors import THROTTLED_CODES

SESSIONS = 8
KEYS = 11
NO_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@functools.cache
def keeper() -> Keeper:
    """The one of this process."""
    return Keeper()


class Keeper:
    """What is kept, for one command line after the other."""

    def __init__(self) -> None:
        self._loader = botocore.loaders.create_loader()
        self._sessions: dict[Hashable, KeptSession] = {}
        self._keys: dict[tuple[int, int], list[rsa.RSAPrivateKey]] = {}
        self._make_loader = botocore.session.create_loader
        self._make_session = boto3.Session
        self._make_key = rsa.generate_private_key

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """One command line, which gets everything from here."""
        for session in self._sessions.values():
            session.take_back()
        botocore.session.create_loader = self._read_models
        boto3.Session = self._open_session  # type: ignore[assignment, misc]
        invoke.parser.parser.copy = SimpleNamespace(deepcopy=_copy_one)
        try:
            with self.giving_keys():
                yield
        finally:
            invoke.parser.parser.copy = copy
            boto3.Session = self._make_session  # type: ignore[misc]
            botocore.session.create_loader = self._make_loader

    @contextlib.contextmanager
    def giving_keys(self) -> Iterator[None]:
        """Whoever generates an RSA key gets it from here."""
        rsa.generate_private_key = self._generate_key
        try:
            yield
        finally:
            rsa.generate_private_key = self._make_key

    def forget(self) -> None:
        """Make all anew, as a process must that was forked: no connection is for two, and no two may make one key."""
        self._sessions.clear()
        self._keys.clear()

    def _read_models(self, search_path: str | None = None) -> botocore.loaders.Loader:
        return self._make_loader(search_path) if search_path else self._loader

    def _open_session(self, **options: Any) -> boto3.Session:
        is_isolated = options.get("botocore_session") is not None
        if not is_isolated and any(os.environ.get(name) != os.devnull for name in NO_FILES):
            return self._make_session(**options)
        named = {name: value for name, value in options.items() if name != "botocore_session"}
        key = (_surroundings(), is_isolated, *sorted(named.items()))
        session = self._sessions.pop(key, None) or KeptSession(**options)
        self._sessions[key] = session
        if len(self._sessions) > SESSIONS:
            del self._sessions[next(iter(self._sessions))]  # the one that was not asked for the longest
        return session

    def _generate_key(self, public_exponent: int, key_size: int) -> rsa.RSAPrivateKey:
        made = self._keys.setdefault((public_exponent, key_size), [])
        made.append(self._make_key(public_exponent, key_size) if len(made) < KEYS else made.pop(0))
        return made[-1]


class KeptSession(boto3.Session):
    """A session that makes each client once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: dict[Hashable, KeptClient] = {}

    def client(self, service: str, *, config: Any, **options: Any) -> Any:  # type: ignore[override]
        key = (service, repr(sorted(vars(config).items())), *sorted(options.items()))
        kept = self._kept.get(key)
        if kept is None or kept.is_taken or kept.is_spent:
            kept = self._kept[key] = KeptClient(super().client(service, config=config, **options))
        kept.is_taken = True
        return kept.client

    def take_back(self) -> None:
        """Every client as it was made, for the next command line."""
        for kept in self._kept.values():
            kept.take_back()


class KeptClient:
    """A client, and what was done to it since it was made."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.is_taken = False
        self.is_spent = False
        self._added: list[tuple[str, Any]] = []
        client.meta.events.register_first("needs-retry", self._note_attempt)
        self._register = client.meta.events.register
        client.meta.events.register = self._note_registration

    def take_back(self) -> None:
        for name, handler in self._added:
            self.client.meta.events.unregister(name, handler)
        self._added.clear()
        self.is_taken = False

    def _note_registration(self, name: str, handler: Any, *rest: Any, **options: Any) -> None:
        self._added.append((name, handler))
        self._register(name, handler, *rest, **options)

    def _note_attempt(self, attempts: int, response: Any, caught_exception: Exception | None, **_: object) -> None:
        is_slowed = response is not None and response[1].get("Error", {}).get("Code") in THROTTLED_CODES
        self.is_spent = self.is_spent or is_slowed or attempts > 1 or caught_exception is not None


def _copy_one(value: Any) -> Any:
    """A copy of one task's description; the descriptions of all tasks as they are, for only copies are written in."""
    return value if isinstance(value, Lexicon) else copy.deepcopy(value)


def _surroundings() -> Hashable:
    """What botocore reads in the environment."""
    names = [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]
    return frozenset((name, os.environ[name]) for name in names)
