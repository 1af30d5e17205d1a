"""Run both sides, each run in a fresh process, and the helpers that all comparisons share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Run, Spec
from edgemed.engine.budget import available_bytes
from edgemed.engine.cores import idle_and_total, measure_busy
from edgemed.engine.process.launch import environment
from testing.cgroup import MemoryGroup, Usage

MOST_FREE = 0.9  # the fraction of free memory that is touched before a run
ROOM_BYTES = 2 << 30  # needed beside the model by a run that keeps all of it in memory
WARM_TOKENS = 192  # by then such a run has used nearly every expert, those of the last layer too
LEFT_OUT = "-"  # instead of a stock model
BUSY_SHARE = 0.1  # of all cores; above this, other programs disturb the measurement
ROOT = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run, or None if it was killed. `others`: the fraction of all cores that other programs used during it."""

    run: Run | None
    usage: Usage | None
    others: float

    @property
    def killed(self) -> bool:
        return self.run is None


def add_arguments(parser: argparse.ArgumentParser, decode: int = 48) -> None:
    """Add the options of every comparison; `decode`: the default number of measured tokens."""
    parser.add_argument("model", type=Path, help="the model in the edgemed layout (benchmarks.true_shape)")
    parser.add_argument("stock", type=Path, help="the same weights in the stock layout; - leaves llama.cpp out")
    parser.add_argument(
        "--rounds", type=int, default=3, help="runs (or passes over the prompt) of each side (default 3)"
    )
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt (default 512)")
    parser.add_argument("--decode", type=int, default=decode, help=f"measured tokens (default {decode})")
    parser.add_argument("--gpu", action="store_true", help="both sides use a GPU for everything but the experts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--settings", type=json.loads, default={}, help="further LoadSettings of edgemed, as JSON")
    parser.add_argument("--force", action="store_true", help="measure even if the machine is busy")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")


def specs(
    args: argparse.Namespace, ram_bytes: int, trace: str | None = None, *, gpu: bool = False, **alike: Any
) -> dict[str, Spec]:
    """Return the specs of edgemed and, unless it is left out, of llama.cpp's two settings; `alike`: common fields. With
    a GPU there is only one setting: the dense part is on the GPU, and experts with an override are not repacked."""
    ours = Spec(
        side="edgemed",
        model=str(args.model),
        threads=args.threads,
        ram_bytes=ram_bytes,
        gpu=gpu,
        trace=trace,
        settings=args.settings,
        **alike,
    )
    if str(args.stock) == LEFT_OUT:
        return {"edgemed": ours}
    stock = dataclasses.replace(ours, side="llama.cpp", model=str(args.stock), ram_bytes=None, trace=None, settings={})
    repacked = {} if gpu else {"llama.cpp, repacked": stock}
    return {"edgemed": ours, **repacked, "llama.cpp": dataclasses.replace(stock, extra_bufts=False)}


def refuse_when_busy(force: bool) -> None:
    """Raise SystemExit when other programs use the cores: such measurements mean nothing."""
    busy = measure_busy(1.0)
    if busy > BUSY_SHARE and not force:
        raise SystemExit(f"The machine is busy: others use {busy:.0%} of its cores. Wait, or give --force.")


def run_once(spec: Spec, limit_bytes: int | None) -> Outcome:
    """Run once in a new process, under a memory limit if one is given, with the model file out of the page cache."""
    _forget(Path(spec.model))
    # With repacked weights, llama.cpp holds the file and a copy of it.
    touch(limit_bytes or min(2 * Path(spec.model).stat().st_size, int(MOST_FREE * available_bytes())))
    env = environment() if spec.side == "edgemed" else dict(os.environ)
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(dataclasses.asdict(spec))]
    idle, total = idle_and_total()
    before = os.times()
    with MemoryGroup(limit_bytes) if limit_bytes else nullcontext() as group:
        words = group.command(command) if group else command
        process = subprocess.run(words, env=env, capture_output=True, text=True, cwd=ROOT)
        usage = group.usage() if group else None
    later_idle, later_total = idle_and_total()
    after = os.times()
    ours = (after.children_user + after.children_system - before.children_user - before.children_system) * 100
    others = max(0.0, (later_total - total) - (later_idle - idle) - ours) / max(1, later_total - total)
    if process.returncode:
        if usage is not None and usage.kills:
            return Outcome(None, usage, others)
        raise SystemExit(f"A run of {spec.side} failed: {process.stderr.strip().splitlines()[-1:]}")
    return Outcome(Run(**json.loads(process.stdout.splitlines()[-1])), usage, others)


def interleave(
    specs: Mapping[str, Spec], rounds: int, limit_bytes: int | None = None, say: Callable[[str], None] = print
) -> dict[str, list[Outcome]]:
    """Run every side once, then again, `rounds` times. A side that was killed for memory is not run again."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in specs}
    for number in range(rounds):
        for name, spec in specs.items():
            if any(outcome.killed for outcome in outcomes[name]):
                continue
            outcome = run_once(spec, limit_bytes)
            outcomes[name].append(outcome)
            say(f"round {number + 1}  {name:24} {describe(outcome)}")
    return outcomes


def describe(outcome: Outcome) -> str:
    """Describe one run in one line."""
    run = outcome.run
    if run is None:
        return "killed: it does not fit into the limit"
    prompt = f"prompt {run.prompt_s[0]:.2f} s, again {run.prompt_s[-1]:.2f} s, " if run.prompt_s else ""
    peak = f", peak {(outcome.usage.peak_bytes if outcome.usage else run.peak_rss_bytes) / 2**30:.2f} GiB"
    hits = run.stats.get("hits", 0.0)
    rate = f", hits {hits / (hits + run.stats['misses']):.1%}" if hits else ""
    return f"{prompt}token {1e3 * run.mean_token_s:.1f} ms{rate}{peak}, others {outcome.others:.0%}"


def surviving(outcomes: Sequence[Outcome]) -> list[Run]:
    """Return the runs of one side that were not killed."""
    return [outcome.run for outcome in outcomes if outcome.run is not None]


def token_s(runs: Sequence[Run]) -> float:
    """Return the median over the runs of the mean time per token."""
    return median(run.mean_token_s for run in runs)


def prompt_s(runs: Sequence[Run], which: int = -1) -> float:
    """Return the median over the runs of the time of one pass over the prompt: the last, or with 0 the first."""
    return median(run.prompt_s[which] for run in runs)


def summary(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, dict[str, Any]]:
    """Return each side's medians and runs for the JSON output."""
    table: dict[str, dict[str, Any]] = {}
    for name, each in outcomes.items():
        runs = surviving(each)
        table[name] = {"killed": any(outcome.killed for outcome in each)}
        if runs:
            table[name] |= {
                "token_ms": 1e3 * token_s(runs),
                "prompt_first_s": prompt_s(runs, 0),
                "prompt_again_s": prompt_s(runs),
                "peak_bytes": max(o.usage.peak_bytes if o.usage else o.run.peak_rss_bytes for o in each if o.run),
                "others": [round(outcome.others, 3) for outcome in each],
                "runs_token_ms": [1e3 * run.mean_token_s for run in runs],
                "runs_prompt_s": [run.prompt_s for run in runs],
                "stats": runs[-1].stats,
                "prompt_stats": runs[-1].prompt_stats,
            }
    return table


def _forget(path: Path) -> None:
    """Drop the file from the page cache."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def touch(count: int) -> None:
    """Use and free so many bytes. A virtual machine's host must first find pages that were free for a while. This takes
    seconds and would be charged to the side that runs first."""
    mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
