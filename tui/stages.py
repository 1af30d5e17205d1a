"""The line above the composer: what the engine is doing and how long it may take. Pure logic."""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.tui.strings import Strings

ESTIMATE_AFTER_SECONDS = 2.0
"""A rate measured over less time than this is too noisy for an estimate."""


@dataclass(frozen=True, slots=True)
class Idle:
    """The engine waits for a question."""


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded. `fraction`: 0 to 1, None before the first progress message."""

    stage: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Prefill: `done` of `total` prompt tokens are in the KV cache; `fresh` of them were computed, in `seconds`."""

    done: int
    total: int
    fresh: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Writing:
    """The answer is being written; `tokens` of it have arrived."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The user has stopped the answer; the engine has not confirmed it yet."""


@dataclass(frozen=True, slots=True)
class Down:
    """The engine is not running; `sentence` says why."""

    sentence: str


Stage = Idle | Loading | Reading | Writing | Stopping | Down


def described(stage: Stage, words: Strings) -> str:
    """The stage in words; empty when idle."""
    match stage:
        case Loading(fraction=None):
            return words.loading
        case Loading(name, fraction):
            shown = words.loading_stages.get(name, name)
            return words.loading_stage.format(stage=shown, percent=f"{(fraction or 0) * 100:.0f}")
        case Reading(_, 0):
            return words.reading
        case Reading(done, total, fresh, seconds):
            percent = f"{100 * done / total:.0f}"
            if seconds < ESTIMATE_AFTER_SECONDS or not fresh:
                return words.reading_share.format(percent=percent)
            left = words.duration((total - done) * seconds / fresh)
            return words.reading_left.format(percent=percent, time=left)
        case Writing():
            return words.answering
        case Stopping():
            return words.stopping
        case Down(sentence):
            return words.engine_down.format(error=sentence).replace("。 ", "。")
        case Idle():
            return ""
