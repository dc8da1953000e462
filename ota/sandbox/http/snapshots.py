"""The whole state of the sandbox: kept and brought back at once, and told object by object, for tests.

Making a crowded account by calls takes a second, bringing it back a millisecond. What is told of each object is a hash
over everything that is known of it, so that whoever compares two states learns which objects have changed.

Source: moto 5.2.5, ``moto/core/base_backend.py``: a backend's state is its attributes, which can be pickled.
"""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.iot.models import iot_backends
from moto.s3.models import s3_backends

from ota.sandbox.moto.tags import tag_backends
from ota.sandbox.registration.tasks import task_backends

if TYPE_CHECKING:
    from moto.core.base_backend import BackendDict

    from ota.sandbox.jobs.state import Region, Sandbox

CLOUDS: Mapping[str, BackendDict[Any]] = {
    "iot": iot_backends,
    "iam": iam_backends,
    "s3": s3_backends,
    "tags": tag_backends,
    "registration": task_backends,
}
OF_REGIONS = ("updates", "streams", "jobs")
AWS_OWN = "/managed_policies/arn:aws:iam::aws:"
# What looking at an object changes (moto's own).
COUNTERS = ("_tick", "_time_progressed")
Place = tuple[str, str, str]
PLAIN = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True)
class Snapshot:
    """Moto's backends by cloud, account and region, pickled, and what the sandbox keeps beside them."""

    backends: Mapping[Place, bytes]
    bucket_accounts: Mapping[str, tuple[str, str]]
    regions: Mapping[tuple[str, str], Region]


def take(sandbox: Sandbox) -> Snapshot:
    """What there is now. The caller holds the sandbox's lock, and nothing is due any more."""
    backends = {where: _pickled((vars(backend), _versions(backend))) for where, backend in _backends()}
    regions = {(one.account_id, one.name): _copied(one, sandbox) for one in sandbox.regions()}
    return Snapshot(backends, dict(s3_backends.bucket_accounts), regions)


def put_back(snapshot: Snapshot, sandbox: Sandbox) -> None:
    """Bring back what there was. The caller holds the sandbox's lock, and the sandbox is empty."""
    for (cloud, account_id, region), pickled in snapshot.backends.items():
        backend = CLOUDS[cloud][account_id][region]
        state, versions = _Unpickler(io.BytesIO(pickled)).load()
        vars(backend).update(state)
        for bucket_name, keys in versions.items():
            for key, of_key in keys.items():
                dict.__setitem__(backend.buckets[bucket_name].keys, key, of_key)
    s3_backends.bucket_accounts.update(snapshot.bucket_accounts)
    for (account_id, name), kept in snapshot.regions.items():
        vars(sandbox.region(account_id, name)).update(vars(_copied(kept, sandbox)))


def tell(sandbox: Sandbox) -> dict[str, str]:
    """Each object's place, ``iot/123456789012/eu-west-1/things/lamp``, to a hash over all that is known of it.

    AWS's own managed policies are in no account.
    """
    return {
        place: hashlib.sha256(repr(_plain(one)).encode()).hexdigest()[:16]
        for place, one in _objects(sandbox)
        if AWS_OWN not in place
    }


def _objects(sandbox: Sandbox) -> Iterator[tuple[str, Any]]:
    for where, backend in _backends():
        for attribute, held in vars(backend).items():
            yield from _members("/".join([*where, attribute]), held)
    for region in sandbox.regions():
        for attribute in OF_REGIONS:
            yield from _members(f"{region.account_id}/{region.name}/{attribute}", getattr(region, attribute))


class _Pickler(pickle.Pickler):
    """Names the backends that objects refer to, instead of copying them."""

    def persistent_id(self, obj: Any) -> Place | None:
        return next((where for where, backend in _backends() if backend is obj), None)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Place) -> Any:
        cloud, account_id, region = pid
        return CLOUDS[cloud][account_id][region]


def _pickled(state: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(state)
    return buffer.getvalue()


def _versions(backend: Any) -> dict[str, dict[str, list[Any]]]:
    """Bucket and key to all versions, in order: moto's store of them is pickled with the newest alone."""
    buckets: Mapping[str, Any] = getattr(backend, "buckets", {})
    return {name: {key: bucket.keys.getlist(key) for key in bucket.keys} for name, bucket in buckets.items()}


def _members(place: str, held: Any) -> Iterator[tuple[str, Any]]:
    """The objects in a mapping; what a bucket holds is told object by object too, and the bucket without it."""
    held = getattr(held, "tags", held)  # moto's tagging service
    if not isinstance(held, Mapping):
        return
    for name, one in held.items():
        if place.endswith("/buckets"):
            rest = {key: value for key, value in vars(one).items() if key != "keys"}
            yield f"{place}/{name}", rest
            yield from ((f"{place}/{name}/{key}", one.keys.getlist(key)) for key in one.keys)
        else:
            yield f"{place}/{name}", one


def _backends() -> Iterator[tuple[Place, Any]]:
    for cloud, backends in CLOUDS.items():
        for account_id, of_account in list(backends.items()):
            for region, backend in list(of_account.items()):
                yield (cloud, account_id, region), backend


def _copied(region: Region, sandbox: Sandbox) -> Region:
    return copy.deepcopy(region, {id(sandbox): sandbox})


def _plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """The value as plain data that is the same whenever the value is; what it is itself a part of is left out."""
    if isinstance(value, (*PLAIN, Enum)):
        return value
    if id(value) in above:
        return "…"
    deeper = (*above, id(value))
    if isinstance(value, Mapping):
        return [(str(key), _plain(value[key], deeper)) for key in sorted(value, key=str) if key not in COUNTERS]
    if isinstance(value, (list, tuple)):
        return [_plain(one, deeper) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_plain(one, deeper)) for one in value)
    # An object of S3 has its content in a file, which only its state for pickling has in it.
    state = value.__getstate__() if hasattr(value, "__getstate__") else getattr(value, "__dict__", None)
    return _plain(state, deeper) if isinstance(state, Mapping) else repr(value)
