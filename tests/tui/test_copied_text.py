"""A copy holds what the terminal shows: the same numbers, units and negations, and no markup.

The chat runs in tmux. What is shown is read from the terminal's screen, and the copy from the terminal's clipboard.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.pseudo_terminal import chat_program
from tests.tui.held_out import ANSWERS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]

WAIT_SECONDS = 60.0
SETTLED_SECONDS = 0.15
LINES = 150
WIDTHS = (62, 80, 120)
GENERATED = 12

TOLD = re.compile(
    r"\d+(?:[.,]\d+)*|[<>≤≥±]|(?<![A-Za-z])(?:mg|mcg|µg|g|kg|mL|L|mmol|mmHg|units?|h|min|days?|bpm)(?![A-Za-z])|%"
    r"|毫克|微克|毫升|小时|公斤|分钟|毫摩尔|毫米汞柱|(?<![A-Za-z])(?:not|no|never|without|unless)(?![A-Za-z])|不|无|未|禁|非"
)
WORDS = ["aspirin", "not", "without", "eGFR", "**never**", "*if*", "阿司匹林", "不得", "无", "`stop`", "or", "(PO)"]
DOSES = [
    "5 mg",
    "2.5 mL",
    "< 30 mL/min",
    "≥ 90 毫米汞柱",
    "0.1 units/kg/h",
    "500毫克",
    "1,000 mL",
    "12.5～25毫克",
    "30 %",
]


def generated(seed: int) -> str:
    """A Markdown document with doses, lists, tables and Chinese."""
    draw = random.Random(seed)

    def words(count: int) -> str:
        return " ".join(draw.choice(DOSES if draw.random() < 0.4 else WORDS) for _ in range(count))

    def table() -> str:
        columns = draw.randint(2, 4)
        rows = [[words(draw.randint(1, 4)) for _ in range(columns)] for _ in range(draw.randint(1, 4))]
        return "\n".join(
            f"| {' | '.join(row)} |" for row in [["Drug", "剂量", "Note", "Day 1"][:columns], ["---"] * columns, *rows]
        )

    kinds = [
        lambda: words(draw.randint(5, 40)),
        lambda: "\n".join(f"- {words(6)}" for _ in range(3)),
        lambda: "\n".join(f"{number}. {words(12)}" for number in range(1, 4)),
        lambda: f"## {words(3)}",
        table,
        lambda: f"```\n{re.sub('[*`]', '', words(5))}\n```",
    ]
    return "\n\n".join(draw.choice(kinds)() for _ in range(draw.randint(2, 6)))


class Screen:
    """The chat in a tmux window that is tall enough for each answer."""

    def __init__(self, folder: Path, answers: list[str]) -> None:
        self._socket = folder / "tmux"
        script = folder / "chat.py"
        script.write_text(chat_program(*(f"[{answer!r}]" for answer in answers)), encoding="utf-8")
        settings = folder / "tmux.conf"
        settings.write_text("set -s set-clipboard on\n")
        environment = ("-e", "LC_ALL=C.UTF-8", "-e", f"PYTHONPATH={Path(__file__).parents[2]}")
        program = f"exec env -u COLUMNS -u LINES {sys.executable} {script}"
        self._run("-f", str(settings), "new-session", "-d", "-x", "80", "-y", str(LINES), *environment, program)

    def _run(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-u", "-S", self._socket, *words], capture_output=True, check=True)
        return done.stdout.decode(errors="replace")

    def resize(self, columns: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(LINES))

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def wait_for(self, *texts: str) -> str:
        limit = time.monotonic() + WAIT_SECONDS
        while not all(text in (shown := self._run("capture-pane", "-p")) for text in texts):
            assert time.monotonic() < limit, f"waited in vain for {texts}; the screen was:\n{shown}"
            time.sleep(0.02)
        return shown

    def settled(self, *texts: str) -> str:
        """The screen with all of `texts`, once it has not changed for a moment: between two writes of the program it
        may show a part of the old lines and a part of the new ones."""
        before, shown = "", self.wait_for(*texts)
        while shown != before:
            time.sleep(SETTLED_SECONDS)
            before, shown = shown, self.wait_for(*texts)
        return shown

    def copy(self) -> str:
        """Copy the last answer; return what the terminal's clipboard holds."""
        subprocess.run(["tmux", "-S", self._socket, "delete-buffer"], capture_output=True, check=False)
        self.press("F2")
        limit = time.monotonic() + WAIT_SECONDS
        while not self._run("list-buffers").strip():
            assert time.monotonic() < limit, "nothing was copied"
            time.sleep(0.02)
        return self._run("show-buffer")

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def screen(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Screen]:
    opened = Screen(tmp_path, request.param)
    yield opened
    opened.close()


