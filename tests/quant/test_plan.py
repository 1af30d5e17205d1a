"""Plans: defaults by rule, exceptions, canonical text, and a sentence for every error."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.errors import PlanError
from edgemed.quant import types
from edgemed.quant.plan import PROJECTIONS, Plan
from edgemed.quant.plan_text import read_ranges, write_ranges
from edgemed.quant.types import Type

HPARAMS = BailingMoeV2(
    n_layer=6,
    n_nextn=0,
    n_embd=256,
    n_ff=768,
    n_ff_exp=256,
    n_ff_shexp=256,
    n_expert=16,
    n_expert_used=2,
    n_expert_shared=1,
    n_group=4,
    n_group_used=2,
    n_dense_lead=1,
    n_head=4,
    n_head_kv=2,
    head_dim=64,
    n_rot=32,
    rope_theta=6e5,
    rms_eps=1e-6,
    weights_scale=2.5,
    n_vocab=4096,
    n_ctx_train=2048,
)
EXAMPLE = """{
 "edgemed_plan": 1,
 "dense": {"default": "Q8_0", "output": "Q6_K", "blk.3.attn_qkv": "F16"},
 "experts": {
  "default": {"gate": "Q3_K", "up": "Q3_K", "down": "Q4_K"},
  "layers": {"1": {"gate": {"default": "Q2_K", "Q4_K": "0-3, 7", "Q5_K": "5"}, "down": "Q6_K"}}
 }
}"""


def test_docstring_example() -> None:
    plan = Plan.parse(EXAMPLE)
    plan.validate(HPARAMS)
    assert [plan.expert_type(1, expert, 0) for expert in (0, 3, 4, 5, 7)] == [
        Type.Q4_K,
        Type.Q4_K,
        Type.Q2_K,
        Type.Q5_K,
        Type.Q4_K,
    ]
    assert plan.expert_type(1, 9, 2) == Type.Q6_K
    assert plan.expert_type(1, 9, 1) == plan.expert_type(2, 0, 0) == Type.Q3_K
    assert plan.expert_type(2, 0, 2) == Type.Q4_K
    assert plan.dense_type("output.weight", (256, 4096)) == Type.Q6_K
    assert plan.dense_type("blk.3.attn_qkv.weight", (256, 512)) == Type.F16
    assert plan.dense_type("blk.2.attn_qkv.weight", (256, 512)) == Type.Q8_0


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("blk.1.ffn_gate_inp.weight", (256, 16), Type.F32),
        ("blk.1.exp_probs_b.bias", (16,), Type.F32),
        ("output_norm.weight", (256,), Type.F32),
        ("blk.1.ffn_gate_shexp.weight", (256, 256), Type.Q8_0),
        ("token_embd.weight", (256, 4096), Type.Q8_0),
        ("blk.0.ffn_down.weight", (100, 256), Type.F16),
    ],
)
def test_dense_rules(name: str, shape: tuple[int, ...], expected: Type) -> None:
    assert Plan.uniform(Type.Q2_K).dense_type(name, shape) == expected


@pytest.mark.parametrize("type_", [Type.F32, Type.F16, Type.BF16])
def test_reference_plans_keep_dense_matrices_too(type_: Type) -> None:
    plan = Plan.uniform(type_)
    assert plan.dense_type("output.weight", (256, 4096)) == plan.expert_type(3, 3, 1) == type_
    assert plan.dense_type("blk.1.ffn_gate_inp.weight", (256, 16)) == Type.F32


def test_uniform_by_bits() -> None:
    assert Plan.uniform(3.2).expert_type(1, 0, 0) == Type.Q3_K
    assert Plan.uniform(3.1, "small").expert_type(1, 0, 0) == Type.IQ3_XXS


types_of_experts = st.lists(st.sampled_from(types.SMALL), min_size=2 * 4 * 3, max_size=2 * 4 * 3).map(
    lambda chosen: {
        (layer, expert, projection): chosen[(layer - 1) * 12 + expert * 3 + projection]
        for layer in (1, 2)
        for expert in range(4)
        for projection in range(3)
    }
)


@settings(max_examples=50)
@given(types_of_experts, st.randoms())
def test_text_round_trips_and_does_not_depend_on_order(chosen: dict[tuple[int, int, int], Type], random) -> None:
    plan = Plan.of_types(chosen, {"output": Type.Q6_K})
    read = Plan.parse(plan.text)
    assert all(read.expert_type(*key) == plan.expert_type(*key) == type_ for key, type_ in chosen.items())
    shuffled = list(chosen.items())
    random.shuffle(shuffled)
    assert read.text == plan.text == Plan.of_types(dict(shuffled), {"output": Type.Q6_K}).text
    assert read.digest == plan.digest


def test_redundant_entries_are_not_written() -> None:
    noisy = json.loads(Plan.uniform(Type.Q4_K).text)
    noisy["experts"]["layers"] = {"2": {"gate": "Q4_K", "up": {"Q4_K": "0-15"}}}
    noisy["dense"] |= {"attn_qkv": "Q8_0", "blk.2.attn_qkv": "Q8_0"}
    assert Plan.parse(json.dumps(noisy)).text == Plan.uniform(Type.Q4_K).text


def test_specific_dense_entry_overrides_its_kind() -> None:
    plan = Plan((Type.Q4_K,) * 3, dense={"attn_qkv": Type.F16, "blk.2.attn_qkv": Type.Q8_0})
    assert plan.dense_type("blk.2.attn_qkv.weight", (256, 512)) == Type.Q8_0
    assert Plan.parse(plan.text).dense_type("blk.2.attn_qkv.weight", (256, 512)) == Type.Q8_0


@given(st.sets(st.integers(0, 300)))
def test_ranges_round_trip(numbers: set[int]) -> None:
    if numbers:
        assert read_ranges(write_ranges(numbers)) == sorted(numbers)


def experts(layers: object, default: object = "Q4_K") -> str:
    return json.dumps({"edgemed_plan": 1, "experts": {"default": default, "layers": layers}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", 'must be an object such as {"default": "Q4_K"}'),
        ('{"edgemed_plan": 2, "experts": {"default": "Q4_K"}}', 'must say "edgemed_plan": 1'),
        ('{"edgemed_plan": 1, "edgemed_plan": 1}', "two entries"),
        ('{"edgemed_plan": 1, "expert": {}}', 'unknown entry "expert"'),
        ('{"edgemed_plan": 1}', '"experts" must be an object'),
        (experts({}, "Q4_0"), '"Q4_0" is not a type a plan may use'),
        (experts({}, {"gate": "Q4_K"}), 'lacks "up"'),
        (experts({}, 4), '"default" must be an object'),
        (experts({"one": {}}), 'names the layer "one"'),
        (experts({"1": {"gates": "Q4_K"}}), 'names the projection "gates"'),
        (experts({"1": {"gate": {"Q4_K": "3-1"}}}), 'names experts "3-1"'),
        (experts({"1": {"gate": {"Q4_K": "0-9999999"}}}), "no layer has"),
        (experts({"1": {"gate": {"Q4_K": "a"}}}), 'says "a" where experts'),
        (experts({"1": {"gate": {"Q4_K": "1", "Q2_K": "0-2"}}}), "two types for gate of expert 1 in layer 1"),
        (experts({"1": {"gate": 3}}), '"layer 1, gate" must be an object'),
        ('{"edgemed_plan": 1, "experts": {"default": "Q4_K"}, "dense": {"output": "Q4_K"}}', "dense tensors may use"),
        ('{"edgemed_plan": 1, "experts": {"default": "Q4_K"}, "dense": {"output": 4}}', "the name of a type belongs"),
    ],
)
def test_errors_are_sentences(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        Plan.parse(text)
    assert message in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan.parse(experts({"0": {"gate": "Q2_K"}})), "experts of layer 0, .* layers 1 to 5 only"),
        (Plan.parse(experts({"6": {"gate": {"Q2_K": "1"}}})), "experts of layer 6"),
        (Plan.parse(experts({"5": {"gate": {"Q2_K": "16"}}})), "expert 16 of layer 5, .* 0 to 15"),
        (Plan((Type.Q4_K,) * 3, dense={"attn_kqv": Type.F16}), '"attn_kqv", which this model does not have'),
        (Plan((Type.Q4_K,) * 3, dense={"blk.6.attn_qkv": Type.F16}), r'"blk\.6\.attn_qkv"'),
    ],
)
def test_errors_name_what_the_model_lacks(plan: Plan, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan.validate(HPARAMS)


def test_error_names_the_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none\.json cannot be read"):
        Plan.load(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "bytes.json")
    (tmp_path / "plan.json").write_text(EXAMPLE)
    assert Plan.load(tmp_path / "plan.json").text == Plan.parse(EXAMPLE).text


def test_projections_are_in_file_order() -> None:
    assert PROJECTIONS == ("gate", "up", "down")
