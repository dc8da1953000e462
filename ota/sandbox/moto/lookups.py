"""Lookups in moto's registries: things, groups and taggable objects of IoT, buckets and stored objects of S3.

Source: moto 5.2.5, the ``things``, ``thing_groups`` and neighbouring dictionaries of ``IoTBackend`` and S3's buckets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.iot.models import iot_backends
from moto.s3.models import FakeKey, s3_backends

from . import registry_changes
from .responses import not_found
from .thing_groups import groups_of, members_of

MAX_CACHED_BYTES = 64 * 1024 * 1024


@dataclass
class AwsRegion:
    """One account in one region."""

    account_id: str
    name: str

    def arn(self, resource: str) -> str:
        """The ARN of ``resource``, such as ``job/AFR_OTA-x``."""
        return f"arn:aws:iot:{self.name}:{self.account_id}:{resource}"


@dataclass(frozen=True)
class StoredObject:
    """An object of S3 as it is now, without its content.

    Attributes:
        version_id: None in a bucket that never had versions.
        etag: with its quotation marks.
        read: gives the content, all of it.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size_bytes: int
    read: Callable[[], bytes] = field(compare=False)


class ContentCache:
    """The contents read last, up to ``max_bytes`` together, so that a block does not cost a read of the whole object.

    An entry is found by all that distinguishes one content from another (bucket, key, version, ETag), so it never has
    to be invalidated: a new upload has another ETag. The caller holds the sandbox's lock.
    """

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._total_bytes = 0

    def get(self, name: Hashable, read: Callable[[], bytes]) -> bytes:
        """The content with this name, from the cache or else from ``read``."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        content = read()
        if len(content) <= self._max_bytes:
            self._kept[name] = content
            self._total_bytes += len(content)
        while self._total_bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._total_bytes -= len(dropped)
        return content

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._total_bytes = 0


def has_thing(region: AwsRegion, name: str) -> bool:
    """Whether the registry has this thing."""
    return region.arn(f"thing/{name}") in _iot(region).things


def check_thing(region: AwsRegion, name: str) -> None:
    """ResourceNotFoundException unless the registry has this thing."""
    if not has_thing(region, name):
        raise not_found(f"Thing {name} does not exist.")


def is_group(target_arn: str) -> bool:
    """Whether a target's ARN names a thing group."""
    return ":thinggroup/" in target_arn


def check_target(region: AwsRegion, target_arn: str) -> None:
    """ResourceNotFoundException unless the target is a thing or thing group of this account and region."""
    iot = _iot(region)
    if target_arn not in iot.things and target_arn not in iot.thing_groups:
        raise not_found(f"Target {target_arn} does not exist.")


def things_of(region: AwsRegion, target_arns: list[str]) -> list[str]:
    """The names of the things behind the targets, groups and the groups below them expanded, each once."""
    names: dict[str, None] = {}
    for target_arn in target_arns:
        for name in _expand(region, target_arn):
            names.setdefault(name)
    return list(names)


def is_target(region: AwsRegion, target_arns: list[str], thing_name: str) -> bool:
    """Whether the thing exists and is a target, or a member of a group among them or below one of them."""
    iot = _iot(region)
    thing = iot.things.get(region.arn(f"thing/{thing_name}"))
    if thing is None:
        return False
    return thing.arn in target_arns or any(_is_within(group, target_arns) for group in groups_of(iot, thing))


def take_changed_things(region: AwsRegion) -> list[str]:
    """The names of the things that were made, changed, deleted, or put into other groups since the last call."""
    return registry_changes.take(_iot(region))


def find_object(account_id: str, bucket: str, key: str, version_id: str | None = None) -> StoredObject | None:
    """The object, its latest version unless one is named; None when bucket, key or version do not exist."""
    held = s3_backends[account_id]["aws"].buckets.get(bucket)
    if held is None:
        return None
    if version_id is None:
        found = held.keys.get(key)
    else:
        found = next((one for one in held.keys.getlist(key, default=[]) if str(one.version_id) == version_id), None)
    if not isinstance(found, FakeKey):
        return None
    version = str(found.version_id) if held.versioning_status else None
    return StoredObject(bucket, key, version, found.etag, found.size, lambda: found.value)


def has_bucket(account_id: str, bucket: str) -> bool:
    """Whether the account has this bucket."""
    return bucket in s3_backends[account_id]["aws"].buckets


def find_job_template(region: AwsRegion, arn: str) -> Any | None:
    """Moto's job template by its ARN, or None."""
    return next((one for one in _iot(region).jobs_templates.values() if one.job_template_arn == arn), None)


def has_taggable(region: AwsRegion, arn: str) -> bool:
    """Whether the ARN names something in the registry that may carry tags."""
    iot = _iot(region)
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    by_name: dict[str, Any] = {"policy": iot.policies, "rolealias": iot.role_aliases, "rule": iot.rules}
    by_arn: dict[str, Any] = {"thinggroup": iot.thing_groups, "thingtype": iot.thing_types}
    if kind in by_name:
        return name in by_name[kind]
    if kind == "billinggroup":
        return any(group.arn == arn for group in iot.billing_groups.values())
    if kind == "jobtemplate":
        return find_job_template(region, arn) is not None
    return arn in by_arn.get(kind, {})


def _expand(region: AwsRegion, target_arn: str) -> Iterator[str]:
    iot = _iot(region)
    if target_arn in iot.things:
        yield iot.things[target_arn].thing_name
    group = iot.thing_groups.get(target_arn)
    if group is not None:
        yield from members_of(iot, group, recursive=True)


def _is_within(group: Any, target_arns: list[str]) -> bool:
    above = [one["groupArn"] for one in group.metadata.get("rootToParentThingGroups", [])]
    return any(arn in target_arns for arn in (group.arn, *above))


def _iot(region: AwsRegion) -> Any:
    return iot_backends[region.account_id][region.name]
