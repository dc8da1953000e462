"""One run of the command line: which settings, which cloud, and what its steps have come to so far."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ota import locks
from ota.cloud import Cloud
from ota.errors import InTheWay
from ota.plan import Site
from ota.report import Report
from ota.scope import Scope
from ota.settings.readers import OverwriteHeader
from ota.steps import Steps

if TYPE_CHECKING:
    from ota.settings.settings import Settings


class Run:
    """What the tasks of one command line share; cloud and settings are opened on first use.

    Attributes:
        report: where lines go.
        scope: which settings and which cloud the command line is about.
        steps: what was found and made.
    """

    def __init__(self, root_path: Path, report: Report | None = None) -> None:
        self.report = report or Report()
        self.scope = Scope(root_path, os.environ, self.report)
        self.steps = Steps(self.report)
        self._turn: locks.Lock | None = None

    @cached_property
    def cloud(self) -> Cloud:
        """The cloud, opened and named in the run's first line."""
        return self.scope.open_cloud()

    @cached_property
    def settings(self) -> Settings:
        """All settings, with account and region filled in."""
        return self.scope.settings.with_account(self.cloud.account_id, self.cloud.region)

    @cached_property
    def loose_settings(self) -> Settings:
        """The same for tasks that name their objects themselves, so that nothing has to be set."""
        return self.scope.loose_settings.with_account(self.cloud.account_id, self.cloud.region)

    def site(self, cloud: Cloud | None = None, settings: Settings | None = None) -> Site:
        """What the look-only tasks look at; with another cloud or settings where this command line's cannot be had."""
        cloud = cloud or self.cloud
        settings = (settings or self.scope.settings).with_account(cloud.account_id, cloud.region)
        return Site(
            cloud,
            settings,
            self.boundary_arn(settings),
            self.header_choice(settings),
            prefix=self.scope.prefix,
            command_line=self.scope.command_line,
            header_notes_paths=self.scope.header_notes_paths,
        )

    def boundary_arn(self, settings: Settings) -> str | None:
        """The permissions boundary; the sandbox has none of the user's account, so there only a flag's counts."""
        is_flag = settings.origins["permissions_boundary"].source == "with flag"
        return settings.permissions_boundary if is_flag or not self.scope.is_sandbox else None

    def header_choice(self, settings: Settings) -> bool | None:
        """Whether values put into the header by hand are replaced; None where somebody is there to be asked."""
        if self.scope.owns(settings.firmware_root):
            return True
        if settings.overwrite_header is OverwriteHeader.ASK:
            return None if self.report.can_ask else False
        return settings.overwrite_header is OverwriteHeader.ALWAYS

    @property
    def turn(self) -> Sequence[int]:
        """What a process is given that is to keep other runs waiting, too."""
        return self._turn.descriptors if self._turn else ()

    def take_turn(self) -> None:
        """Wait until no other run changes anything from this folder, and keep others waiting.

        Raises:
            InTheWay: one is at work for longer than ``lock_timeout_s``.
        """
        if self._turn is not None:
            return
        timeout_s = self.scope.loose_settings.lock_timeout_s
        try:
            self._turn = locks.take_lock_file(self.scope.lock_path, partial(self._tell_wait, timeout_s), timeout_s)
        except locks.StillHeld as held:
            raise self._still_held(held.holder, timeout_s) from held

    def end_turn(self) -> None:
        """Let other runs in; whoever only looks, or stays for long, keeps nobody waiting."""
        if self._turn is not None:
            self._turn.release()
            self._turn = None

    def _tell_wait(self, timeout_s: float, holder: locks.Holder) -> None:
        self.report.note(
            f"{holder} is at work from this folder: this run waits until that has ended, for {timeout_s:g} s at most "
            "(Ctrl-C ends it)"
        )

    def _still_held(self, holder: locks.Holder, timeout_s: float) -> InTheWay:
        path = self.scope.lock_path
        way_out = f"`kill {holder.pid}`" if holder.is_alive else f"`fuser {shlex.quote(str(path))}` names its processes"
        return InTheWay(
            f"Waited {timeout_s:g} s (lock_timeout_s), and {holder} is still at work from this folder: let it end, or "
            f"end it ({way_out}), then run the same command again."
        )

    def forget(self) -> None:
        """The cloud is another one, and nothing that was found or made is in it."""
        self.steps.forget()
        for name in ("cloud", "settings", "loose_settings"):
            vars(self).pop(name, None)
