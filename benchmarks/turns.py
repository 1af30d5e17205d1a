"""Two sides loaded at the same time, measured in short turns.

A virtual machine's memory is now twice, now half as fast; whole runs one after another compare its minutes. Turns of
a few tokens, each side's right after the other's, meet the same memory, so their ratios are steady where times are not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Spec
from benchmarks.side_by_side import ROOT
from edgemed.engine.process.launch import environment

REST_SECONDS = 0.05  # between turns: the side that has just computed spins for some milliseconds before it sleeps


class Resident:
    """A side in a process of its own, waiting for its turns."""

    def __init__(self, spec: Spec) -> None:
        """Raises SystemExit, with what it said last, when it ends."""
        env = environment() if spec.side == "edgemed" else dict(os.environ)
        self.name = spec.side
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measure", json.dumps(dataclasses.asdict(spec)), "serve"],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._line()
        except SystemExit:
            self.close()
            raise

    def prompt(self) -> tuple[float, dict[str, float]]:
        """Seconds of one reading of the prompt, and the engine's counters of it."""
        seconds, stats = self._ask("prompt")
        return seconds, stats

    def answer(self, count: int) -> tuple[list[float], dict[str, float]]:
        """Seconds of each of the next tokens, and the engine's counters of them."""
        times, stats = self._ask(str(count))
        return times, stats

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        time.sleep(REST_SECONDS)
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"A run of {self.name} ended; what it printed is above.")
        return json.loads(line)


@contextlib.contextmanager
def both(one: Spec, other: Spec) -> Iterator[tuple[Resident, Resident]]:
    """The two sides, loaded; they end with the block."""
    with contextlib.ExitStack() as stack:
        sides = []
        for spec in (one, other):
            sides.append(Resident(spec))
            stack.callback(sides[-1].close)
        yield sides[0], sides[1]
