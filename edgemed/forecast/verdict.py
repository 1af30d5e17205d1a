"""What a prediction means to the person who waits: times in words, and one sentence on what a model is good for here.

All functions are pure. Times are of the worst case unless a range is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemed.forecast.hit_rates import KnownUse
from edgemed.forecast.machine import Machine
from edgemed.forecast.model_size import ModelSize
from edgemed.forecast.prediction import Prediction, predict, smallest_ram
from edgemed.sizes import format_size

ANSWER_WORDS = 300
TOKENS_PER_WORD = 4 / 3
"""Of English prose in AntAngelMed's vocabulary, about."""

# The longest wait for the first word and for an answer of ANSWER_WORDS, in seconds, and what that is good for.
_LEVELS = (
    (15.0, 120.0, "fast enough for a consultation", ""),
    (60.0, 360.0, "slow for a consultation", "usable between consultations"),
    (600.0, 2700.0, "too slow for a consultation", "usable for letters"),
    (float("inf"), float("inf"), "too slow for a working day", "usable overnight"),
)
_MEMORY = tuple(gib << 30 for gib in (16, 24, 32, 48, 64, 96, 128, 192, 256))
"""Sizes of memory that computers are sold with."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """One model with one budget: the worst case, the better case, and the level (an index of _LEVELS)."""

    name: str
    model: ModelSize
    worst: Prediction
    better: Prediction
    level: int


def outlook(name: str, model: ModelSize, predictions: list[Prediction]) -> Outlook | None:
    """What to expect of a model; None if it does not fit (`predictions` is empty)."""
    if not predictions:
        return None
    worst, better = predictions
    waits = (worst.first_token_s, answer_seconds(better))
    level = next(i for i, (first, whole, *_) in enumerate(_LEVELS) if waits[0] <= first and waits[1] <= whole)
    return Outlook(name, model, worst, better, level)


def answer_seconds(prediction: Prediction) -> float:
    """Seconds from the question to the end of an answer of ANSWER_WORDS."""
    return prediction.first_token_s + ANSWER_WORDS * TOKENS_PER_WORD * prediction.token_s


def timing(here: Outlook) -> str:
    """`first word after about 4 minutes; a 300-word answer about 17 to 21 minutes`."""
    whole = span(answer_seconds(here.better), answer_seconds(here.worst))
    return f"first word after about {span(here.worst.first_token_s)}; a {ANSWER_WORDS}-word answer about {whole}"


def verdict(
    models: Mapping[str, ModelSize], machine: Machine, ram_bytes: int, n_ctx: int, known: KnownUse | None
) -> str:
    """One sentence: does it run here, what is it good for, and what more memory would give.

    Among several models it speaks of the most precise one that is fast enough, or else of the fastest one.
    """
    found = [outlook(name, model, predict(model, machine, ram_bytes, n_ctx, known)) for name, model in models.items()]
    fitting = [each for each in found if each is not None]
    if not fitting:
        name, model = min(models.items(), key=lambda item: smallest_ram(item[1], n_ctx))
        return f"{name} does not run here: it needs at least {format_size(smallest_ram(model, n_ctx))} of free memory."
    best = min(each.level for each in fitting)
    equal = [each for each in fitting if each.level == best]
    here = max(equal, key=lambda each: each.model.expert_bytes) if best == 0 else min(equal, key=_answer_of)
    _, _, judgement, use = _LEVELS[here.level]
    parts = [f"{here.name} runs here, {judgement}: first word after about {span(here.worst.first_token_s)}"]
    parts += [use] if use else []
    for more in _MEMORY if here.level else ():
        then = outlook(here.name, here.model, predict(here.model, machine, more, n_ctx, known))
        if more > ram_bytes and then is not None and then.level < here.level:
            parts.append(f"with {format_size(more)} of free memory, {_LEVELS[then.level][2]} ({timing(then)})")
            break
    return "; ".join(parts) + "."


def _answer_of(each: Outlook) -> float:
    return answer_seconds(each.worst)


def span(low: float, high: float | None = None) -> str:
    """A time in words, or a range in the unit of its end: `8 seconds`, `4 minutes`, `17 to 21 minutes`."""
    high = low if high is None else high
    scale, unit = (1, "second") if high < 55 else (60, "minute") if high < 5400 else (3600, "hour")
    step = 5 if scale == 1 and high > 20 else 1
    first, last = (max(1, step * round(each / scale / step)) for each in (low, high))
    return f"{first if first == last else f'{first} to {last}'} {unit}{'' if last == 1 else 's'}"
