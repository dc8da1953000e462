"""Deletes what was named, then what a pruning may take with it.

What a pruning may take, certificates, policies or things that hang on nothing else any more, is looked at once
everything named is gone, so that two things that share a certificate can go together.

Source: AWS IoT quotas (most operations that delete: ten calls a second for an account), hence a few side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ota.delivery_removals import remove_bucket, remove_job, remove_role, remove_update
from ota.identity_removals import remove_certificate, remove_policy, remove_thing
from ota.outcomes import Outcome, Verb
from ota.pruning import Named, prune, short
from ota.removals import Removal, Request, attempt
from ota.role_needs import RoleNeeds
from ota.threads import side_by_side_map

Show = Callable[[Outcome[Any]], None]
REMOVALS: Mapping[str, Callable[[Request, str], Removal]] = {
    "thing": remove_thing,
    "policy": remove_policy,
    "certificate": remove_certificate,
    "bucket": remove_bucket,
    "update": remove_update,
    "job": remove_job,
}


def remove(request: Request, noun: str, names: Sequence[str], show: Show) -> list[str]:
    """Delete them, a few side by side. ``show`` gets a line for each; returns why some of them stay."""
    gone: set[Named] = set()
    removals = _run(partial(attempt, noun, _deletion_of(noun, request)), names, show, gone)
    loosened = sorted({one for removal in removals for one in removal.loosened}) if request.prunes else []
    pruned = _run(partial(_prune, request, gone), loosened, show, gone)
    return [removal.refusal for removal in [*removals, *pruned] if removal.refusal]


def _deletion_of(noun: str, request: Request) -> Callable[[str], Removal]:
    if noun == "role":
        return partial(remove_role, request, RoleNeeds(request.cloud.iot, request.settings))
    return partial(REMOVALS[noun], request)


def _run(work: Callable[[Any], Removal], items: Iterable[Any], show: Show, gone: set[Named]) -> list[Removal]:
    """The work on each item; ``gone`` gets what is deleted, as soon as it is."""
    removals = []
    for removal in side_by_side_map(work, items):
        show(removal.outcome)
        if removal.outcome.verb is Verb.DELETED:
            gone.add((removal.outcome.noun, removal.outcome.name))
        removals.append(removal)
    return removals


def _prune(request: Request, gone: set[Named], loosened: Named) -> Removal:
    prune_one = partial(prune, request.cloud.iot, loosened, gone, request.settings.existing_certificate_arn)
    return attempt(loosened[0], lambda _: Removal(prune_one()), short(loosened[1]))
