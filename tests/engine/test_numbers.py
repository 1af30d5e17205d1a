"""The engine's logits against the reference's: every shape, both layouts, and every type that an expert can have."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.convert.layout import LayoutName
from edgemed.quant import types
from edgemed.quant.plan import Plan
from testing.checkpoints import Dtype, Shape, make_checkpoint
from testing.engine_probe import Answer, Probe, run_probes
from testing.gguf_weights import load_gguf
from testing.prompts import unambiguous_prompt
from testing.reference import Model, Result, load_checkpoint

pytestmark = pytest.mark.slow

F32_TOLERANCE = 1e-3  # guaranteed; measured: 5e-6
F16_TOLERANCE = 1e-2  # guaranteed; measured: 6e-3, nearly all from activations that ggml rounds to F16
EMULATED_TOLERANCE = 1e-4  # if the rounding of activations is emulated and unambiguous; measured: 3e-6
ONE_CODE = 1e-1  # the effect of one activation code that is rounded the other way
DOUBTFUL = 4e-5  # distance in codes from the midpoint of two codes below which float32 noise decides the rounding
CHAT_TOLERANCE = 3e-2
AGREEMENT = 1e-4  # between two ways to compute the same result in F32

SHAPES: dict[str, tuple[Dtype, Shape]] = {
    "groups": ("bf16", Shape()),
    "no dense lead": ("f16", Shape(first_k_dense_replace=0, num_hidden_layers=2)),
    "two shared experts": ("bf16", Shape(num_shared_experts=2, num_hidden_layers=2)),
    "fp8, rotary_dim": (
        "fp8",
        Shape(says_rotary_dim=True, rotary_fraction=0.25, moe_intermediate_size=192, num_hidden_layers=2),
    ),
    "yarn": ("bf16", Shape(yarn_factor=4, num_hidden_layers=2)),
    "mtp layer": ("bf16", Shape(num_nextn_predict_layers=1, num_hidden_layers=2)),
    "sarvam": (
        "bf16",
        Shape(family="SarvamMoE", n_group=1, topk_group=1, expert_bias_mean=0.6, num_hidden_layers=2),
    ),
    "biased scores below zero": ("bf16", Shape(expert_bias_mean=-0.7, expert_bias_spread=0.3, num_hidden_layers=2)),
}


def difference(answer: Answer, result: Result) -> float:
    return float(np.abs(answer.logits - result.logits).max())


def make_model(folder: Path, checkpoint: Path, plan: Plan, layout: LayoutName = "edgemed") -> str:
    """Convert the checkpoint into the folder and return the GGUF's path."""
    path = folder / f"{plan.digest[:8]}-{layout}.gguf"
    convert(str(checkpoint), path, plan, layout=layout)
    return str(path)


@dataclass(frozen=True)
class Case:
    """One checkpoint, an unambiguous prompt, and the logits of the reference and of the others."""

    result: Result
    engine: Answer
    one_by_one: Answer
    chat_settings: Answer
    engine_on_stock_layout: Answer
    engine_f16: Answer
    stock: Answer


