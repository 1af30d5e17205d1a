"""One quantity of a text, and the ways to read it."""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical.numbers.units import NONE, Unit

ORDINAL = Unit("ordinal", 1)
FEW = Unit("few", 1)
FRACTION = Unit("fraction", 1)
PER_DAY = Unit("per day", 1)
DATE = Unit("date", 1)  # month * 100 + day
MONTH = Unit("calendar month", 1)
YEAR = Unit("calendar year", 1)
TIME = Unit("time of day", 1)  # minutes since midnight


@dataclass(frozen=True, slots=True)
class Part:
    """One value. `raw` is the number as written, `value` the number in the first unit of `unit.dimension`."""

    raw: str
    unit: Unit = NONE

    @property
    def value(self) -> str:
        """Equal for equal quantities: 1 g and 1000 mg."""
        return self.raw if self.unit.factor == 1 else key(float(self.raw) * self.unit.factor)


@dataclass(slots=True)
class Quantity:
    """What stands at text[start:end]. `readings`: each a way to read it; one of them is meant.

    soft: it supports a number of the other text and is never marked itself, as "first" or "at night".
    clock: a date or a time of day. ratio: 120 and 80 of 120/80. support: what it says besides, as the plain 3 of
    "3 times a week".
    """

    start: int
    end: int
    readings: tuple[tuple[Part, ...], ...]
    soft: bool = False
    clock: bool = False
    ratio: tuple[str, str] | None = None
    support: tuple[Part, ...] = ()
    values: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        """Collects the dimensions and values of the first reading."""
        self.values = self.values or frozenset((part.unit.dimension, part.value) for part in self.readings[0])


def key(value: float) -> str:
    """A number in a form in which equal numbers are equal."""
    return f"{value:.9g}"
