"""Parts of the plan's JSON: lists of experts ("0-3,17"), checked objects, type names.

Every error is a PlanError that quotes what was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gguf import GGMLQuantizationType as Type

from edgemed.errors import PlanError
from edgemed.quant import types

PROJECTIONS = ("gate", "up", "down")  # the order of the file and of every array indexed by projection
MAX_EXPERTS = 1 << 16  # of one layer; limits the memory that "0-99999999999" could take


def write_ranges(numbers: Iterable[int]) -> str:
    """The numbers in ascending order, with runs as `first-last`: 0-3,17."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def read_ranges(text: Any) -> list[int]:
    """The numbers that `write_ranges` wrote. Raises PlanError."""
    numbers: list[int] = []
    for run in str(text).replace(" ", "").split(","):
        first, dash, last = run.partition("-")
        bounds = (first, last if dash else first)
        if not all(bound.isascii() and bound.isdecimal() and len(bound) < 8 for bound in bounds):
            raise PlanError(f'The plan says "{str(text)[:80]}" where experts such as "0-3,17" belong.')
        low, high = map(int, bounds)
        if not low <= high < MAX_EXPERTS:
            raise PlanError(f'The plan names experts "{run}", which no layer has.')
        numbers.extend(range(low, high + 1))
    return numbers


def unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A hook for `json.loads` that raises PlanError if an object has the same key twice."""
    document = dict(pairs)
    if len(document) != len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
        raise PlanError(f'The plan has two entries "{twice[:80]}" in one object; keep one.')
    return document


def read_object(value: Any, what: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """`value` if it is a JSON object with no other keys than these. Raises PlanError."""
    if not isinstance(value, dict):
        raise PlanError(f'The plan\'s "{what}" must be an object such as {{"default": "Q4_K"}}.')
    if keys is not None and (unknown := sorted(set(value) - set(keys))):
        raise PlanError(
            f'The plan has an unknown entry "{unknown[0][:80]}" in "{what}"; it may have {", ".join(keys)}.'
        )
    return value


def read_type(value: Any) -> Type:
    """The type of that name. Raises PlanError."""
    if not isinstance(value, str):
        raise PlanError(f"The plan says {str(value)[:80]} where the name of a type belongs.")
    return types.parse_type(value)


def read_projection(name: str) -> int:
    """The index of gate, up or down. Raises PlanError."""
    if name not in PROJECTIONS:
        raise PlanError(f'The plan names the projection "{name[:80]}"; an expert has {", ".join(PROJECTIONS)}.')
    return PROJECTIONS.index(name)


def read_number(text: str, what: str) -> int:
    """An integer that is used as a key. Raises PlanError."""
    if not (text.isascii() and text.isdecimal() and len(text) < 8):
        raise PlanError(f'The plan names {what} "{text[:80]}"; it must be a whole number.')
    return int(text)