@pytest.fixture(scope="module", params=SHAPES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    dtype, shape = SHAPES[request.param]
    checkpoint = make_checkpoint(folder / "checkpoint", shape, dtype=dtype)
    ids, result = unambiguous_prompt(load_checkpoint(checkpoint), 12, router_margin=4e-3)
    plan = Plan.uniform(Type.F32)
    engine = Probe(make_model(folder, checkpoint, plan), ids)
    on_stock_layout = Probe(make_model(folder, checkpoint, plan, "llama.cpp"), ids)
    probes = [
        engine,
        replace(engine, batches=engine.one_by_one),
        replace(engine, kv_type="f16", flash_attn=True),
        on_stock_layout,
        Probe(make_model(folder, checkpoint, Plan.uniform(Type.F16)), ids),
        replace(on_stock_layout, stock=True),
    ]
    return Case(result, *run_probes(folder, *probes))


def test_the_router_is_unambiguous(case: Case) -> None:
    """The routing scores are so far apart that no rounding in the tests below can change the chosen experts."""
    assert case.result.margin >= 4e-3


def test_f32_matches_the_reference(case: Case) -> None:
    assert case.result.logits.std() > 1  # the logits are not trivially equal
    assert difference(case.engine, case.result) < F32_TOLERANCE


def test_f16_matches_the_reference(case: Case) -> None:
    assert difference(case.engine_f16, case.result) < F16_TOLERANCE


def test_token_by_token_matches_the_reference_and_prefill(case: Case) -> None:
    assert difference(case.one_by_one, case.result) < F32_TOLERANCE
    assert np.abs(case.one_by_one.logits - case.engine.logits).max() < AGREEMENT


def test_layouts_agree(case: Case) -> None:
    assert np.array_equal(case.engine.logits, case.engine_on_stock_layout.logits)


def test_stock_llama_cpp_agrees_on_the_stock_layout(case: Case) -> None:
    assert difference(case.stock, case.result) < F32_TOLERANCE
    assert np.abs(case.stock.logits - case.engine.logits).max() < AGREEMENT


def test_flash_attention_and_an_f16_cache_stay_near(case: Case) -> None:
    """The settings of a chat, in which keys and values are rounded to F16."""
    assert 0 < difference(case.chat_settings, case.result) < CHAT_TOLERANCE


def test_yarn_beyond_the_original_context(tmp_path: Path) -> None:
    """Positions 0 to 199 with an original context of 128: all frequencies have rotated far enough to matter."""
    checkpoint = make_checkpoint(tmp_path / "checkpoint", SHAPES["yarn"][1])
    ids, result = unambiguous_prompt(load_checkpoint(checkpoint), 200, router_margin=5e-5)
    probe = Probe(make_model(tmp_path, checkpoint, Plan.uniform(Type.F32)), ids)
    for answer in run_probes(tmp_path, probe, replace(probe, batches=(150, 49, 1))):
        assert difference(answer, result) < F32_TOLERANCE


def every_type(shape: Shape, among: tuple[Type, ...]) -> dict[tuple[int, int, int], Type]:
    """A type for each (layer, expert, projection), such that neighbours and the matrices of one expert differ."""
    layers = range(shape.first_k_dense_replace, shape.num_hidden_layers)
    keys = [(layer, expert, p) for layer in layers for expert in range(shape.num_experts) for p in range(3)]
    return {key: among[(7 * key[0] + key[1] + 5 * key[2]) % len(among)] for key in keys}


@dataclass(frozen=True)
class Mixed:
    """A checkpoint converted with many types, and its dequantised weights."""

    path: str
    model: Model


FEW_EXPERTS: dict[str, Any] = {"num_experts": 8, "num_experts_per_tok": 3}
EXPERT_TYPES = (*types.SMALL, *types.PLAIN)


def make_mixed(folder: Path, shape: Shape, plan: Plan) -> Mixed:
    """The checkpoint is F32: products of coarse weights and coarse norms would often fall midway between two codes."""
    checkpoint = make_checkpoint(folder / "checkpoint", shape, dtype="f32")
    config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text())
    path = make_model(folder, checkpoint, plan)
    return Mixed(path, load_gguf(Path(path), config))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    """Two layers, with dense matrices in Q8_0 and Q6_K, and experts in every type of the palette and Q8_0."""
    shape = Shape(num_hidden_layers=2, **FEW_EXPERTS)
    kinds = every_type(shape, (*types.SMALL, Type.Q8_0))
    plan = Plan.of_types(kinds, {"attn_output": Type.Q6_K, "output": Type.Q6_K})
    return make_mixed(tmp_path_factory.mktemp("mixed"), shape, plan)


@pytest.mark.parametrize("repack", [True, False])
def test_mixed_types_match_the_emulating_reference(mixed: Mixed, repack: bool, tmp_path: Path) -> None:
    ids, result = unambiguous_prompt(mixed.model, 5, router_margin=1e-3, rounding_margin=DOUBTFUL)
    probe = Probe(mixed.path, ids, repack=repack)
    together, one_by_one = run_probes(tmp_path, probe, replace(probe, batches=probe.one_by_one))
    assert difference(together, result) < EMULATED_TOLERANCE
    assert difference(one_by_one, result) < EMULATED_TOLERANCE


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[Type, tuple[Result, list[Answer]]]:
    """For each type: one MoE layer with a third of its matrices in that type and all else F32, computed in one batch
    and token by token."""
    folder = tmp_path_factory.mktemp("alone")
    shape = Shape(num_hidden_layers=1, first_k_dense_replace=0, **FEW_EXPERTS)
    results, probes = {}, []
    for kind in EXPERT_TYPES:
        plan = Plan.of_types(every_type(shape, (kind, Type.F32, Type.F32)), dense_default=Type.F32)
        one = make_mixed(folder, shape, plan)
        ids, results[kind] = unambiguous_prompt(one.model, 8, router_margin=1e-3, rounding_margin=DOUBTFUL)
        probe = Probe(one.path, ids)
        probes += [probe, replace(probe, batches=probe.one_by_one)]
    answers = run_probes(folder, *probes)
    return {kind: (results[kind], answers[2 * i : 2 * i + 2]) for i, kind in enumerate(EXPERT_TYPES)}


