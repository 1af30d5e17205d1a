"""The points of the plot: measured once each, resumable, and drawn without the runs that failed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type

from benchmarks import budget_plot, side_by_side
from benchmarks.measure import Run, Spec
from benchmarks.side_by_side import Outcome, specs
from edgemed.convert.pipeline import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    convert(str(make_checkpoint(tmp_path / "c")), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    model = tmp_path / "m.gguf"
    return argparse.Namespace(model=model, stock=model, threads=1, settings={}, routing="zipf", seconds=1e9, force=True)


@pytest.mark.slow
def test_both_sides_get_the_same_work(arguments: argparse.Namespace) -> None:
    both = specs(arguments, 7, "trace", prompt=3)
    assert list(both) == ["edgemed", "llama.cpp, repacked", "llama.cpp"]
    assert (both["edgemed"].ram_bytes, both["edgemed"].trace) == (7, "trace")
    assert (both["llama.cpp"].ram_bytes, both["llama.cpp"].trace) == (None, None)
    assert {spec.prompt for spec in both.values()} == {3}
    assert [spec.extra_bufts for spec in both.values()] == [True, True, False]


@pytest.mark.slow
def test_points_are_measured_once_and_an_interrupted_run_resumes(
    arguments: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, int | None]] = []

    def run_once(spec: Spec, limit: int | None) -> Outcome:
        taken.append((spec.side, limit))
        if spec.side == "edgemed" and limit is not None and limit < 0.2 * arguments.model.stat().st_size:
            raise SystemExit("A run of edgemed failed: ['edgemed.errors.BudgetError: too little.']")
        if len(taken) == 9:
            raise KeyboardInterrupt
        stats = {"compute_s": 0.01, "shared_bytes": 0.0, "wait_s": 0.0, "resident_bytes": 9.0}
        return Outcome(Run(1, [1.0], 0.0, [0.1, 0.3], 5, 0, [], stats), None, 0.0)

    monkeypatch.setattr(side_by_side, "run_once", run_once)
    monkeypatch.setattr(budget_plot, "best_disk_rate", lambda path, size: {1: 1e9})
    monkeypatch.setattr(budget_plot.Measuring, "_limit", lambda self, run, trace: {"token_s": 0.1})
    points = tmp_path / "points.json"
    with pytest.raises(KeyboardInterrupt):
        budget_plot.measure(points, arguments)
    budget_plot.measure(points, arguments)
    wanted = 1 + 2 * len(budget_plot.SHARES)
    assert len(taken) == wanted + 1, "only the interrupted point is measured again"
    budget_plot.measure(points, arguments)
    assert len(taken) == wanted + 1
    found = json.loads(points.read_text())["zipf"]
    ours, limit = budget_plot.curve(found, "edgemed"), budget_plot.curve(found, "limit")
    assert [share for share, _ in ours] == [pytest.approx(100 * share) for share in budget_plot.SHARES if share >= 0.2]
    assert {rate for _, rate in ours} == {5.0}
    assert {rate for _, rate in limit} == {10.0}
    assert len(budget_plot.curve(found, "llama.cpp")) == len(budget_plot.SHARES)


def test_missing_matplotlib_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "points.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"edgemed\[benchmarks\]"):
        budget_plot.main([str(tmp_path / "points.json"), "--draw", str(tmp_path / "p.png")])
