"""Tokens per second against the memory budget, plotted: edgemed, llama.cpp under the same limit, and the bound.

    python -m benchmarks.budget_plot points.json --routing uniform OURS.gguf STOCK.gguf --seconds 280
    python -m benchmarks.budget_plot points.json --routing zipf OURS.gguf STOCK.gguf --seconds 280
    python -m benchmarks.budget_plot points.json --draw docs/images/budgets.png

Each point is a separate run and is saved to the JSON file at once. A command that reached its `--seconds` continues
where it stopped when it is run again. llama.cpp maps its file and does not repack: with repacked weights it is killed
at every budget below the model's size. Drawing needs matplotlib: pip install 'edgemed[benchmarks]'.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import side_by_side as sides
from benchmarks.limit import find_limit
from benchmarks.measure import Run, Spec
from benchmarks.memory_pressure import best_disk_rate, computing
from benchmarks.traces import load
from edgemed.model_file import ModelFile, open_model

SHARES = (0.1, 0.17, 0.25, 0.35, 0.45, 0.6, 0.75, 0.9, 1.0, 1.1)
"""Budgets, as fractions of the model's size."""
PROMPT = 192  # processed once, so that every cache is warm
WARM, DECODE = 8, 24
STEADY = 0.9
"""From this fraction on, the run decodes tokens until the cache is full before it measures: after a prompt, most of the
last layer's experts are still on the disk."""

Points = dict[str, Any]


class Measuring:
    """Measures the points of one routing and stores them in `points[routing]`."""

    def __init__(self, points: Points, args: argparse.Namespace) -> None:
        self._points = points.setdefault(args.routing, {})
        self._model: ModelFile = open_model(args.model)
        both = sides.specs(args, 0, prompt=PROMPT, prompts=1, warm=WARM, decode=DECODE)
        self._ours, self._stock = both["edgemed"], both["llama.cpp"]

    def steps(self) -> list[tuple[str, float]]:
        """Return the (kind, fraction) pairs that are not measured yet."""
        wanted = [("whole", 0.0), *((kind, share) for share in SHARES for kind in ("edgemed", "llama.cpp"))]
        return [(kind, share) for kind, share in wanted if self._key(kind, share) not in self._points]

    def take(self, kind: str, share: float) -> None:
        """Measure one point."""
        if kind == "whole":
            self._points[self._key(kind, share)] = self._whole()
            return
        budget = int(share * self._model.size_bytes)
        with tempfile.TemporaryDirectory() as folder:
            trace = str(Path(folder) / "trace") if kind == "edgemed" else None
            side = replace(self._ours, ram_bytes=budget, trace=trace) if trace else self._stock
            spec = replace(side, warm=WARM if share < STEADY else sides.WARM_TOKENS)
            run = _run(spec, budget)
            point: Points = {"budget_bytes": budget, "token_s": run.mean_token_s if run else None}
            if run and trace:
                point |= {"stats": run.stats, "limit": self._limit(run, trace)}
        self._points[self._key(kind, share)] = point

    @staticmethod
    def _key(kind: str, share: float) -> str:
        return f"{kind} {share:.2f}"

    def _whole(self) -> Points:
        """With everything in memory and no limit: the compute times of a token, and the disk's best rate."""
        dense_s, expert_s = computing(self._model, self._ours)
        rates = best_disk_rate(self._model.path, int(self._model.experts.nbytes.sum(axis=2).max()))
        return {
            "expert_s": expert_s,
            "dense_s": dense_s,
            "bandwidth": max(rates.values()),
        }

    def _limit(self, run: Run, trace: str) -> Points:
        whole = self._points[self._key("whole", 0.0)]
        limit = find_limit(
            load(Path(trace), self._model.hparams.n_expert),
            self._model,
            capacity=int(run.stats["resident_bytes"]),
            measured=DECODE,
            bandwidth=whole["bandwidth"],
            dense_s=whole["dense_s"],
            expert_s=whole["expert_s"] / len(self._model.experts.layers),
        )
        return asdict(limit)