@pytest.mark.parametrize("kind", EXPERT_TYPES, ids=lambda kind: kind.name)
def test_each_type_alone(kind: Type, alone: dict[Type, tuple[Result, list[Answer]]]) -> None:
    """A fault in one kernel cannot hide behind the others."""
    result, answers = alone[kind]
    for answer in answers:
        assert difference(answer, result) < (F16_TOLERANCE if kind in (Type.F16, Type.BF16) else EMULATED_TOLERANCE)


@pytest.fixture(scope="module")
def long_prompt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixed, tuple[int, ...], Result]:
    """300 tokens through one MoE layer of mixed types: about 75 rows per expert."""
    shape = Shape(num_hidden_layers=1, first_k_dense_replace=0)
    plan = Plan.of_types(every_type(shape, types.FAST), dense_default=Type.F32)
    one = make_mixed(tmp_path_factory.mktemp("long"), shape, plan)
    ids, result = unambiguous_prompt(one.model, 300, router_margin=2e-6)
    return one, ids, result


def test_a_long_prompt_matches_the_reference(
    long_prompt: tuple[Mixed, tuple[int, ...], Result], tmp_path: Path
) -> None:
    """Some of so many activations are doubtful. Only the tokens with such activations may differ, by one code."""
    one, ids, result = long_prompt
    probe = Probe(one.path, ids)
    pieces = replace(probe, batches=(1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 89))
    clear = result.rounding_margin > DOUBTFUL
    assert clear.mean() > 0.8
    for answer in run_probes(tmp_path, probe, pieces, replace(probe, batches=probe.one_by_one)):
        worst = np.abs(answer.logits - result.logits).max(axis=1)  # [tokens]
        assert worst[clear].max() < EMULATED_TOLERANCE
        assert worst.max() < ONE_CODE


def test_experts_round_as_in_stock_llama_cpp(tmp_path: Path) -> None:
    """Even doubtful activations get the same codes as in stock llama.cpp, in one batch and token by token.

    Otherwise an answer would depend on how its text is split into batches. In a batch this holds for experts with eight
    rows or more: with fewer rows ggml multiplies each one alone, whereas we only do so for a single row.
    """
    # With two experts per token, their sum does not depend on the order.
    shape = Shape(num_hidden_layers=4, num_experts=8, num_experts_per_tok=2)
    checkpoint = make_checkpoint(tmp_path / "checkpoint", shape)
    plan = Plan((Type.Q3_K, Type.Q4_K, Type.Q6_K), dense_default=Type.F32)
    path = make_model(tmp_path, checkpoint, plan, "llama.cpp")
    together = Probe(path, tuple(range(20, 220)), repack=False)
    one_by_one = replace(together, batches=together.one_by_one)
    for probe in (together, one_by_one):
        ours, theirs = run_probes(tmp_path, probe, replace(probe, stock=True))
        assert np.abs(ours.logits - theirs.logits).max() < 1e-5


@pytest.mark.parametrize("layout", ["edgemed", "llama.cpp"])
def test_logits_do_not_depend_on_the_cache(layout: LayoutName, tmp_path: Path) -> None:
    """The same bits with a cache that holds everything and one that must evict each layer for the next."""
    shape = Shape(num_hidden_layers=4, **FEW_EXPERTS)
    checkpoint = make_checkpoint(tmp_path / "checkpoint", shape)
    plan = Plan.parse('{"edgemed_plan": 1, "experts": {"default": {"gate": "Q2_K", "up": "Q4_K", "down": "Q6_K"}}}')
    if layout == "edgemed":
        plan = Plan.of_types(every_type(shape, types.FAST))
    probe = Probe(make_model(tmp_path, checkpoint, plan, layout), tuple(range(20, 60)))
    probes = [replace(probe, batches=batches) for batches in ((), (20, 1, 1, 1, 1, 16), probe.one_by_one)]
    large = run_probes(tmp_path, *probes)
    small = run_probes(tmp_path, *(replace(one, small_cache=True) for one in probes))
    for one, other in zip(large, small, strict=True):
        assert one.stats["evictions"] == 0
        assert other.stats["evictions"] >= 20
        assert np.array_equal(one.logits, other.logits)


def test_logits_do_not_depend_on_repetition(mixed: Mixed, tmp_path: Path) -> None:
    """The same bits in a second run in the same process, on one thread, and in another process."""
    probe = Probe(mixed.path, tuple(range(20, 52)))
    again, *others = run_probes(tmp_path, probe, probe, replace(probe, threads=1))
    others += run_probes(tmp_path, probe)
    for other in others:
        assert np.array_equal(again.logits, other.logits)
