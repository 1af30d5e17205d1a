"""Resident memory of the chat's interface over many turns, on a pseudo-terminal with the scripted engine.

    python -m benchmarks.chat_memory [--turns 1000]

The slope is taken from turn 300 on: by then the window of mounted turns is full, and so are the toolkit's caches. It
includes the texts themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import linear_regression
from typing import Any

from testing.processes import resident_bytes
from testing.pseudo_terminal import PseudoTerminal

SETTLED = 300
PROGRAM = """
import random, sys
from benchmarks.chat_vault import answer
from edgemed.tui import windowing
from edgemed.tui.launch import open_chat
from edgemed.tui.session import ChatSession
from testing.fake_engine import DIGEST, FakeEngine, starting

class Forgetful(FakeEngine):
    def generate(self, *arguments, **options):
        for known in (self.asked, self.requests, self.sampled, self.reused, self.continued):
            known.clear()
        return super().generate(*arguments, **options)

draw = random.Random(1)
def script(turn):
    text = answer(draw) + f"\\n\\nend-{{turn}}-end"
    return [text[start : start + 200] for start in range(0, len(text), 200)]

windowing.FIRST_MOUNTED, windowing.MOST_MOUNTED = {window}
engine = Forgetful(*map(script, range({turns})))
sys.exit(open_chat(ChatSession(starting(engine), "mini", DIGEST, "unevaluated")))
"""


def resident(turns: int, window: tuple[int, int] | None = None) -> list[int]:
    """The interface's resident bytes after each turn. `window`: FIRST_MOUNTED and MOST_MOUNTED of the transcript."""
    from edgemed.tui import windowing

    found = []
    window = window or (windowing.FIRST_MOUNTED, windowing.MOST_MOUNTED)
    with PseudoTerminal(PROGRAM.format(turns=turns, window=window), columns=120, lines=40) as terminal:
        terminal.wait_for("room left")
        for turn in range(turns):
            terminal.send(f"Question {turn}?\r")
            shown = terminal.seconds_until(f"end-{turn}-end")
            assert shown is not None, f"no answer {turn}; output:\n{terminal.output[-2000:]}"
            found.append(resident_bytes(terminal.pid))
    return found


def measured(turns: int) -> dict[str, Any]:
    """The slope after turn SETTLED, in KiB a turn, and the resident memory at some turns, in MiB."""
    found = resident(turns)
    after = min(SETTLED, turns // 2)
    slope = linear_regression(range(after, turns), found[after:]).slope / 1024
    shown = {turn: round(found[turn - 1] / 2**20) for turn in (1, after, turns // 2, turns)}
    return {"kib_per_turn": round(slope, 1), "mib_after_turn": shown}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1000)
    print(json.dumps(measured(parser.parse_args().turns)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
