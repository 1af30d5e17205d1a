"""Statistics: merging equals one pass in any order, files round-trip, damaged files are refused, imatrix both ways."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.errors import CalibrationError
from edgemed.quant.imatrix import read_imatrix, write_imatrix
from edgemed.quant.sample import UNUSED, Sample, token_keys
from edgemed.quant.statistics import SUMS, Statistics

LAYERS, EXPERTS, USED, EMBD, FF = (1, 2), 6, 2, 4, 3


def empty(domains: list[str], sample: int = 5) -> Statistics:
    return Statistics.empty(domains, LAYERS, n_expert=EXPERTS, n_used=USED, n_embd=EMBD, n_ff=FF, sample=sample)


def observe(statistics: Statistics, domain: str, text: str, tokens: int) -> None:
    """Observe invented activations that depend only on the text's name."""
    rng = np.random.default_rng(int(token_keys(text, 1)[0] >> np.uint64(32)))
    index = statistics.domains.index(domain)
    for row in range(len(LAYERS)):
        inputs = rng.normal(size=(tokens, EMBD)).astype(np.float32)
        experts = (
            np.array([rng.choice(EXPERTS, USED, replace=False) for _ in range(tokens)])
            .reshape(tokens, USED)
            .astype(int)
        )
        shares = rng.random((tokens, USED)).astype(np.float32)
        margins = 10 ** rng.uniform(-6, 0, tokens)
        statistics.observe_layer(
            index, row, token_keys(text, tokens), inputs, experts, shares, margins, rng.random(tokens)
        )
        for expert in range(EXPERTS):
            token, rank = np.nonzero(experts == expert)
            inner, output = rng.normal(size=(len(token), FF)), rng.normal(size=(len(token), EMBD))
            statistics.observe_expert(index, row, expert, inputs[token], shares[token, rank], inner, output)


def assert_same(a: Statistics, b: Statistics) -> None:
    assert (a.domains, a.layers) == (b.domains, b.layers)
    for name in SUMS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12)
    for row in range(len(LAYERS)):
        orders = [np.argsort(statistics.sample.key[row], kind="stable") for statistics in (a, b)]
        for field in dataclasses.fields(Sample):
            one, other = (getattr(s.sample, field.name)[row, o] for s, o in zip((a, b), orders, strict=True))
            np.testing.assert_array_equal(one, other)
        for one, other in zip(a.sample.of_layer(row, 3), b.sample.of_layer(row, 3), strict=True):
            np.testing.assert_array_equal(one, other)


texts = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 4)), min_size=1, max_size=6)


@settings(max_examples=25)
@given(texts, st.randoms())
def test_merging_in_any_order_equals_one_pass(content: list[tuple[str, int]], random) -> None:
    whole = empty(sorted({domain for domain, _ in content}))
    parts = []
    for number, (domain, tokens) in enumerate(content):
        observe(whole, domain, f"text {number}", tokens)
        part = empty([domain])
        observe(part, domain, f"text {number}", tokens)
        parts.append(part)
    random.shuffle(parts)
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert_same(merged, whole)


def test_counts_add_up() -> None:
    statistics = empty(["a"], sample=100)
    observe(statistics, "a", "x", 40)
    assert statistics.tokens.sum() == 2 * 40 * USED
    assert statistics.margins.sum() == 2 * 40
    assert statistics.margins[0, 0, -1] > 0  # margins below 2^-15 are in the last bin
    inputs, shares, weights = statistics.sample.of_expert(0, 3)
    assert len(inputs) == len(shares) == len(weights) == statistics.tokens[0, 0, 3]
    assert shares.sum() == pytest.approx(statistics.share[0, 0, 3])
    np.testing.assert_allclose((inputs**2).sum(axis=0), statistics.input_squares[0, 3], rtol=5e-3)
    inputs, weights = statistics.sample.of_layer(1, 100)
    assert len(inputs) == 40
    assert weights.mean() == pytest.approx(1)
    assert len(statistics.sample.of_layer(1, 7)[0]) == 7


def test_domains_are_weighted_by_tokens() -> None:
    """A domain's weights average 1, however uncertain the model is on it, and even if that was not measured."""
    statistics = empty(["sure", "unsure", "unknown"], sample=100)
    entropy = {"sure": [0.1, 0.3], "unsure": [2.0, 4.0, 6.0], "unknown": [0.0]}
    for domain, name in enumerate(statistics.domains):
        count = len(entropy[name])
        inputs = np.full((count, EMBD), float(domain))
        zeros, ones = np.zeros((count, USED), int), np.ones((count, USED))
        key = token_keys(name, count)
        statistics.observe_layer(domain, 0, key, inputs, zeros, ones, ones[:, 0], np.array(entropy[name]))
    inputs, weights = statistics.sample.of_layer(0, 100)
    found = {name: sorted(weights[inputs[:, 0] == domain]) for domain, name in enumerate(statistics.domains)}
    assert found["sure"] == pytest.approx([0.5, 1.5])
    assert found["unsure"] == pytest.approx([0.5, 1.0, 1.5])
    assert found["unknown"] == [1.0]


