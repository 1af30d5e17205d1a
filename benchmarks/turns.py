"""Two sides loaded at the same time, measured in short turns.

The memory of a virtual machine may be twice as fast one minute and half as fast the next. Whole runs one after another
would compare these minutes. Short turns of a few tokens, one side right after the other, meet the same memory speed, so
their ratios are steady even where their times are not.
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

REST_SECONDS = 0.05  # between turns: threads that have just computed spin for some milliseconds before they sleep


class Resident:
    """One side in its own process, waiting for its turns."""

    def __init__(self, spec: Spec) -> None:
        """Raises SystemExit when the process ends; its last output is above the message."""
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
        """Process the prompt once; return the seconds and the engine's counters."""
        seconds, stats = self._ask("prompt")
        return seconds, stats

    def answer(self, count: int) -> tuple[list[float], dict[str, float]]:
        """Decode the next tokens; return the seconds of each and the engine's counters."""
        times, stats = self._ask(str(count))
        return times, stats

    def close(self) -> None:
        """End the process."""
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
            raise SystemExit(f"A run of {self.name} ended; its output is above.")
        return json.loads(line)


@contextlib.contextmanager
def both(one: Spec, other: Spec) -> Iterator[tuple[Resident, Resident]]:
    """Yield the two sides, loaded; they end with the block."""
    with contextlib.ExitStack() as stack:
        sides = []
        for spec in (one, other):
            sides.append(Resident(spec))
            stack.callback(sides[-1].close)
        yield sides[0], sides[1]
