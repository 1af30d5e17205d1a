"""Two sides loaded at the same time, on a tiny model, and the summary of their turns."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Type

from benchmarks.in_memory import Turn, summary
from benchmarks.measure import Spec
from benchmarks.turns import both
from edgemed.convert.pipeline import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint


@pytest.mark.slow
def test_both_sides_take_turns(tmp_path: Path) -> None:
    folder = str(make_checkpoint(tmp_path / "c"))
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    convert(folder, ours, Plan.uniform(Type.Q4_K))
    convert(folder, theirs, Plan.uniform(Type.Q4_K), layout="llama.cpp")
    spec = Spec("edgemed", str(ours), prompt=20, warm=0, decode=6, threads=1, ram_bytes=1 << 30)
    with both(spec, Spec("llama.cpp", str(theirs), prompt=20, warm=0, decode=6, threads=1)) as sides:
        for side in sides:
            assert side.prompt()[0] > 0
        answers = [[side.answer(4) for side in sides], [side.answer(4) for side in sides]]
    for (mine, stats), (other, nothing) in answers:
        assert len(mine) == len(other)
        assert min(mine) > 0
        assert stats["hits"] + stats["misses"] == len(mine) * 2 * 4, "two MoE layers, four experts per token"
        assert nothing == {}
    assert [len(mine) for (mine, _), _ in answers] == [4, 2], "the last turn has only the tokens that are left"


@pytest.mark.slow
def test_failed_load_ends_the_benchmark(tmp_path: Path) -> None:
    missing = Spec("edgemed", str(tmp_path / "none.gguf"))
    with pytest.raises(SystemExit, match="edgemed ended"), both(missing, missing):
        pass


def test_ratios_compare_sides_within_a_turn() -> None:
    slow, fast = Turn(ours=2.0, theirs=2.2, experts=5.0, memory=10.0), Turn(1.0, 1.1, 10.0, 20.0)
    found = summary([(1.0, 3.0), (2.0, 6.0)], [slow, fast, fast])
    assert found["decode_ratio"] == pytest.approx(1.1)
    assert found["prefill_ratio"] == pytest.approx(3.0)
    assert found["bandwidth_ratio"] == pytest.approx(0.5)
    assert found["turns"] == 3
