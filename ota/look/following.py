"""What ``all`` shows where a virtual device of the same thing runs in another terminal: how it takes the update.

A device locks its folder for as long as it runs, so whether one does is seen without a call to AWS; where none does,
``all`` is not a call longer. It follows until the job is over, the device has gone, or nothing has moved for a while;
``watch`` is for who wants to wait longer.

Source: ``ota/look/watching.py``; ``ota/device/flash.py`` for the lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ota.device.flash import is_in_use
from ota.jobs import find_rollout, job_id_of
from ota.look import screens
from ota.look.watching import follow

if TYPE_CHECKING:
    from ota.plan import Site
    from ota.report import Report

POLL_S = 1.0
QUIET_S = 10.0


def follow_device(
    site: Site,
    report: Report,
    folder_path: Path,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Show how the device that works in this folder takes the update; False, and nothing shown, where none does.

    How it ends is told and no failure of this command line: the update is set up.
    """
    if not is_in_use(folder_path):
        return False
    name, job_id = site.settings.thing_name, job_id_of(site.settings.update_name)
    report.say(f"The virtual device {name} runs already; this is how it takes the update.")
    is_here = True
    with screens.watching(report, job_id, as_json=False) as screen:
        for moment in follow(partial(find_rollout, site.cloud.iot, job_id), sleep=sleep, clock=clock, poll_s=POLL_S):
            screen.show(moment)
            if not is_here or moment.quiet_s >= QUIET_S:
                break
            is_here = is_in_use(folder_path)  # one look more once it has gone: it may have reported last
    screen.end(moment, site)
    return True
