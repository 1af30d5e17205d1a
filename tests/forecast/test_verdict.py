"""What a forecast means, in sentences."""

from __future__ import annotations

import math

import pytest

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.forecast.compute_rates import attention_rate
from edgemed.forecast.model_size import size_of
from edgemed.forecast.prediction import predict, smallest_ram
from edgemed.forecast.verdict import outlook, span, timing, verdict
from testing.machines import machine

MODELS = {f"AntAngelMed at {bits} bits": size_of(ANTANGELMED, bits) for bits in (2.6, 4.5)}
GIB = 1 << 30


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.2, None, "1 second"),
        (8.4, None, "8 seconds"),
        (51.4, None, "50 seconds"),
        (245, None, "4 minutes"),
        (1020, 1260, "17 to 21 minutes"),
        (40, 70, "1 minute"),
        (7000, 9900, "2 to 3 hours"),
    ],
)
def test_times_are_said_in_round_words(low: float, high: float | None, words: str) -> None:
    assert span(low, high) == words


def test_a_slow_machine_hears_what_it_is_good_for_and_what_memory_would_give() -> None:
    said = verdict(MODELS, machine(disk=0.12, batch=300), 20 * GIB, 8192, None)
    assert said.startswith("AntAngelMed at 2.6 bits runs here, too slow for a consultation: first word after about ")
    assert "minutes; usable for letters; with 32 GiB of free memory, slow for a " in said
    assert said.endswith("minutes).")


def test_a_fast_machine_hears_of_the_most_precise_model() -> None:
    fast = machine(disk=7, product=80, batch=20_000)
    said = verdict(MODELS, fast, 120 * GIB, 8192, None)
    assert said.startswith("AntAngelMed at 4.5 bits runs here, fast enough for a consultation: first word after about ")
    assert "with" not in said


def test_a_small_machine_hears_what_is_missing() -> None:
    least = smallest_ram(MODELS["AntAngelMed at 2.6 bits"], 8192)
    said = verdict(MODELS, machine(), least - 1, 8192, None)
    assert said.startswith("AntAngelMed at 2.6 bits does not run here: it needs at least ")


def test_the_times_of_a_row_are_a_range_from_better_to_worse() -> None:
    model = MODELS["AntAngelMed at 2.6 bits"]
    here = outlook("m", model, predict(model, machine(disk=0.5, batch=40), 20 * GIB))
    assert here is not None
    words = timing(here)
    assert words.startswith("first word after about ")
    assert "a 300-word answer about" in words
    assert here.worst.token_s > here.better.token_s
    assert outlook("m", model, []) is None


def test_attention_that_noise_hides_has_no_rate() -> None:
    assert attention_rate(1e9, 1.0, 0.9) == pytest.approx(1e10)
    assert math.isinf(attention_rate(1e9, 1.0, 0.99))
    assert math.isinf(attention_rate(1e9, 1.0, 1.2))
