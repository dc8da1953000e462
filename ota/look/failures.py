"""Why devices failed, put together by what it means, and why AWS ended a job.

What a device reports as its reason is explained by the tables that ``explain`` reads. Of many failures only the first
are described, so the counts of their causes are those of the ones that were looked at.

Source: ``ota/look/explain.py``; AWS IoT DescribeJob (abortConfig, reasonCode).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ota.layout import natural_order
from ota.look.explain import Explanation, explain
from ota.messages import Text, joined
from ota.updates.jobs import Execution, Job
from ota.updates.rollouts import TELLING, UNSUCCESSFUL, Rollout, find_met_criterion, is_aborted

SAID_ANYWAY = ("receive", "updatedBy")  # reported however the update ends, so not a reason
ENDS = {"FAILED": "failed", "REJECTED": "were rejected", "TIMED_OUT": "timed out", "ALL": "failed in any way"}


@dataclass(frozen=True)
class FailureGroup:
    """Devices that ended in the same way for the same cause.

    Attributes:
        status: how they ended.
        cause: what it means; empty where nobody knows.
        remedy: what to do; may be empty.
        count: how many devices they are, of those that were looked at.
        looked_at: how many of this status were looked at.
        total: how many ended in this status.
        names: of those that were looked at, in natural order.
    """

    status: str
    cause: str
    remedy: Text
    count: int
    looked_at: int
    total: int
    names: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        """Whether ``count`` counts every device with this cause."""
        return self.looked_at >= self.total

    @property
    def likely_count(self) -> int:
        """How many devices with this cause there are likely to be: all of the status where no other cause was seen."""
        return self.total if self.count == self.looked_at else self.count

    @property
    def size(self) -> str:
        """How many, in words: ``40``, or ``12 of the 25 looked at, of 400``."""
        if self.is_exact or self.count == self.looked_at:
            return f"{self.likely_count:,}"
        return f"{self.count} of the {self.looked_at} looked at, of {self.total:,}"

    def as_json(self) -> dict[str, Any]:
        """The group as plain values, the commands in its remedy still to be rendered."""
        return {
            "status": self.status,
            "cause": self.cause,
            "remedy": self.remedy,
            "count": self.count,
            "looked_at": self.looked_at,
            "total": self.total,
            "things": list(self.names),
        }


def group_failures(rollout: Rollout) -> list[FailureGroup]:
    """The failures of a rollout by status and cause, the largest group of each status first."""
    groups: list[FailureGroup] = []
    for status in (*UNSUCCESSFUL, "REMOVED"):
        found = [one for one in rollout.executions if one.status == status]
        if status in TELLING:  # only a description has what the device reported
            found = [one for one in found if one.version] or found
        total = max(rollout.counts().get(status, 0), len(found))
        by_cause: dict[tuple[object, ...], list[Execution]] = {}
        for one in found:
            by_cause.setdefault(_key(one), []).append(one)
        largest = sorted(by_cause.values(), key=len, reverse=True)
        groups += [_group(status, members, len(found), total) for members in largest]
    return groups


def explain_failure(execution: Execution) -> tuple[Explanation, ...]:
    """What the reported details mean, else what the status means; none where nobody knows."""
    return _explain_details(execution) or explain(execution.status)


def why_it_was_ended(job: Job) -> Text:
    """Why AWS or somebody ended the job before all devices had finished; empty where nobody did."""
    if job.status != "CANCELED":
        return ""
    criterion = find_met_criterion(job) if is_aborted(job) else None
    if criterion is None:
        told = " ".join(filter(None, [job.reason_code, job.comment])) or "without a reason"
        return f"The job was cancelled: {told}."
    return (
        f"AWS stopped the rollout, as abort_when says: {criterion.failed:,} of {criterion.finished:,} finished devices "
        f"{ENDS[criterion.failure_type]} ({criterion.share:.3g} %), and {criterion.percent:g} % of at least "
        f"{criterion.minimum:,} is the limit."
    )


def rollout_json(rollout: Rollout) -> dict[str, Any]:
    """The rollout as plain values; of many devices also its failures by cause, and why it was ended."""
    if not rollout.is_large:
        return rollout.as_json()
    ended = why_it_was_ended(rollout.job) if rollout.job else ""
    return {**rollout.as_json(), "ended": ended, "failures": [one.as_json() for one in group_failures(rollout)]}


def first_names(names: Sequence[str], count: int, total: int) -> str:
    """The first names, and how many more there are: ``lamp-1, lamp-7 and 38 more``."""
    shown = ", ".join(names[:count])
    more = total - min(count, len(names))
    return f"{shown} and {more:,} more" if more > 0 and shown else shown


def _details(execution: Execution) -> dict[str, str]:
    return {key: value for key, value in execution.details.items() if key not in SAID_ANYWAY}


def _explain_details(execution: Execution) -> tuple[Explanation, ...]:
    told = _details(execution)
    return explain(json.dumps(told)) if told else ()


def _key(execution: Execution) -> tuple[object, ...]:
    found = _explain_details(execution)
    return tuple(f"{one.name}: {one.cause}" for one in found) or tuple(_details(execution).items())


def _group(status: str, members: Sequence[Execution], looked_at: int, total: int) -> FailureGroup:
    found = explain_failure(members[0])
    unknown = "" if _explain_details(members[0]) else ", ".join(f"{k}: {v}" for k, v in _details(members[0]).items())
    cause = unknown or "; ".join(_cause(status, one) for one in found)
    remedy = joined("; ", [one.remedy for one in found if one.remedy])
    names = tuple(sorted((one.thing_name for one in members), key=natural_order))
    return FailureGroup(status, cause, remedy, len(members), looked_at, total, names)


def _cause(status: str, explanation: Explanation) -> str:
    """The cause, with the code's name where that is more than the status."""
    return explanation.cause if explanation.name == status else f"{explanation.name}: {explanation.cause}"


def listed_failures(executions: Iterable[Execution]) -> list[Execution]:
    """Those that ended without success, in natural order of their names."""
    found = (one for one in executions if one.is_over and not one.has_succeeded)
    return sorted(found, key=lambda one: natural_order(one.thing_name))
