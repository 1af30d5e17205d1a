"""The sampler against the definitions it implements."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemed.engine.process.protocol import Sampling
from edgemed.engine.sampling import Sampler
from edgemed.engine.startup import recorded_sampling
from edgemed.errors import EngineError, UsageError
from edgemed.model_file import open_model
from testing.gguf_bytes import Kind, small_model

PLAIN = Sampling(temperature=1, top_p=1, top_k=0, repeat_penalty=1)
LOGITS = np.array([1.0, 3.0, 2.0, 2.5, -1.0], np.float32)


def draws(sampling: Sampling, logits: NDArray[np.float32] = LOGITS, count: int = 4000) -> NDArray[np.float64]:
    """The number of draws of each token."""
    picked = np.array([Sampler(sampling, seed, ()).pick(logits) for seed in range(count)])
    return np.bincount(picked, minlength=len(logits)) / count


def softmax(values: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = np.exp(values.astype(np.float64))
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def test_frequencies_follow_the_softmax() -> None:
    assert np.abs(draws(PLAIN) - softmax(LOGITS)).max() < 0.03


def test_temperature_comes_before_top_p() -> None:
    """Token 1 alone has a probability of 0.62 at T=0.5 and of 0.45 at T=1, so top_p=0.6 keeps different tokens."""
    frequencies = draws(replace(PLAIN, temperature=0.5, top_p=0.6))
    assert frequencies[1] == 1
    assert (draws(replace(PLAIN, top_p=0.6)) > 0).sum() == 2


def test_top_k_keeps_the_likeliest_and_their_ratios() -> None:
    frequencies = draws(replace(PLAIN, top_k=2))
    assert set(np.flatnonzero(frequencies)) == {1, 3}
    assert abs(frequencies[1] - 1 / (1 + np.exp(-0.5))) < 0.03


def test_equal_logits_are_ordered_by_token() -> None:
    assert draws(replace(PLAIN, top_k=2), np.zeros(6, np.float32), 200)[2:].sum() == 0


def test_zero_temperature_is_greedy_and_repetition_is_penalised_in_both_signs() -> None:
    greedy = replace(PLAIN, temperature=0)
    assert Sampler(greedy, 0, ()).pick(LOGITS) == 1
    penalised = Sampler(replace(greedy, repeat_penalty=2), 0, [1])
    assert [penalised.pick(LOGITS) for _ in range(3)] == [3, 2, 1]  # 3/2 < 2.5, 2; then 2.5/2, 2/2 < 3/2
    negative = np.array([-1.0, -1.5], np.float32)
    assert Sampler(replace(greedy, repeat_penalty=2), 0, [0]).pick(negative) == 1


def test_the_same_seed_draws_the_same_stream() -> None:
    """The stream of Python's Mersenne Twister. If it changed, seeds in audit trails would lose their meaning."""
    sampler = Sampler(PLAIN, 42, ())
    assert [sampler.pick(LOGITS) for _ in range(8)] == [3, 1, 1, 1, 3, 3, 2, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_logits_are_an_error(bad: float) -> None:
    with pytest.raises(EngineError, match="edgemed verify"):
        Sampler(PLAIN, 0, ()).pick(np.array([0, bad], np.float32))


@given(
    logits=st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=60),
    temperature=st.floats(0.01, 5),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 70),
    seed=st.integers(0, 2**64 - 1),
)
def test_every_pick_is_within_both_limits(
    logits: list[float], temperature: float, top_p: float, top_k: int, seed: int
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, repeat_penalty=1)
    values = np.array(logits, np.float32).astype(np.float64)  # sums in float32 would lose small probabilities
    token = Sampler(sampling, seed, ()).pick(values.astype(np.float32))
    higher = values > values[token]
    assert higher.sum() < (top_k or len(values))
    kept = np.sort(values)[::-1][: top_k or None]
    above = np.exp((values[higher] - values.max()) / temperature).sum()
    assert above < top_p * np.exp((kept - values.max()) / temperature).sum() + 1e-9


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("repeat_penalty", 0.0),
        ("seed", -1),
        ("max_tokens", 0),
    ],
)
def test_meaningless_settings_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"The sampling setting {setting} is"):
        Sampling(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("temp", Kind.U32, 1, Sampling(temperature=1)),
        ("top_k", Kind.I32, 7, Sampling(top_k=7)),
        ("top_k", Kind.F32, 7.0, Sampling()),
        ("temp", Kind.BOOL, True, Sampling()),
        ("top_p", Kind.F32, float("nan"), Sampling()),
        ("penalty_repeat", Kind.STRING, "much", Sampling()),
        ("temp", Kind.ARRAY, (Kind.F32, [1.0]), Sampling()),
    ],
)
def test_recommended_sampling_is_used_if_it_is_valid(
    tmp_path: Path, name: str, kind: Kind, value: Any, expected: Sampling
) -> None:
    """A number of another type could not be sent by the engine, and the model would never start."""
    gguf = small_model("edgemed")
    gguf.set_key(f"general.sampling.{name}", kind, value)
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.encode())
    assert recorded_sampling(open_model(path)) == expected
