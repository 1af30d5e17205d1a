"""Pictures for docs/tour.md, taken from `edgemed demo` in a real terminal.

    python -m benchmarks.tour_pictures docs/images

Each screen is read from tmux with its colours and drawn as SVG by Rich; `rsvg-convert` makes a PNG of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from testing.tmux import Terminal

THEME = TerminalTheme((24, 26, 30), (222, 224, 228), [(0, 0, 0)] * 8, [(255, 255, 255)] * 8)
COLUMNS, LINES = 92, 27
FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {width} {height}">
<style>.{unique_id}-matrix {{ font-family: DejaVu Sans Mono, monospace; font-size: {char_height}px;
line-height: {line_height}px; }} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect fill="#181a1e" width="100%" height="100%"/>
<g transform="translate(9, 9)" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>"""


def take(terminal: Terminal, target: Path) -> None:
    """Save the screen as a PNG."""
    time.sleep(1.0)
    console = Console(record=True, width=COLUMNS, file=StringIO(), color_system="truecolor")
    console.print(Text.from_ansi(terminal.tmux("capture-pane", "-p", "-e", "-N")), end="", soft_wrap=True)
    with tempfile.NamedTemporaryFile("w", suffix=".svg") as file:
        file.write(console.export_svg(theme=THEME, code_format=FORMAT))
        file.flush()
        subprocess.run(["rsvg-convert", "-w", "820", file.name, "-o", target], check=True)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        command = f"{sys.executable} -m edgemed.cli demo --threads 2 --language en"
        colours = {"COLORTERM": "truecolor"}
        terminal = Terminal(Path(temporary), command, columns=COLUMNS, lines=LINES, environment=colours)
        try:
            terminal.wait_for("2468", "room left")
            take(terminal, folder / "tour-start.png")
            terminal.press("C-o")
            terminal.wait_for("Del: delete · Esc")
            terminal.type("K 6.2")
            terminal.wait_for("haemolysed")
            take(terminal, folder / "tour-find.png")
            terminal.press("Enter")
            terminal.wait_for("Trimethoprim, started")
            terminal.type("What should I check today?")
            terminal.press("Enter")
            terminal.wait_for("first word in about")
            take(terminal, folder / "tour-answer.png")
            terminal.press("F12")
            terminal.wait_for("Hidden")
            take(terminal, folder / "tour-hidden.png")
            terminal.press("F12")
            terminal.wait_for("Your chats are locked")
            take(terminal, folder / "tour-locked.png")
            terminal.press("C-q")
            terminal.wait_for("EXIT 0")
        finally:
            terminal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
