"""What a comparison of two texts reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "unit", "side", "negation"]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """`text[start:end]` of the text that it was found in."""

    start: int
    end: int
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Checked:
    """`added`: marks in the written text that the source does not support. `dropped`: marks in the source.

    cut: a text was too long (or has too many numbers) to be read to its end, so that marks may be missing or false.
    """

    added: list[Mark]
    dropped: list[Mark]
    cut: bool = False

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.added or self.dropped)