def _run(spec: Spec, limit_bytes: int | None) -> Run | None:
    """Return None if the run was killed, or if edgemed refused a budget that is too small."""
    try:
        return sides.run_once(spec, limit_bytes).run
    except SystemExit as refused:
        if "BudgetError" in str(refused):
            return None
        raise


def measure(file: Path, args: argparse.Namespace) -> None:
    """Measure points until all are there or the time is up, and save each one at once."""
    sides.refuse_when_busy(args.force)
    points: Points = json.loads(file.read_text()) if file.exists() else {}
    measuring = Measuring(points, args)
    start, longest = time.monotonic(), 0.0
    for kind, share in (steps := measuring.steps()):
        began = time.monotonic()
        if began - start + longest > args.seconds:
            break
        measuring.take(kind, share)
        longest = max(longest, time.monotonic() - began)
        file.write_text(json.dumps(points, indent=1))
        print(f"{args.routing}: {kind} {share:.0%}, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{args.routing}: {len(measuring.steps())} of {len(steps)} points are left")


LINES = (  # Okabe and Ito's colours, which colour-blind readers can tell apart
    ("the limit: Belady's misses, the disk's best rate", "limit", "#888888", "--", ""),
    ("edgemed", "edgemed", "#0072b2", "-", "o"),
    ("llama.cpp, mapped file", "llama.cpp", "#d55e00", "-", "s"),
)


def draw(points: Points, picture: Path) -> None:
    """One panel for each routing. Raises SystemExit without matplotlib."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise SystemExit("Drawing needs matplotlib: pip install 'edgemed[benchmarks]'.") from None
    figure, panels = plt.subplots(1, len(points), figsize=(5.5 * len(points), 4.2), sharey=True, squeeze=False)
    for panel, (routing, found) in zip(panels[0], points.items(), strict=True):
        for label, kind, colour, style, marker in LINES:
            line = curve(found, kind)
            panel.plot(*zip(*line, strict=True), style, marker=marker, color=colour, label=label, markersize=4)
        panel.set_title(f"{routing.capitalize()} routing")
        panel.set_xlabel("memory, % of the model")
        panel.set_xlim(0, 115)
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylim(bottom=0)  # the panels share this axis, so set it after all lines are drawn
    panels[0][0].set_ylabel("tokens per second")
    panels[0][0].legend(frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(picture, dpi=150)


def curve(found: Points, kind: str) -> list[tuple[float, float]]:
    """Return (percent of the model's size, tokens per second) in order, without runs that were killed or refused."""
    line = []
    for share in SHARES:
        point = found.get(f"{'edgemed' if kind == 'limit' else kind} {share:.2f}", {})
        if point.get("token_s"):
            line.append((100 * share, 1 / (point["limit"]["token_s"] if kind == "limit" else point["token_s"])))
    return line


def main(argv: list[str] | None = None) -> int:
    """Measure the points of one routing, or draw all points."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget_plot", description=__doc__.split("\n")[0])
    parser.add_argument("points", type=Path, help="JSON file that keeps the points")
    parser.add_argument("--draw", metavar="PNG", type=Path, help="draw the points instead of measuring")
    parser.add_argument("--routing", choices=("uniform", "zipf"), help="the routing of the two models")
    parser.add_argument("--seconds", type=float, default=280, help="start no point that would end later (default 280)")
    parser.add_argument("model", type=Path, nargs="?", help="the model in the edgemed layout")
    parser.add_argument("stock", type=Path, nargs="?", help="the same weights in the stock layout")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--settings", type=json.loads, default={}, help="further LoadSettings of edgemed, as JSON")
    parser.add_argument("--force", action="store_true", help="measure even if the machine is busy")
    args = parser.parse_intermixed_args(argv)  # the points come first, the models after the options
    if args.draw:
        draw(json.loads(args.points.read_text()), args.draw)
    elif args.routing and args.model and args.stock:
        measure(args.points, args)
    else:
        parser.error("give --routing and the two models, or --draw")
    return 0


if __name__ == "__main__":
    sys.exit(main())
