"""Synthetic models are valid in both layouts, hold the same bits in both, and can be made by converting."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from benchmarks import traces
from benchmarks.direct_writer import BUFFER_BYTES, DirectWriter
from benchmarks.true_checkpoint import write_checkpoint
from benchmarks.true_shape import mixture, parse_types, tokens, true_config, write_gguf, zipf_routing
from edgemed.convert.pipeline import convert
from edgemed.model_file import ModelFile, open_model
from edgemed.model_file.integrity import check
from edgemed.native import xxh3_64
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape

SMALL = Shape().config()


def expert_bytes(model: ModelFile, moe_layer: int, expert: int, projection: int) -> bytes:
    experts = model.experts
    with model.path.open("rb") as file:
        file.seek(int(experts.offset[moe_layer, expert, projection]))
        return file.read(int(experts.nbytes[moe_layer, expert, projection]))


def test_mixture_has_valid_checksums(tmp_path: Path) -> None:
    plan = mixture(parse_types("Q2_K:8,Q4_K:4,Q6_K:4"), range(1, 3), experts=16)
    size = write_gguf(tmp_path / "m.gguf", plan, SMALL)
    model = open_model(tmp_path / "m.gguf")
    assert model.verified
    assert size == model.size_bytes
    types, counts = np.unique(model.experts.type, return_counts=True)
    assert dict(zip(types.tolist(), counts.tolist(), strict=True)) == {Type.Q2_K: 48, Type.Q4_K: 24, Type.Q6_K: 24}
    digest = hashlib.sha256()
    for tensor in sorted(model.tensors.values(), key=lambda t: t.offset):
        digest.update(model.read(tensor))
    assert model.weights_digest == digest.hexdigest()
    assert model.dense_checksums == [xxh3_64(model.read(tensor)) for tensor in model.dense]
    whole = (tmp_path / "m.gguf").read_bytes()
    experts = model.experts
    assert experts.checksum is not None
    for moe_layer, expert in np.ndindex(2, 16):
        end = int(experts.offset[moe_layer, expert, 2] + experts.nbytes[moe_layer, expert, 2])
        assert experts.checksum[moe_layer, expert] == xxh3_64(whole[int(experts.offset[moe_layer, expert, 0]) : end])


def test_parts_hold_the_same_weights(tmp_path: Path) -> None:
    plan = mixture(parse_types("Q2_K:8,Q6_K:8"), range(1, 3), experts=16)
    write_gguf(tmp_path / "one.gguf", plan, SMALL)
    size = write_gguf(tmp_path / "m.gguf", plan, SMALL, split=2_000_000)
    one, parts = open_model(tmp_path / "one.gguf"), open_model(next(tmp_path.glob("m-00002-of-*.gguf")))
    assert len(parts.parts) >= 3
    assert size == parts.size_bytes
    assert parts.weights_digest == one.weights_digest
    assert check(parts).damaged == check(one).damaged == []


def test_both_layouts_hold_the_same_bits_and_no_two_experts_are_equal(tmp_path: Path) -> None:
    ours, stock = tmp_path / "ours.gguf", tmp_path / "stock.gguf"
    write_gguf(ours, Plan.uniform(Type.Q4_K), SMALL)
    write_gguf(stock, Plan.uniform(Type.Q4_K), SMALL, layout="llama.cpp")
    first, second = open_model(ours), open_model(stock)
    assert (first.layout, second.layout) == ("edgemed", "llama.cpp")
    assert {t.name: first.read(t) for t in first.dense} == {t.name: second.read(t) for t in second.dense}
    contents = [expert_bytes(first, *at) for at in np.ndindex(2, 16, 3)]
    assert contents == [expert_bytes(second, *at) for at in np.ndindex(2, 16, 3)]
    whole = {b"".join(contents[i : i + 3]) for i in range(0, len(contents), 3)}
    assert len(whole) == 2 * 16


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
def test_checkpoint_converts(tmp_path: Path, dtype: str) -> None:
    total = write_checkpoint(tmp_path / "source", SMALL, "fp8" if dtype == "fp8" else "bf16")
    convert(str(tmp_path / "source"), tmp_path / "m.gguf", Plan.uniform(Type.Q4_K))
    model = open_model(tmp_path / "m.gguf")
    assert model.verified
    assert total > sum(file.stat().st_size for file in (tmp_path / "source").glob("*.safetensors")) * 0.9


def test_true_shape_has_the_published_size() -> None:
    config = true_config(32, 157184)
    experts = 31 * 256 * 3 * config["hidden_size"] * config["moe_intermediate_size"]
    assert experts == 31 * 256 * 12_582_912
    assert (config["n_group"], config["topk_group"], config["num_experts_per_tok"]) == (8, 4, 8)


@pytest.mark.slow
def test_biased_router_follows_zipf() -> None:
    rng = np.random.default_rng(7)
    one_layer = traces.Shape(layers=1)
    scores = traces.sigmoid(rng.normal(size=(3000, 256))) + zipf_routing()[0]
    frequency = np.sort(np.bincount(traces.route(scores, one_layer).ravel(), minlength=256))[::-1] / 3000
    drawn = traces.draw(-np.log(np.arange(1, 257.0))[None], 3000, one_layer, rng)
    wanted = np.sort(np.bincount(drawn.ravel(), minlength=256))[::-1] / 3000
    assert np.abs(np.cumsum(frequency) - np.cumsum(wanted)).max() < 0.05 * 8


@pytest.mark.slow
def test_expert_use_in_the_header_matches_the_router(tmp_path: Path) -> None:
    shape = Shape(num_experts=256, num_experts_per_tok=8, n_group=8, topk_group=4)
    write_gguf(tmp_path / "m.gguf", Plan.uniform(Type.Q4_K), shape.config(), routing="zipf", calibrated=True)
    model = open_model(tmp_path / "m.gguf")
    assert model.expert_tokens is not None
    rng = np.random.default_rng(1)
    for moe_layer, layer in enumerate((1, 2)):
        bias = np.frombuffer(model.read(model.tensors[f"blk.{layer}.exp_probs_b.bias"]), np.float32)
        scores = traces.sigmoid(rng.normal(size=(3000, 256))) + bias
        used = np.bincount(traces.route(scores, traces.Shape(layers=1)).ravel(), minlength=256)
        assert np.corrcoef(used, model.expert_tokens[moe_layer])[0, 1] > 0.95


def test_token_sequences_are_fixed() -> None:
    assert tokens(4, 32768, 1) == tokens(4, 157184, 1)
    assert tokens(5, 32768, 1)[:4] == tokens(4, 32768, 1)
    assert tokens(4, 32768, 1) != tokens(4, 32768, 2)


@pytest.mark.slow
def test_direct_writes_keep_every_byte(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, size, dtype=np.uint8) for size in (1, 5000, BUFFER_BYTES, 4096, 77)]
    digest = hashlib.sha256()
    with DirectWriter(tmp_path / "f", digest.update) as writer:
        for part in parts:
            writer.append(part)
        assert writer.pad(512) == -sum(map(len, parts)) % 512
        writer.close(b"\0")
    expected = b"".join(part.tobytes() for part in parts)
    assert digest.hexdigest() == hashlib.sha256(expected).hexdigest()
    expected = b"\0" + expected[1:] + bytes(-len(expected) % 512)
    assert (tmp_path / "f").read_bytes() == expected


def test_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with DirectWriter(tmp_path / "f"):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert not (tmp_path / "f").exists()
