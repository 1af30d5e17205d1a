"""A MoE layer of 2 to 8 tokens: every row has the same bits as in a call of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.native.instructions import Instructions
from edgemed.quant import types
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.moe_layer import LayerShape, OneLayer, Routing
from testing.processor import AVX2, instructions_here, limited_to, skip_without
from tests.engine.test_numbers import EMULATED_TOLERANCE

pytestmark = pytest.mark.slow

MOST = 8  # tokens in a small batch
SHAPE = LayerShape()
SPLITS = 3  # the inputs, the layer, the consumer of its result


@pytest.fixture(scope="module", params=[Instructions.NONE, *instructions_here()], ids=lambda which: which.name)
def instructions(request: pytest.FixtureRequest) -> Iterator[Instructions]:
    with limited_to(request.param):
        yield request.param


def assert_same_bits(layer: OneLayer, given: Routing, counts: Sequence[int] = range(1, MOST + 1)) -> None:
    """Compare calls of the first `counts` rows with calls of single rows. In each call the layer is one split."""
    alone = [layer.compute(given.rows(row)) for row in range(max(counts))]
    assert {one.splits for one in alone} == {SPLITS}
    for count in counts:
        together = layer.compute(given.rows(0, count))
        assert together.splits == SPLITS
        assert together.over >= {"ids", "weights"}  # ggml reuses their memory
        same = together.y.tobytes() == b"".join(one.y.tobytes() for one in alone[:count])
        assert same, f"{count} rows in one call differ from single rows"


KINDS = {kind.name: (kind,) for kind in (*types.SMALL, *types.PLAIN)} | {"mixture": types.SMALL}


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
def test_rows_have_the_bits_of_single_tokens(kinds: tuple[Type, ...], tmp_path: Path) -> None:
    """With all experts in memory, and with a cache for one token's experts, where rows go one after another."""
    with OneLayer(tmp_path, SHAPE, lambda expert, p: kinds[(expert + 5 * p) % len(kinds)]) as layer:
        for cache_bytes in (layer.all_bytes, layer.least_bytes):
            layer.set_cache_bytes(cache_bytes)
            assert_same_bits(layer, SHAPE.routing(MOST, seed=1))
        assert layer.stats()["evictions"] > 0


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("shared", [Type.Q8_0, Type.Q6_K, Type.Q4_K, Type.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("width", [1, 2], ids=["as wide", "wider"])
def test_the_shared_expert_too(shared: Type, width: int, tmp_path: Path) -> None:
    """A wider shared expert is not fused; its nodes are computed one by one."""
    shape = LayerShape(shared=width)
    with OneLayer(tmp_path, shape, lambda *_: Type.Q3_K, shared) as layer:
        assert_same_bits(layer, shape.routing(MOST, seed=1))
        once = layer.shared_bytes if width == 1 else 0
        assert layer.stats()["shared_bytes"] == 2 * MOST * once  # by every call


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("among", [4, 5, 9])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tokens_that_share_experts(among: int, threads: int, tmp_path: Path) -> None:
    """An expert's weights are read once for all its rows."""
    with OneLayer(tmp_path, SHAPE, lambda expert, _: types.SMALL[expert % len(types.SMALL)]) as layer:
        layer.set_threads(threads)
        assert_same_bits(layer, SHAPE.routing(MOST, seed=1, among=among))


def test_each_expert_is_asked_for_once(tmp_path: Path) -> None:
    with OneLayer(tmp_path, SHAPE, lambda *_: Type.Q4_K) as layer:
        given = SHAPE.routing(MOST, seed=1, among=6)
        layer.compute(given)
        asked = layer.stats()["hits"] + layer.stats()["misses"]
        assert asked == len(np.unique(given.ids)) <= 6


@pytest.mark.usefixtures("instructions")
def test_a_cache_between_one_token_s_experts_and_all(tmp_path: Path) -> None:
    """All rows together if their experts fit, otherwise one after another."""
    with OneLayer(tmp_path, SHAPE, lambda expert, _: types.SMALL[expert % len(types.SMALL)]) as layer:
        for part in np.linspace(0, 1, 9):
            layer.set_cache_bytes(layer.least_bytes + int(part * (layer.all_bytes - layer.least_bytes)))
            assert_same_bits(layer, SHAPE.routing(MOST, seed=2), counts=(MOST,))


@pytest.mark.usefixtures("instructions")
def test_more_tokens_are_a_batch(tmp_path: Path) -> None:
    """A larger batch rounds differently: it multiplies an expert's rows together and sums in the order of experts."""
    with OneLayer(tmp_path, SHAPE, lambda expert, p: types.FAST[(expert + p) % len(types.FAST)]) as layer:
        given = SHAPE.routing(MOST + 1, seed=1)
        together = layer.compute(given)
        alone = np.concatenate([layer.compute(given.rows(row)).y for row in range(MOST + 1)])
        assert together.splits == SPLITS
        assert 0 < np.abs(together.y - alone).max() < EMULATED_TOLERANCE * alone.std()


IN_A_MODEL = """
import json, sys
from pathlib import Path
from edgemed.engine.llama import capture_log
from testing.fault_scenarios import load, logits
model, said, seen = load(Path(sys.argv[1]), repack=False), [], {}
capture_log(lambda _level, text: said.append(text))
for tokens in range(1, 10):
    said.clear()
    before = model.stats()["shared_bytes"]
    logits(model, tuple(range(20, 20 + tokens)))
    seen[tokens] = sum("## SPLIT" in text for text in said), model.stats()["shared_bytes"] - before
print(json.dumps(seen))
"""


def test_a_layer_of_a_model_stays_one_split(tmp_path: Path) -> None:
    """With its shared expert, as for a single token. From 8 tokens on, our device also computes dense matmuls."""
    skip_without(AVX2)
    convert(str(make_checkpoint(tmp_path / "checkpoint", Shape())), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    child = subprocess.run(
        [sys.executable, "-c", IN_A_MODEL, str(tmp_path / "m.gguf")],
        env=os.environ | {"GGML_SCHED_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = {int(tokens): tuple(counts) for tokens, counts in json.loads(child.stdout).items()}
    splits, shared_bytes = seen[1]
    assert splits > 0
    assert shared_bytes > 0
    assert {seen[tokens] for tokens in range(1, 8)} == {seen[1]}
    assert seen[8] == (seen[9][0], shared_bytes)


def test_calibration_observes_small_batches_too(tmp_path: Path) -> None:
    """The statistics of two small batches are those of one larger batch, but for rounding."""
    with OneLayer(tmp_path, SHAPE, lambda *_: Type.Q4_K) as layer:
        given = SHAPE.routing(2 * MOST, seed=1)
        with layer.observing(2 * MOST) as take:
            layer.compute(given.rows(0, MOST))
            layer.compute(given.rows(MOST, MOST))
            in_two = take()
            layer.compute(given)
            in_one = take()
    assert in_two.sums[:, 0].sum() == 2 * MOST * SHAPE.used
    for small, large in zip(in_two, in_one, strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-7 * large.max())


def test_a_stop_and_a_broken_file_leave_nothing_behind(tmp_path: Path) -> None:
    given = SHAPE.routing(6, seed=1)
    with OneLayer(tmp_path, SHAPE, lambda *_: Type.Q4_K) as layer:
        for cache_bytes in (layer.all_bytes, layer.least_bytes):
            layer.set_cache_bytes(0)  # evicts everything
            layer.set_cache_bytes(cache_bytes)
            layer.request_abort(True)
            with pytest.raises(RuntimeError, match="status 1"):
                layer.compute(given)
            layer.request_abort(False)
            assert_same_bits(layer, given, counts=(6,))
            layer.set_cache_bytes(0)
            layer.set_cache_bytes(cache_bytes)
            content, last = layer.path.read_bytes(), int(given.ids.max())
            layer.path.write_bytes(content[: layer.offset[last, 1]])
            with pytest.raises(RuntimeError, match="status -1"):
                layer.compute(given)
            assert layer.last_error().startswith(f"Expert {last} of layer 1 cannot be used: ")
            layer.path.write_bytes(content)
            assert_same_bits(layer, given, counts=(6,))