def answer_on(shown: str, end: str) -> str:
    """The lines of the last answer, without the screen around it."""
    lines = shown.splitlines()
    first = max(number for number, line in enumerate(lines) if "edgemed ab12cd34 · " in line)
    last = next(number for number in range(first, len(lines)) if end in lines[number])
    return "\n".join(lines[first + 1 : last])


def check(screen: Screen, number: int) -> None:
    end = f"END{number}"
    screen.press("q", "Enter")
    shown = screen.settled(end, "words · not verified", "Type a question")
    copy = screen.copy()
    told = copy.partition("Reviewed by: ______")[2].partition(end)[0]
    assert Counter(TOLD.findall(told)) == Counter(TOLD.findall(answer_on(shown, end)))
    assert not re.search(r"\*\*|^\s*\||\|\s*$|^#|```|[\u00a0\u202f\u2007\u2060]", told, re.MULTILINE), told
    screen.press("C-n")
    screen.wait_for("For example:")


def with_ends(answers: list[str]) -> list[str]:
    return [f"{answer}\n\nEND{number}" for number, answer in enumerate(answers)]


HELD_OUT = [answer for _ in WIDTHS for answer in ANSWERS.values()]


@pytest.mark.parametrize("screen", [with_ends(HELD_OUT)], indirect=True, ids=["held out"])
def test_held_out_answers_are_copied_as_they_are_shown(screen: Screen) -> None:
    screen.wait_for("For example:")
    for number in range(len(HELD_OUT)):
        screen.resize(WIDTHS[number // len(ANSWERS)])
        check(screen, number)


@pytest.mark.parametrize("screen", [with_ends([generated(n) for n in range(GENERATED)])], indirect=True, ids=["drawn"])
def test_generated_answers_are_copied_as_they_are_shown(screen: Screen) -> None:
    screen.wait_for("For example:")
    for number in range(GENERATED):
        screen.resize((62, 80, 100, 130)[number % 4])
        check(screen, number)


def test_a_copy_in_full() -> None:
    from edgemed.tui.markdown import plain_text

    assert plain_text(ANSWERS["mixed"], 100).split("\n") == [
        "Differential for a potassium of 6.2 mmol/L (高钾血症):",
        "",
        "1. Renal failure – creatinine 480 µmol/L, urine < 0.5 mL/kg/h for 6 h",
        "   - calcium gluconate 10 %, 10 mL over 2 - 5 min",
        "   - insulin 10 units with glucose 25 g; check glucose at 15, 30 and 60 min",
        "2. Drugs: spironolactone 25 mg, ramipril 10 mg — 停用，不要重新开始",
        "",
        "  Anion gap = Na - (Cl + HCO3) = 140 - (104 + 12) = 24 mmol/L",
        "  0.5 * 70 kg = 35 mg",
        "",
        "Test  Result      参考范围",
        "----  ----------  ------------",
        "K     6.2 mmol/L  3.5 - 5.3",
        "肌酐  480 µmol/L  < 110 µmol/L",
    ]
