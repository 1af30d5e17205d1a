"""The fast forward pass agrees with the reference, and its callbacks see every activation."""

from pathlib import Path

import numpy as np

from edgemed.quant.types import Type
from testing import forward
from testing.checkpoints import make_checkpoint
from testing.reference import forward as reference
from testing.reference import load_checkpoint


def test_logits_match_the_reference(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "tiny", dtype="bf16", seed=1)
    model, exact = forward.load(folder), load_checkpoint(folder)
    tokens = np.random.default_rng(0).integers(0, exact.config["vocab_size"], (2, 12))
    found = forward.logits(model, tokens)
    for sequence, logits in zip(tokens, found, strict=True):
        expected = reference(exact, sequence)
        assert expected.margin > 1e-5  # so float32 scores choose the same experts
        np.testing.assert_allclose(logits, expected.logits, atol=2e-3 * np.abs(expected.logits).max())


def test_watch_sees_every_token_of_every_expert(tmp_path: Path) -> None:
    model = forward.load(make_checkpoint(tmp_path / "tiny", dtype="f32"))
    seen = {"layer": 0, "expert": 0}

    def layer(moe_layer: int, x: np.ndarray, experts: np.ndarray, shares: np.ndarray, margins: np.ndarray) -> None:
        assert experts.shape == shares.shape
        assert (margins >= 0).all()
        np.testing.assert_allclose(shares.sum(axis=1), model.config["routed_scaling_factor"], rtol=1e-5)
        seen["layer"] += len(x)

    def expert(moe_layer: int, e: int, x: np.ndarray, share: np.ndarray, inner: np.ndarray, output: np.ndarray) -> None:
        assert inner.shape == (len(x), model.experts[0].shape[2])
        seen["expert"] += len(x)

    tokens = np.arange(10)[None]
    watched = forward.logits(model, tokens, forward.Watch(layer, expert))
    layers = model.experts[0].shape[0]
    assert seen == {"layer": 10 * layers, "expert": 10 * layers * model.config["num_experts_per_tok"]}
    np.testing.assert_array_equal(watched, forward.logits(model, tokens))


def test_replaced_experts_change_logits(tmp_path: Path) -> None:
    model = forward.load(make_checkpoint(tmp_path / "tiny", dtype="f32"))
    tokens = np.arange(10)[None]
    changed = model.with_experts(tuple(1.1 * weights for weights in model.experts))
    assert np.abs(forward.logits(changed, tokens) - forward.logits(model, tokens)).max() > 1e-3
    dense = forward.logits(model.with_dense(Type.F16), tokens)
    np.testing.assert_allclose(dense, forward.logits(model, tokens), atol=0.05)