def test_small_sample_keeps_the_lowest_keys() -> None:
    statistics = empty(["a"], sample=7)
    observe(statistics, "a", "x", 40)
    assert set(statistics.sample.key[0]) == set(np.sort(token_keys("x", 40))[:7])
    assert (token_keys("x", 1000) < UNUSED).all()
    assert abs(np.mean(token_keys("x", 4000) / float(UNUSED)) - 0.5) < 0.02


def test_file_round_trips(tmp_path: Path) -> None:
    statistics = empty(["a", "中文"])
    observe(statistics, "中文", "x", 9)
    statistics.save(tmp_path / "s.npz")
    assert_same(Statistics.load(tmp_path / "s.npz"), statistics)
    assert np.load(tmp_path / "s.npz", allow_pickle=False)["tokens"].shape == (2, 2, EXPERTS)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(CalibrationError, match=r"s\.npz cannot be read"):
        Statistics.load(path)
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(CalibrationError, match="cannot be read"):
        Statistics.load(path)
    good = empty(["a"])
    observe(good, "a", "x", 3)
    for change, message in (
        ({"tokens": good.tokens[:, :1]}, "do not fit together"),
        ({"share": np.full_like(good.share, np.nan)}, "cannot be sums of squares"),
        ({"share": good.share * 1e30}, "cannot be sums of squares"),
        ({"input_squares": good.input_squares * 1e38}, "cannot be sums of squares"),
        ({"sample": dataclasses.replace(good.sample, shares=good.sample.shares * 1e30)}, "cannot be sums of squares"),
        (
            {"effects": np.full_like(good.effects, 1e30)},
            "cannot be sums of squares",
        ),  # nats: times such, damage is infinite
        ({"dense": np.full_like(good.dense, 1e30)}, "cannot be sums of squares"),
        ({"output": good.output.astype(np.float32)}, "do not fit together"),
        ({"sample": dataclasses.replace(good.sample, domain=good.sample.domain + 1)}, "do not fit together"),
        ({"sample": dataclasses.replace(good.sample, experts=good.sample.experts.ravel())}, "cannot be read"),
        ({"sample": dataclasses.replace(good.sample, entropy=good.sample.entropy - 1)}, "cannot be sums of squares"),
        ({"sample": dataclasses.replace(good.sample, inputs=good.sample.inputs * np.nan)}, "cannot be sums of squares"),
        ({"input_squares": good.input_squares.ravel()}, "cannot be read"),
    ):
        dataclasses.replace(good, **change).save(path)
        with pytest.raises(CalibrationError, match=message):
            Statistics.load(path)
    np.savez(path, version=np.array(1), domains=np.array([{}], dtype=object))
    with pytest.raises(CalibrationError, match="cannot be read"):
        Statistics.load(path)


def test_merged_effects_are_weighted_by_tokens() -> None:
    one, other, unmeasured = empty(["a"]), empty(["a"]), empty(["a"])
    for statistics, tokens in ((one, 3), (other, 9), (unmeasured, 5)):
        observe(statistics, "a", f"text of {tokens}", tokens)
    one.effects[:], other.effects[:] = 1.0, 2.0
    one.dense[:], other.dense[:] = 0.1, 0.2
    for both, expected in ((one.merge(other), 1.75), (unmeasured.merge(one), 1.0)):
        np.testing.assert_allclose(both.effects, expected)
        np.testing.assert_allclose(both.dense, expected / 10)
    unmeasured.effects[:] = 2.0  # effects of layers only, which say nothing about dense matrices
    np.testing.assert_allclose(unmeasured.merge(one).dense, 0.1)


def test_different_shapes_do_not_merge() -> None:
    other = Statistics.empty(["a"], LAYERS, n_expert=EXPERTS, n_used=USED, n_embd=EMBD + 1, n_ff=FF)
    with pytest.raises(CalibrationError, match="different shapes"):
        empty(["a"]).merge(other)


def test_imatrix_round_trips(tmp_path: Path) -> None:
    statistics = empty(["a"])
    observe(statistics, "a", "x", 50)
    write_imatrix(statistics, tmp_path / "i.gguf")
    read = read_imatrix(tmp_path / "i.gguf", LAYERS, EXPERTS, EMBD, FF)
    np.testing.assert_allclose(read.input_squares, statistics.input_squares, rtol=1e-6)
    np.testing.assert_allclose(read.inner_squares, statistics.inner_squares, rtol=1e-6)
    np.testing.assert_array_equal(read.tokens, statistics.tokens)
    with pytest.raises(CalibrationError, match="6 x 5 numbers"):
        read_imatrix(tmp_path / "i.gguf", LAYERS, EXPERTS, EMBD + 1, FF)
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_imatrix(tmp_path / "none.gguf", LAYERS, EXPERTS, EMBD, FF)
