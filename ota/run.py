"""One command line: its settings, its cloud, its lock, and what its tasks have found and made so far.

The tasks of a command line share one :class:`Run`. Cloud and settings are opened on first use. :class:`Steps` keeps
results, so that ``invoke thing policy all`` makes and prints each object once.

Source: ``concurrent.futures`` for steps that run in the background.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ota import locks
from ota.cloud import Cloud
from ota.errors import CredentialsError, InTheWay, OtaError, from_boto
from ota.messages import PLAIN, CommandLine, message, shell
from ota.nouns import NOUNS
from ota.outcomes import Outcome
from ota.platforms import end_process_command
from ota.report import Report
from ota.scope import Scope
from ota.settings.readers import OverwriteHeader
from ota.threads import begin
from ota.updates.jobs import Patience

if TYPE_CHECKING:
    from ota.settings.settings import Settings

T = TypeVar("T")


class Run:
    """What the tasks of one command line share.

    Attributes:
        report: prints lines, and asks.
        scope: which settings and which cloud the command line is about.
        steps: what was found and made.
    """

    def __init__(self, root_path: Path, report: Report | None = None, line: CommandLine = PLAIN) -> None:
        self.report = report or Report(noun_width=max(len(noun.name) for noun in NOUNS))
        self.scope = Scope(root_path, os.environ, self.report, line)
        self.steps = Steps(self.report)
        self._lock: locks.Lock | None = None

    def __copy__(self) -> Run:
        """Itself: invoke copies its configuration, which holds the run, between tasks."""
        return self

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
        """The settings for tasks that name their objects themselves: none is required."""
        return self.scope.loose_settings.with_account(self.cloud.account_id, self.cloud.region)

    def about(self, settings: Settings, cloud: Cloud | None = None) -> Run:
        """The same command line with other settings, and with a cloud that is already open."""
        other = object.__new__(Run)
        vars(other).update(vars(self))
        opened = cloud or self.cloud
        vars(other).update(cloud=opened, settings=settings.with_account(opened.account_id, opened.region))
        return other

    @property
    def boundary_arn(self) -> str | None:
        """The permissions boundary that the role gets."""
        return self.boundary_in(self.settings)

    def boundary_in(self, settings: Settings) -> str | None:
        """The permissions boundary of these settings; in the sandbox only one that a flag names.

        The sandbox does not have the IAM policies of the user's account, so the boundary in the settings is not there.
        """
        is_flag = settings.origins["permissions_boundary"].source == "with flag"
        return settings.permissions_boundary if is_flag or not self.scope.is_sandbox else None

    @property
    def may_replace_header(self) -> bool | None:
        """Whether values that somebody put into the firmware's header are replaced; None where the user is asked."""
        settings = self.settings
        if self.scope.owns(settings.firmware_root):
            return True
        if settings.overwrite_header is OverwriteHeader.ASK:
            return None if self.report.can_ask else False
        return settings.overwrite_header is OverwriteHeader.ALWAYS

    @property
    def header_notes_paths(self) -> tuple[Path, ...]:
        """The files that note what was written into firmware headers."""
        return self.scope.header_notes_paths

    def stop_sandbox(self) -> None:
        """Stop the sandbox; a later task of this command line starts another."""
        self.scope.stop_sandbox()
        self.forget()

    def reset_sandbox(self) -> None:
        """Empty the sandbox and delete the files in it."""
        self.scope.reset_sandbox()
        self.forget()

    def forget(self) -> None:
        """Forget cloud, settings and results, because the command line is about another cloud from here on."""
        self.steps.forget()
        for name in ("cloud", "settings", "loose_settings"):
            vars(self).pop(name, None)

    def choose_group(self) -> None:
        """In the sandbox: use the group THING-fleet from here on where the settings name none."""
        self.scope.choose_group()
        self._forget_settings()

    def forget_group(self, settings: Settings) -> None:
        """In the sandbox: the thing has no group of registered devices any more."""
        self.scope.forget_group(settings)
        self._forget_settings()

    def _forget_settings(self) -> None:
        """Read the settings again, and look again, because results are those of other settings."""
        self.steps.forget()
        for name in ("settings", "loose_settings"):
            vars(self).pop(name, None)

    @property
    def turn(self) -> Sequence[int]:
        """The lock's file descriptors, for a child process that has to hold the lock too."""
        return self._lock.inheritable if self._lock else ()

    def take_turn(self) -> None:
        """Take the lock of this folder, so that only one run at a time changes anything from it.

        Raises:
            InTheWay: another run holds the lock for longer than ``lock_timeout_s``.
        """
        if self._lock is not None:
            return
        timeout_s = self.scope.loose_settings.lock_timeout_s
        try:
            self._lock = locks.take_lock_file(
                self.scope.lock_path,
                partial(self._tell_wait, timeout_s),
                timeout_s,
                program=self.scope.command_line.program,
            )
        except locks.StillHeld as held:
            raise self._still_held(held.holder, timeout_s) from held

    def end_turn(self) -> None:
        """Release the lock, before a task that only looks or that runs for long."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextmanager
    def deleting(self) -> Iterator[Run]:
        """Hold the lock while objects are deleted; later tasks look again, because what they know may be gone."""
        self.take_turn()
        try:
            yield self
        finally:
            self.steps.forget()

    def patience_to_delete(self) -> Patience:
        """The time limits of a deletion; only a role that this command line looked at gets time until IAM knows it."""
        settings, role = self.loose_settings, self.steps.find("role")
        limit_s = settings.role_settle_timeout_s
        return Patience(
            timeout_s=settings.update_timeout_s,
            delete_timeout_s=settings.delete_timeout_s,
            settle_timeout_s=role.get().left_to_settle_s(limit_s) if isinstance(role, Outcome) else 0.0,
        )

    def _tell_wait(self, timeout_s: float, holder: locks.Holder) -> None:
        self.report.note(
            f"{holder} is at work from this folder: this run waits until that has ended, for {timeout_s:g} s at most "
            "(Ctrl-C ends it)"
        )

    def _still_held(self, holder: locks.Holder, timeout_s: float) -> InTheWay:
        if holder.is_alive:
            way_out = message(end_process_command(holder.pid))
        else:
            way_out = message(shell("fuser", self.scope.lock_path), " names its processes")
        return InTheWay(
            f"Waited {timeout_s:g} s (lock_timeout_s), and {holder} is still at work from this folder: let it end, or "
            "end it (",
            way_out,
            "), then run the same command again.",
        )


class Steps:
    """The results of the steps of one command line, by the steps' names.

    A step runs once, whichever tasks ask for it; some run in the background before a task asks. The line of an outcome
    is printed when a task first asks for it.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._done: dict[str, Any] = {}
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, works: Mapping[str, Callable[[], Any]]) -> None:
        """Start these steps in the background, side by side, except those that are done."""
        missing = {name: work for name, work in works.items() if name not in self._done}
        if not missing:
            return
        self._begun.update(zip(missing, begin(missing.values(), len(missing)), strict=True))

    def do(self, name: str, work: Callable[[], T]) -> T:
        """The result of a step: cached, or from the background, or from running it now."""
        if name not in self._done:
            begun = self._begun.pop(name, None)
            self._done[name] = begun.result() if begun else work()
            if isinstance(self._done[name], Outcome):
                self._report.outcome(self._done[name])
        result: T = self._done[name]
        return result

    def find(self, name: str) -> Any:
        """The cached result of a step; None where no task has asked for it."""
        return self._done.get(name)

    def forget(self) -> None:
        """Forget all results."""
        self._done.clear()

    def wind_up(self) -> None:
        """After a failure: wait for the steps in the background and print their results."""
        begun, self._begun = self._begun, {}
        for name, future in begun.items():
            self._tell(name, future)

    def _tell(self, name: str, begun: Future[Any]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            result = begun.result()
        except OtaError as error:
            self._tell_failure(name, error)
        except (BotoCoreError, ClientError) as error:
            self._tell_failure(name, from_boto(error))
        else:
            if isinstance(result, Outcome):
                self._report.outcome(result)

    def _tell_failure(self, name: str, error: OtaError) -> None:
        """Print the failure; not one of credentials, because the failure that ended the run says the same."""
        if not isinstance(error, CredentialsError):
            self._report.note(message(f"{name}: ", error.message))
