"""The lists of who a device is: things, policies and certificates.

A certificate bears no mark: it is ours when it hangs on one of our things and on nothing else. There are two ways to
learn that, from the certificates that are asked about or from our things, and the one with fewer calls is taken.

Source: AWS IoT ListThings (``attributeName``), ListPolicies, ListCertificates, ListPrincipalThingsV2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ota import certificates, ownership, policies, things
from ota.listings import Noun, Row, Rows, as_they_are, by_name, each, names_of
from ota.threads import side_by_side_map

if TYPE_CHECKING:
    from ota.cloud import Cloud


def _find_things(cloud: Cloud) -> Rows:
    return by_name(Row(one.name, is_ours=one.is_ours) for one in things.list_things(cloud.iot))


def _fill_thing(cloud: Cloud, row: Row) -> Row:
    principals = things.list_principals(cloud.iot, row.name)
    return row.with_facts(certificates=names_of(principal.arn for principal in principals))


def _find_policies(cloud: Cloud) -> Iterator[Row]:
    return (Row(one.name, arn=one.arn) for one in policies.list_policies(cloud.iot))


def _mark_policy(cloud: Cloud, row: Row) -> Row:
    return replace(row, is_ours=ownership.is_ours(policies.find_policy_tags(cloud.iot, row.arn) or {}))


def _fill_policy(cloud: Cloud, row: Row) -> Row:
    return row.with_facts(attached_to=names_of(policies.list_policy_targets(cloud.iot, row.name)))


def _find_certificates(cloud: Cloud) -> Iterator[Row]:
    found = certificates.list_certificates(cloud.iot)
    return (Row(one.id, one.created, facts={"status": one.status}, arn=one.arn) for one in found)


def _mark_certificates(cloud: Cloud, rows: Rows) -> Rows:
    our_things = {one.name for one in things.list_things(cloud.iot, only_ours=True) if one.is_ours}
    if len(our_things) < len(rows):
        ours = _certificates_of(cloud, our_things)
        return [replace(row, is_ours=row.arn in ours) for row in rows]
    return list(side_by_side_map(partial(_mark_certificate, cloud, our_things), rows))


def _mark_certificate(cloud: Cloud, our_things: set[str], row: Row) -> Row:
    hangs_on = list(certificates.list_things_of(cloud.iot, row.arn))
    is_ours = len(hangs_on) == 1 and hangs_on[0] in our_things
    return replace(row, is_ours=is_ours).with_facts(things=hangs_on)


def _certificates_of(cloud: Cloud, thing_names: set[str]) -> set[str]:
    """ARNs of the certificates that hang on one of these things and on nothing else."""

    def own(thing_name: str) -> list[str]:
        return [
            one.arn
            for one in things.list_principals(cloud.iot, thing_name)
            if one.is_exclusive or not certificates.other_things(cloud.iot, one.arn, thing_name)
        ]

    return {arn for arns in side_by_side_map(own, sorted(thing_names)) for arn in arns}


def _fill_certificate(cloud: Cloud, row: Row) -> Row:
    found = certificates.find_certificate(cloud.iot, row.name)
    things_of = row.facts.get("things")
    return row.with_facts(
        expires=found.expires.date() if found and found.expires else None,
        things=list(certificates.list_things_of(cloud.iot, row.arn)) if things_of is None else things_of,
        policies=list(policies.list_attached_policies(cloud.iot, row.arn)),
    )


THINGS = Noun(
    "thing",
    "things",
    {"certificates": "certificates"},
    _find_things,
    as_they_are,
    each(_fill_thing),
    is_dated=False,
)
POLICIES = Noun(
    "policy",
    "policies",
    {"attached_to": "attached to"},
    _find_policies,
    each(_mark_policy),
    each(_fill_policy),
    is_dated=False,
)
CERTIFICATES = Noun(
    "certificate",
    "certificates",
    {"status": "status", "expires": "expires", "things": "things", "policies": "policies"},
    _find_certificates,
    _mark_certificates,
    each(_fill_certificate),
    id_title="id",
    shows_date=False,
)
