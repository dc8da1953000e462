"""A real browser without a window, where one is installed: it takes a picture of a page, and reaches no network.

Source: Chromium's command line switches.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
TIMEOUT_S = 60


def find_browser() -> str | None:
    """The path of a browser; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def take_picture(page_path: Path, picture_path: Path, *flags: str) -> None:
    """Show the page, and write what it looks like as a PNG; ``flags`` are more of the browser's own."""
    browser = find_browser()
    assert browser is not None
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={home}", *flags, f"--screenshot={picture_path}", page_path.as_uri()],
            env={"PATH": os.environ["PATH"], "HOME": home},
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
