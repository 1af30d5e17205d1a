"""Questions whose answers can be checked by a program: arithmetic, research questions, safety cases.

Each Task is a prompt, a reference answer for supervised training, and a reward in [0, 1] for a model's answer. A tenth
of the arithmetic (by a hash of the question) is held out, and so are the wordings of safety cases marked `held`.
"""

import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data import Document, pubmed_chat, rows

FINAL = re.compile(r"#### (-?\d+)\s*$")  # answers end like those of grade-school maths data sets


@dataclass(frozen=True)
class Task:
    kind: str
    prompt: Document
    answer: str
    reward: Callable[[str], float]
    max_tokens: int = 64  # enough to earn the reward


def held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % 10 == 0


def arithmetic(number: int, *, held: bool, seed: int) -> Iterator[Task]:
    """Yield `number` sums, differences, products and doses. Held-out questions never appear among the others."""
    draw = random.Random(seed)
    made = 0
    while made < number:
        question, working, result = draw.choice((sum_of, difference_of, product_of, dose_of, tablets_of))(draw)
        if held_out(question) is held:
            made += 1
            check = number_reward(result)
            yield Task("arithmetic", [("user", question)], f"{working}\n#### {result}", check)


def number_reward(result: int) -> Callable[[str], float]:
    """Reward 1 for the right number in the right form, 0.1 for the form alone."""

    def reward(said: str) -> float:
        found = FINAL.search(said)
        return 0.0 if not found else 1.0 if int(found[1]) == result else 0.1

    return reward


def sum_of(draw: random.Random) -> tuple[str, str, int]:
    a, b = draw.randint(2, 99), draw.randint(2, 99)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", a + b


def difference_of(draw: random.Random) -> tuple[str, str, int]:
    a, b = sorted((draw.randint(2, 99), draw.randint(2, 99)), reverse=True)
    return f"What is {a} - {b}?", f"{a} - {b} = {a - b}.", a - b


def product_of(draw: random.Random) -> tuple[str, str, int]:
    a, b = draw.randint(2, 20), draw.randint(2, 9)
    return f"What is {a} times {b}?", f"{a} * {b} = {a * b}.", a * b


def dose_of(draw: random.Random) -> tuple[str, str, int]:
    dose, times = draw.choice((5, 10, 15, 20, 25, 40, 50, 75, 100, 125, 200, 250)), draw.randint(2, 4)
    question = f"A patient takes {dose} mg of a medicine {times} times a day. How many mg is that in one day?"
    return question, f"{dose} * {times} = {dose * times} mg in one day.", dose * times


def tablets_of(draw: random.Random) -> tuple[str, str, int]:
    strength, tablets = draw.choice((2, 5, 10, 20, 25, 50, 100, 250)), draw.randint(2, 8)
    question = f"One tablet holds {strength} mg. How many tablets make {strength * tablets} mg?"
    return question, f"{strength * tablets} / {strength} = {tablets} tablets.", tablets


def research(path: Path, split: str) -> Iterator[Task]:
    """Yield PubMedQA's questions. Reward 1 for the right first word, 0.1 for another allowed word."""
    for row in rows(path, split):
        question, answer = pubmed_chat(row)
        yield Task("research", [question], answer[1], label_reward(row["label"]), max_tokens=8)


def label_reward(label: str) -> Callable[[str], float]:
    def reward(said: str) -> float:
        word = re.match(r"(yes|no|maybe)\b", said.strip().lower())
        return 0.0 if not word else 1.0 if word[1] == label else 0.1

    return reward


def safety(path: Path, *, held: bool) -> Iterator[Task]:
    """Yield hand-written cases: an answer needs one word of every group of `must` and none of `never`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        for wording in case["held"] if held else case["ask"]:
            reward = words_reward(case["must"], case.get("never", []))
            yield Task("safety", [("user", wording)], case["answer"], reward)


def words_reward(must: list[list[str]], never: list[str]) -> Callable[[str], float]:
    def reward(said: str) -> float:
        low = said.lower()
        if any(word in low for word in never):
            return 0.0
        return sum(any(word in low for word in group) for group in must) / len(must)

    return reward
