"""One run of the command line: which settings, which cloud, and what its steps have come to so far."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ota.cloud import Cloud
from ota.plans import Site
from ota.readers import OverwriteHeader
from ota.report import Report
from ota.scope import Scope
from ota.steps import Steps

if TYPE_CHECKING:
    from ota.settings import Settings


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

    def forget(self) -> None:
        """The cloud is another one, and nothing that was found or made is in it."""
        self.steps.forget()
        for name in ("cloud", "settings", "loose_settings"):
            vars(self).pop(name, None)
