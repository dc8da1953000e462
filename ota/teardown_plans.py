"""Makes the plan of ``clean``: what would be deleted, what stays and why, and what would keep it from being finished.

Everything that one look needs of another is asked for beforehand where its name is known, so that all of it takes four
round trips; only the search for the certificates of a run that was cut off may take more.

Source: ``ota/teardown.py``, whose decisions these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ota import buckets, desired_state, images, policies
from ota.certificates import other_things
from ota.deletions import Chain, not_ours
from ota.device.rehearsals import Group, find_group, thing_names
from ota.errors import NotOurs, OtaError, UpdateFailed, attempt
from ota.firmware.header_notes import read_notes
from ota.firmware.headers import judge_return
from ota.further_updates import Register
from ota.identity_teardown import IdentityTeardown
from ota.jobs import JOB_BEING_DELETED, Job, find_job, job_id_of
from ota.nouns import in_teardown_order
from ota.outcomes import Action, Change, Outcome, Verb, blocked
from ota.plan import Plan
from ota.role_policies import OTA_SERVICE, holds_foreign, list_foreign, trust_shortcomings
from ota.run import Run
from ota.shared_use import may_share_role, needing_bucket, needing_role, still_needed
from ota.teardown import Found, Teardown
from ota.threads import side_by_side
from ota.update_requests import Update

RETURNED = {Verb.CHANGED: Action.CHANGE, Verb.SKIPPED: Action.KEEP, Verb.ABSENT: Action.ABSENT}
SKIPPED = {Verb.SKIPPED: Action.KEEP, Verb.ABSENT: Action.ABSENT}


@dataclass(frozen=True)
class _Look:
    """What is there; ``targets`` are the policy's, ``foreign`` what others attached to the role."""

    found: Found
    others: list[Update]
    rehearsal: Group | None
    job: Job | None
    targets: list[str]
    foreign: list[str]


