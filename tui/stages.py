"""What the line above the composer says: what the engine is doing, and how long it may take. Pure logic."""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.tui.strings import Strings

ESTIMATE_AFTER_SECONDS = 2.0
"""A rate measured over less than this says nothing."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is going on."""


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is on its way into memory. `fraction`: 0 to 1, None before the first news."""

    stage: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The prompt is being read: `done` of `total` tokens, `fresh` of them computed in `seconds`."""

    done: int
    total: int
    fresh: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Writing:
    """The answer is being written; `tokens` have come."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The user wants an end, the engine has not answered yet."""


@dataclass(frozen=True, slots=True)
class Down:
    """The engine is not running; `sentence` says why."""

    sentence: str


Stage = Idle | Loading | Reading | Writing | Stopping | Down


def described(stage: Stage, words: Strings) -> str:
    """The stage in words; empty when there is nothing to say."""
    match stage:
        case Loading(fraction=None):
            return words.loading
        case Loading(name, fraction):
            return words.loading_stage.format(stage=name, percent=f"{(fraction or 0) * 100:.0f}")
        case Reading(done, total, fresh, seconds):
            if seconds < ESTIMATE_AFTER_SECONDS or not fresh:
                return words.reading.format(done=done, total=total)
            left = (total - done) * seconds / fresh
            return words.reading_left.format(done=done, total=total, seconds=f"{left:.0f}")
        case Writing(tokens):
            return words.answering.format(tokens=tokens)
        case Stopping():
            return words.stopping
        case Down(sentence):
            return words.engine_down.format(error=sentence)
        case Idle():
            return ""
