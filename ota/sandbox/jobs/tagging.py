"""The tag operations of AWS IoT, for every kind of object that can have tags.

Source: AWS IoT API reference, TagResource, UntagResource, ListTagsForResource; "Tagging your AWS IoT resources".
"""

from __future__ import annotations

from typing import Any

from ota.sandbox.moto import tags
from ota.sandbox.moto.lookups import has_taggable
from ota.sandbox.moto.responses import cut_page, invalid_request, not_found

from .model import Reply
from .state import Region


def tag_resource(region: Region, params: dict[str, Any]) -> Reply:
    """TagResource."""
    arn = _known(region, params["resourceArn"])
    tags.set_tags(region.account_id, region.name, arn, params["tags"])
    return Reply()


def untag_resource(region: Region, params: dict[str, Any]) -> Reply:
    """UntagResource."""
    tags.remove_tags(region.account_id, region.name, _known(region, params["resourceArn"]), params["tagKeys"])
    return Reply()


def list_tags_for_resource(region: Region, params: dict[str, Any]) -> Reply:
    """ListTagsForResource."""
    found = tags.get_tags(region.account_id, region.name, _known(region, params["resourceArn"]))
    page, token = cut_page(found, None, params.get("nextToken"))
    return Reply({"tags": list(page), "nextToken": token})


def _known(region: Region, arn: str) -> str:
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    if not arn.startswith(region.arn("")) or kind in {"thing", "cert"}:
        raise invalid_request(f"{arn} is not the ARN of an object that can have tags.")
    own: dict[str, Any] = {"otaupdate": region.updates, "stream": region.streams, "job": region.jobs}
    if name not in own[kind] if kind in own else not has_taggable(region, arn):
        raise not_found(f"{arn} does not exist.")
    return arn