class TeardownPlanner:
    """Plans one teardown of this site; ``is_forced`` as ``clean --force``, ``local`` as ``clean --local``."""

    def __init__(self, site: Run, *, is_forced: bool, local: bool) -> None:
        self._site = site
        self._settings = site.settings
        self._is_forced = is_forced
        self._local = local
        self._owner = None if is_forced else site.settings.thing_name
        files = desired_state.certificate_files(site.settings)
        self._teardown = Teardown(site.cloud, site.settings, files, is_forced=is_forced)

    def make_plan(self) -> Plan:
        """What ``clean`` would do, in the order of its lines."""
        look = self._look()
        ours = [one for one in look.others if one.is_ours(self._settings.thing_name)]
        updates = [self._plan_update(look), *(self._plan_other(look.found, one) for one in ours)]
        stuck = {step.name for step in updates if step.action is Action.BLOCKED}
        staying = self._teardown.staying(look.found, look.others)
        staying += [one for one in self._all_updates(look) if one.update_id in stuck and one not in staying]
        bucket, identity = side_by_side(
            partial(self._plan_bucket, look.found, staying), partial(self._plan_identity, look)
        )
        role = self._plan_role(look, staying)
        steps = [*updates, *self._plan_rehearsal(look), bucket, role, *identity]
        if not any(step.action is Action.BLOCKED for step in steps):
            steps += self._plan_headers()
            steps += [self._plan_files()] if self._local else []
        return Plan(tuple(in_teardown_order(steps)))

    def _look(self) -> _Look:
        cloud, settings = self._site.cloud, self._settings
        found, rehearsal, others, job, targets, foreign = side_by_side(
            self._teardown.look,
            lambda: find_group(cloud.iot, settings.thing_name) if cloud.is_sandbox else None,
            partial(
                Register(cloud.iot).find_others,
                settings.thing_name,
                settings.update_name,
                of_all_things=not self._is_forced and may_share_role(settings),
            ),
            partial(find_job, cloud.iot, job_id_of(settings.update_name)),
            lambda: list(policies.list_policy_targets(cloud.iot, settings.policy_name)),
            partial(list_foreign, cloud.iam, settings.iam_role_name),
        )
        return _Look(found, others, rehearsal, job, targets, foreign)

    def _plan_update(self, look: _Look) -> Change:
        name, update, job = self._settings.update_name, look.found.update, look.job
        if update is not None:
            if self._owner is not None and not update.is_ours(self._owner):
                return Change("update", Action.KEEP, name, self._not_ours(update.marks))
            return self._plan_deletion(look.found, update, has_job=update.status != "CREATE_FAILED" or job is not None)
        if job is None:
            return Change("update", Action.ABSENT, name)
        is_for_us = self._owner is None or [target.rpartition("/")[2] for target in job.targets] == [self._owner]
        if job.status == JOB_BEING_DELETED or is_for_us:
            return Change("update", Action.DELETE, name, "only its job is left")
        return Change("update", Action.ABSENT, name, f"the job {job.job_id} is not for {self._owner} and stays")

    def _all_updates(self, look: _Look) -> list[Update]:
        return [look.found.update, *look.others] if look.found.update else look.others

    def _plan_other(self, found: Found, update: Update) -> Change:
        return self._plan_deletion(found, update, has_job=update.status != "CREATE_FAILED")

    def _plan_deletion(self, found: Found, update: Update, *, has_job: bool) -> Change:
        if update.is_ours() and has_job and not self._can_delete(found):
            return blocked("update", update.update_id, self._no_role(update.update_id))
        return Change("update", Action.DELETE, update.update_id, "with its job and stream")

    def _can_delete(self, found: Found) -> bool:
        """Whether AWS IoT can assume the role, with which it deletes the update."""
        if found.role is None:
            return False
        trust, _ = desired_state.role_documents(self._site.cloud, self._settings)
        return not trust_shortcomings(self._site.cloud.iam, found.role.name, found.role.trust, trust, OTA_SERVICE)

    def _no_role(self, update_id: str) -> UpdateFailed:
        return UpdateFailed(
            f"AWS could not delete the OTA update {update_id}: it does that with the update's own role, and "
            f"{self._settings.iam_role_name} is gone or does not trust {OTA_SERVICE}.",
            remedy="invoke role",
        )

    def _plan_rehearsal(self, look: _Look) -> list[Change]:
        if look.rehearsal is None:
            return []
        names = thing_names(self._settings.thing_name, look.rehearsal.count)
        return [Change("things", Action.DELETE, names[0], f"to {names[-1]}, with their certificates and files")]

    def _plan_bucket(self, found: Found, staying: list[Update]) -> Change:
        cloud, settings, name = self._site.cloud, self._settings, self._settings.bucket_name
        is_ours = self._teardown.may_delete(found.bucket_tags or {})
        needing = needing_bucket(staying, settings, is_bucket_ours=is_ours)
        if found.bucket_refusal:
            return Change("bucket", Action.KEEP, name, found.bucket_refusal)
        if found.bucket_tags is None:
            return Change("bucket", Action.ABSENT, name)
        if needing:
            return blocked("bucket", name, still_needed("bucket", name, needing))
        judge = partial(
            buckets.judge_deletion,
            cloud.s3,
            name,
            cloud.account_id,
            found.bucket_tags,
            thing_name=self._owner,
            key_prefix="" if self._is_forced else images.image_prefix(settings.thing_name),
            default_name=desired_state.default_bucket_name(cloud, settings),
        )
        refusal = attempt(judge)
        if isinstance(refusal, NotOurs):
            return Change("bucket", Action.KEEP, name, str(refusal))
        if isinstance(refusal, OtaError):
            return blocked("bucket", name, refusal)
        return Change("bucket", Action.DELETE, name, "with every version of every image")

    def _plan_role(self, look: _Look, staying: list[Update]) -> Change:
        role, name = look.found.role, self._settings.iam_role_name
        needing = needing_role(staying, self._settings)
        if role is None:
            return Change("role", Action.ABSENT, name)
        if not self._teardown.may_delete(role.tags):
            return Change("role", Action.KEEP, name, self._not_ours(role.tags))
        if needing:
            return blocked("role", name, still_needed("role", name, needing))
        if look.foreign and not self._is_forced:
            return blocked("role", name, holds_foreign(name, look.foreign))
        return Change("role", Action.DELETE, name, ", ".join(["with its policy", *look.foreign]))

    def _plan_identity(self, look: _Look) -> list[Change]:
        chain = Chain()
        identity = self._teardown.identity(look.found)
        doomed, kept = identity.judge_certificates(chain)
        steps = [_as_step(outcome) for outcome in chain.outcomes]
        steps += [Change("certificate", Action.DELETE, certificate_id) for certificate_id in doomed]
        steps += [Change("certificate", Action.BLOCKED, "unattached", reason) for reason in chain.remains]
        if not (doomed or kept):
            steps.append(Change("certificate", Action.ABSENT, f"of {self._settings.thing_name}"))
        handled = [*identity.spared_by_policy(kept), *doomed]
        return [*steps, self._plan_policy(identity, look, handled), self._plan_thing(identity)]

    def _plan_policy(self, identity: IdentityTeardown, look: _Look, handled: list[str]) -> Change:
        iot, name = self._site.cloud.iot, self._settings.policy_name
        if identity.policy_tags is None:
            return Change("policy", Action.ABSENT, name)
        if not identity.may_delete_policy:
            return Change("policy", Action.KEEP, name, self._not_ours(identity.policy_tags))
        others = [arn for arn in look.targets if arn not in handled and arn.rpartition("/")[2] not in handled]
        others = [arn for arn in others if not self._is_rehearsed(look, arn)]
        in_the_way = [] if self._is_forced else [arn for arn in others if policies.target_exists(iot, arn)]
        if in_the_way:
            return blocked("policy", name, identity.policy_needed(in_the_way))
        return Change("policy", Action.DELETE, name, "with all its versions")

    def _is_rehearsed(self, look: _Look, certificate_arn: str) -> bool:
        """Whether the certificate goes with the things of a rehearsal."""
        if look.rehearsal is None:
            return False
        rehearsed = thing_names(self._settings.thing_name, look.rehearsal.count)
        on = other_things(self._site.cloud.iot, certificate_arn, self._settings.thing_name)
        return bool(on) and set(on) <= set(rehearsed)

    def _plan_thing(self, identity: IdentityTeardown) -> Change:
        name = self._settings.thing_name
        if identity.thing is None:
            return Change("thing", Action.ABSENT, name)
        if not identity.may_delete_thing:
            return Change("thing", Action.KEEP, name, self._not_ours(identity.thing.attributes))
        return Change("thing", Action.DELETE, name)

    def _not_ours(self, tags: Mapping[str, str] | None) -> str:
        return not_ours(tags or {}, self._settings.thing_name)

    def _plan_headers(self) -> list[Change]:
        """The headers that this tool wrote for the thing; and what becomes of their values."""
        name, account = self._settings.thing_name, self._site.cloud.account_name
        notes = [one for path in self._site.header_notes_paths for one in read_notes(path).items()]
        judged = [judge_return(path, note, name, account) for path, note in notes]
        return [Change("header", RETURNED[outcome.verb], outcome.name, outcome.detail) for outcome in judged if outcome]

    def _plan_files(self) -> Change:
        settings = self._settings
        if settings.existing_certificate_arn:
            return Change("files", Action.KEEP, settings.private_key_path.name, "existing_certificate_arn is set, stay")
        paths: list[Path] = [settings.private_key_path, settings.public_key_path, settings.certificate_path]
        there = [path.name for path in paths if path.exists()]
        action = Action.DELETE if there else Action.ABSENT
        return Change("files", action, str(settings.private_key_path.parent), ", ".join(there))


def _as_step(outcome: Outcome[object]) -> Change:
    return Change(outcome.noun, SKIPPED[outcome.verb], outcome.name, outcome.detail)
