"""What hangs on what, and what may go once the last thing that it hung on is gone.

Certificates hang on things and on policies; a thing or a policy that only had the certificate which is gone now hangs
on nothing either. AWS lists what was deleted for a while after, so what is known to be gone does not count.

Source: AWS IoT ListPrincipalThingsV2, ListAttachedPolicies, ListTargetsForPolicy, ListThingPrincipalsV2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from ota import certificates, policies, things
from ota.outcomes import Outcome, Verb
from ota.threads import side_by_side

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

Named = tuple[str, str]
"""Noun and name; of a certificate its ARN."""


def prune(iot: IoTClient, loosened: Named, gone: Collection[Named], kept_arn: str | None) -> Outcome[None]:
    """Delete what has lost what it hung on, if it hangs on nothing else.

    ``gone`` is what was deleted just now, certificates by id; ``kept_arn`` is a certificate that stays in any case.

    Raises:
        OtaError: AWS does not let it go.
    """
    noun, name = loosened
    if name == kept_arn:
        return Outcome(noun, Verb.SKIPPED, short(name), "named by existing_certificate_arn, stays")
    looks = {"certificate": hung_on, "policy": _targets_of, "thing": _principals_of}
    others = [(kind, one) for kind, one in looks[noun](iot, name) if (kind, short(one)) not in gone]
    if others:
        return Outcome(noun, Verb.SKIPPED, short(name), f"hangs on {spoken(others)} too, stays")
    deletions: dict[str, Callable[[], Outcome[None]]] = {
        "certificate": lambda: certificates.delete_certificate(iot, name),
        "policy": lambda: policies.delete_policy(iot, name),
        "thing": lambda: things.delete_thing(iot, name, things.find_thing(iot, name)),
    }
    return deletions[noun]()


def hung_on(iot: IoTClient, certificate_arn: str) -> list[Named]:
    """The things and policies that the certificate hangs on."""
    on_things, on_policies = side_by_side(
        lambda: list(certificates.list_things_of(iot, certificate_arn)),
        lambda: list(policies.list_attached_policies(iot, certificate_arn)),
    )
    return [*(("thing", name) for name in on_things), *(("policy", name) for name in on_policies)]


def certificates_among(arns: Sequence[str]) -> list[Named]:
    """The certificates among these principals or targets."""
    return [("certificate", arn) for arn in arns if ":cert/" in arn]


def short(name: str) -> str:
    """The name itself; a certificate's id."""
    return name.rpartition("/")[2]


def spoken(objects: Sequence[Named], article: str = "the ") -> str:
    """``the thing lamp, the policy lamp_policy``."""
    return ", ".join(f"{article}{noun} {short(name)}" for noun, name in objects)


def _targets_of(iot: IoTClient, policy_name: str) -> list[Named]:
    return [("certificate", arn) for arn in policies.list_policy_targets(iot, policy_name)]


def _principals_of(iot: IoTClient, thing_name: str) -> list[Named]:
    return [("certificate", principal.arn) for principal in things.list_principals(iot, thing_name)]
