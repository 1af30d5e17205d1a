"""Phrase rules are fast on ordinary notes and bounded on hostile texts. Generous margins: CI machines are slow."""

from __future__ import annotations

import random
import time
import tomllib
from pathlib import Path

import pytest

from edgemed.clinical.flags import phrases
from edgemed.clinical.flags.flag import Text
from testing.timing import MOST_SECONDS

NOTE = """She was seen in clinic and reports that since last week there has been some mild pain in the lower back with
no fever. She takes metformin and amlodipine every morning, and her blood pressure was 132/84 at a weight of 72 kg. We
discussed diet and exercise and plan to see her again in three months. Bloods were normal apart from a ferritin of 12.
"""
OWN = tomllib.loads((Path(__file__).parent / "texts.en.toml").read_text(encoding="utf-8"))
SIZE = 500_000


def seconds(body: str) -> float:
    start = time.process_time()
    phrases.found([Text(body)])
    return time.process_time() - start


def test_a_long_note_takes_a_moment() -> None:
    body = (NOTE * 40)[:16_000]  # about 4,000 tokens
    seconds(body)  # compiles the patterns
    assert min(seconds(body) for _ in range(5)) < 0.3  # under 0.05 on an idle core


def words() -> str:
    every = " ".join(text for texts in OWN.values() for text in texts).split()
    return " ".join(random.Random(1).choices(every, k=SIZE // 6))


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "chest ",
        "pain no chest of ",
        "no ",
        "a",
        "chest pain. ",
        "? ",
        "\n",
        "38.5 82/40 k 7.1 ",
        "denies, or ",
        "bp ... ",
    ],
)
def test_hostile_repetition_stays_linear(unit: str) -> None:
    assert seconds((unit * SIZE)[:SIZE]) < MOST_SECONDS


@pytest.mark.slow
def test_shuffled_words_of_all_rules_stay_bounded() -> None:
    assert seconds(words()) < MOST_SECONDS
