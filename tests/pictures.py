"""Makes the pictures of the pages: ``python -m tests.pictures`` runs command lines on a terminal and draws them.

Each picture is the whole screen at the end of one command line, 100 columns wide, as an SVG that rich exports. The
commands run one after the other in one project with its own sandbox. Where a browser is installed, the report of a
rollout is a picture of its page.

Source: rich's documentation of ``Console.export_svg``.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.browser import find_browser, take_picture
from tests.project import REPOSITORY_PATH, Project

FOLDER_PATH = REPOSITORY_PATH / "docs/images"
COLUMNS = 100
# Without rich's fonts, which a browser would load from elsewhere: the picture uses a monospace font that is there.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
MOVES = re.compile(r"([^\n\r\x1b]*(?:\x1b\[[\d;]*m[^\n\r\x1b]*)*)(\n|\r|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]|$)")
REPORT_PATH = FOLDER_PATH / "report.png"
FLEET = "with --device-key-type EC-P256 register --count 200 all"
PLAYED = "device --count 200 --fault same-version:4% --fault rejects:2%"
PICTURES = {
    "all": "sandbox all",
    "plan": "sandbox with --policy-name lamp-policy plan",
    "device": "sandbox device",
    "status": "sandbox status",
    "list": "sandbox list",
    "clean": "sandbox clean",
}


def main() -> None:
    FOLDER_PATH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "firmware", {}, has_firmware=False)
        try:
            for name, line in PICTURES.items():
                shown = project.show_here(*line.split(), columns=COLUMNS).out
                draw(f"invoke {line}", shown, FOLDER_PATH / f"{name}.svg")
            if find_browser():
                draw_report(project)
        finally:
            project.run("sandbox.stop")


def draw_report(project: Project) -> None:
    """Write the pictures of a rollout to many devices: its screen, and the upper part of its report."""
    for line in (FLEET, PLAYED):
        project.run("sandbox", *line.split())
    shown = project.show_here("sandbox", "watch", "--report", "rollout.html", columns=COLUMNS).out
    draw("invoke sandbox watch --report rollout.html", shown, FOLDER_PATH / "watch.svg")
    take_picture(project.root_path / "rollout.html", REPORT_PATH, "--window-size=1100,1130")


def draw(command: str, shown: str, path: Path) -> None:
    """Write the picture of a terminal with a command and what it shows."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(final_lines(shown)))
        path.write_text(
            console.export_svg(title=command, theme=MONOKAI, code_format=SVG_FORMAT, unique_id=path.stem),
            encoding="utf-8",
        )


def final_lines(shown: str) -> str:
    """What stays on the screen: without the progress bars, which rich erases by moving the cursor up."""
    lines = [""]
    for text, move in MOVES.findall(shown.replace("\r\n", "\n")):
        lines[-1] += text
        if move == "\n":
            lines.append("")
        elif move.endswith("A"):
            del lines[-1]
        elif move.endswith(("\r", "K")):
            lines[-1] = ""
    return "\n".join(lines).strip("\n")


if __name__ == "__main__":
    main()
