"""Tags of IoT objects, by ARN: one store for everything that TagResource, ListTagsForResource and ``tags=`` touch.

Stored like moto's own state, in a backend for each account and region, so that moto's reset empties it too.

Source: AWS IoT API reference, TagResource (50 tags; no key may begin with ``aws:``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moto.core.base_backend import BackendDict, BaseBackend

from .responses import AwsError, invalid_request

MAX_TAGS = 50


class TagBackend(BaseBackend):
    """The tags of one account in one region: ARN to key to value."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tags: dict[str, dict[str, str]] = {}


tag_backends = BackendDict(TagBackend, "iot")


def set_tags(account_id: str, region: str, arn: str, tags: Iterable[Mapping[str, str]]) -> None:
    """Add ``[{"Key", "Value"}, …]`` to the object's tags; an existing key gets the new value.

    Raises:
        AwsError: InvalidRequestException for a key that begins with ``aws:``; LimitExceededException for over 50 tags.
    """
    given = {tag["Key"]: tag.get("Value", "") for tag in tags}
    reserved = [key for key in given if key.lower().startswith("aws:")]
    if reserved:
        raise invalid_request(f"Tag keys beginning with aws: are reserved: {', '.join(reserved)}")
    merged = {**_of(account_id, region, arn), **given}
    if len(merged) > MAX_TAGS:
        raise AwsError("LimitExceededException", f"{arn} would have {len(merged)} tags; the maximum is {MAX_TAGS}")
    if merged:
        tag_backends[account_id][region].tags[arn] = merged


def get_tags(account_id: str, region: str, arn: str) -> list[dict[str, str]]:
    """The object's tags as ``[{"Key", "Value"}, …]``."""
    return [{"Key": key, "Value": value} for key, value in _of(account_id, region, arn).items()]


def remove_tags(account_id: str, region: str, arn: str, keys: Iterable[str]) -> None:
    """Remove these keys from the object; missing keys are no error."""
    tags = _of(account_id, region, arn)
    for key in keys:
        tags.pop(key, None)


def drop(account_id: str, region: str, arn: str) -> None:
    """Delete the tags of a deleted object."""
    tag_backends[account_id][region].tags.pop(arn, None)


def _of(account_id: str, region: str, arn: str) -> dict[str, str]:
    tags: dict[str, dict[str, str]] = tag_backends[account_id][region].tags
    return tags.get(arn, {})
