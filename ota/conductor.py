"""What the tasks call: one method for each command that is more than a part of the set-up.

A :class:`Conductor` lives as long as one command line. It stays itself when copied, because invoke copies what stands
in its configuration between tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ota.errors import InTheWay, SignatureError
from ota.findings import Severity, of_severity
from ota.firmware import verify
from ota.jobs import Patience
from ota.messages import joined
from ota.nouns import NOUN_BY_NAME
from ota.outcomes import Outcome
from ota.report import Report
from ota.run import Run
from ota.set_up import SetUp

if TYPE_CHECKING:
    from ota.settings.settings import Settings


class Conductor:
    """One command line's work.

    Attributes:
        run: settings, cloud and the steps so far.
        set_up: thing, policy, bucket, role, build and update.
    """

    def __init__(self, root_path: Path, report: Report | None = None) -> None:
        self.run = Run(root_path, report)
        self.set_up = SetUp(self.run)

    def __copy__(self) -> Conductor:
        return self

    def look(self, show: Callable[..., None], *, as_json: bool, **options: Any) -> None:
        """One look-only task: ``show`` is one of ``looks``."""
        self.run.end_turn()
        if as_json:
            self.run.report.keep_stdout_clear()
        show(self.run.site(), self.run.report, as_json=as_json, **options)

    def check_up(self, *, as_json: bool) -> None:
        """Everything that would make ``all`` fail; works where settings or credentials do not."""
        from ota.look.looks import show_checkup

        if as_json:
            self.run.report.keep_stdout_clear()
        show_checkup(self.run.scope, self.run.report, self.run.site, as_json=as_json)

    def stop_sandbox(self) -> None:
        """No stand-in any more; tasks after this one start another."""
        self.run.scope.stop_sandbox()
        self.run.forget()

    def reset_sandbox(self) -> None:
        """An empty stand-in for the tasks after this one."""
        self.run.scope.reset_sandbox()
        self.run.forget()

    def device(self, **flags: Any) -> None:
        """A virtual device takes the update, or many do; ``device_runs.read_wish`` has the flags."""
        from ota.device import runs

        self.run.end_turn()
        bench = runs.Bench(self.run.report, self.run.scope, lambda: self.run.cloud, self._rehearse)
        runs.run(bench, runs.read_wish(**flags))

    def _rehearse(self, thing_names: Sequence[str]) -> None:
        """Things of these names, and an update for all of them."""
        from ota.device import rehearsals

        self.set_up.policy()
        rehearsals.prepare(
            self.run.cloud,
            self.run.settings,
            self.run.report,
            self.set_up.made_update(),
            thing_names,
            self.set_up.patience(),
        )
        self.run.end_turn()

    def verify(self, *, running_version: str | None, as_json: bool) -> None:
        """Whether image, signature, key and settings belong together, told without AWS."""
        found = verify.verify(self.run.scope.settings, running_version=running_version)
        findings = [replace(one, command=self.run.report.command(one.command)) for one in found]
        mistakes = of_severity(findings, Severity.FATAL)
        if as_json:
            self.run.report.document({"ok": not mistakes, "findings": [finding.as_json() for finding in findings]})
        else:
            self.run.report.findings(findings)
        if mistakes:
            subjects = ", ".join(dict.fromkeys(finding.subject for finding in mistakes))
            raise SignatureError(f"The device would not take this update: {subjects}.")

    def explain(self, text: str, *, as_json: bool) -> None:
        """What a code or a status means, and what to do about it."""
        from ota.look.explain import show

        show(self.run.report, text, as_json=as_json)

    def permissions(self, **flags: Any) -> None:
        """The operator's policy; ``permissions.read_flags`` reads the flags."""
        from ota.look import permissions

        self.run.report.keep_stdout_clear()
        permissions.show(self.run, permissions.read_flags(**flags))

    def clean(self, *, force: bool, local: bool, all_certificates: bool = False) -> None:
        """Everything gone again, and proven gone; for every thing with a certificate here where that is asked for."""
        self.run.take_turn()
        self.run.steps.forget()  # what tasks before this one made is no longer there for those after it
        clean = partial(self._clean, force=force, local=local)
        if not all_certificates:
            clean(self.run.settings)
            return
        from ota.teardown import clean_every

        clean_every(self.run.loose_settings, self.run.report, clean)

    def _clean(self, settings: Settings, *, force: bool, local: bool) -> None:
        from ota.device import rehearsals
        from ota.teardown import Teardown

        cloud, show, notes_paths = self.run.cloud, self.run.report.outcome, self.run.scope.header_notes_paths
        teardown = Teardown(cloud, settings, is_forced=force, local=local, header_notes_paths=notes_paths)
        with self.run.report.live_line("deleting"):
            rehearsed = rehearsals.take_down(cloud, settings, show) if cloud.is_sandbox else []
            remains = teardown.run(show, rehearsed)
        if remains:
            raise InTheWay("Not everything is gone.\n", joined("\n", remains))
        self.run.report.say(f"Proven: nothing that this tool made for {settings.thing_name} is left.")

    def show_lists(self, noun: str, *, limit: str, pattern: str, mine: bool, as_json: bool) -> None:
        """What is in the account, of one noun or of all."""
        from ota.manage import listings

        if as_json:
            self.run.report.keep_stdout_clear()
        rows = listings.read_limit(limit, self.run.scope.loose_settings.max_listed)
        query = listings.Query(rows, pattern, is_ours=mine)
        listings.show_lists(self.run.cloud, self.run.report, noun, query, as_json=as_json)

    def delete(self, noun: str, names: Sequence[str], *, force: bool, prune: bool, yes: bool) -> None:
        """Delete objects by their names."""
        from ota.manage.by_hand import delete_objects
        from ota.manage.removals import Deletion

        self.run.take_turn()
        settings, report = self.run.loose_settings, self.run.report
        deletion = Deletion(
            self.run.cloud,
            settings,
            self._patience_to_delete(),
            report.note,
            is_forced=force or settings.force_delete,
            prunes=prune,
            is_confirmed=yes,
        )
        try:
            delete_objects(deletion, report, NOUN_BY_NAME[noun], names)
        finally:
            self.run.steps.forget()  # it may be gone for the tasks after this one

    def _patience_to_delete(self) -> Patience:
        """As in the set-up, but no role is made: only one that the command line looked at is given time to settle."""
        settings = self.run.loose_settings
        role = self.run.steps.find("role")
        limit_s = settings.role_settle_timeout_s
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=role.get().left_to_settle_s(limit_s) if isinstance(role, Outcome) else 0.0,
        )
