"""What can be measured: the names and units of laboratory values and vital signs. NOT CLINICALLY REVIEWED."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: a value times `factor` is in the analyte's first unit.

    A value without a unit may be in this one if it lies between `least` and `most`. A unit without these bounds
    counts only where it is written.
    """

    factor: float = 1.0
    least: float = 1.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Analyte:
    """A table of analytes.toml. `names` is a regular expression of its Latin names, `han` of its Chinese ones."""

    key: str
    names: str
    han: str
    units: dict[str, Unit]
    drug: bool = False


_PLACES = {
    "{no_salt}": (
        r"(?![\s-]*(?:chloride|cl\b|bicarb|gluconate|carbonate|sulph|sulf|citrate|phosphate|valproate|binder|channel"
        r"|sparing|supplement|replacement|infusion|tablet|oxide|zirconium|polystyrene|intake|diet|score))"
    ),
    "{no_han_salt}": "(?!片|盐|剂|注射|口服|离子通道|拮抗)",
    "{end}": "(?![a-z_+])",
}


def _analyte(key: str, row: dict[str, Any]) -> Analyte:
    units = {unit: Unit(*numbers) for unit, numbers in row["units"].items()}
    return Analyte(key, _pattern(row["en"]), _pattern(row["zh"]), units, row.get("drug", False))


def _pattern(names: list[str]) -> str:
    pattern = "|".join(names)
    for place, expression in _PLACES.items():
        pattern = pattern.replace(place, expression)
    return pattern


_STORED = tomllib.loads(resources.files(__package__).joinpath("analytes.toml").read_text(encoding="utf-8"))
_SPELLINGS: dict[str, str] = {other: unit for unit, others in _STORED.pop("spellings").items() for other in others}
ANALYTES = tuple(_analyte(key, row) for key, row in _STORED.items())
BY_KEY = {analyte.key: analyte for analyte in ANALYTES}

NAME = re.compile(r"(?<![a-z0-9])(?:" + "|".join(a.names for a in ANALYTES) + ")|" + "|".join(a.han for a in ANALYTES))
_EACH = [(a, re.compile(rf"(?:{a.names}|{a.han})")) for a in ANALYTES]


_KNOWN: dict[str, Analyte] = {}


def named(name: re.Match[str]) -> Analyte:
    """The analyte that a match of `NAME` names."""
    if name[0] not in _KNOWN:
        _KNOWN[name[0]] = next(
            a for a, names in _EACH if (m := names.match(name.string, name.start())) and m.end() == name.end()
        )
    return _KNOWN[name[0]]


UNIT = re.compile(
    r"(?:[x×*·]\s?)?10\s?[\^e*]{0,2}\s?(?:12|9|6|3)\s?/\s?[uμ]?l\b"
    r"|°\s?[cf]\b|℃|℉|%|度|mm\s?hg|mmhg"
    r"|毫摩尔?(?:/升|每升)|微摩尔?(?:/升|每升)|毫克/(?:分升|升)|克/升|次/分钟?|毫米汞柱|万/[uμ]l"
    r"|(?:k|thou(?:sand)?|cells)?\s?/\s?(?:[uμ]l|mm3|mcl|cumm|min(?:ute)?)\b"
    r"|(?:[kmunpμ]|mc)?(?:mol|eq|g|iu|u|units?|l|cal)\b(?:\s?(?:/|per)\s?[a-zμ]{1,6}\b(?:\s?/\s?[a-z]{1,5}\b)?)?"
    r"|b\.?p\.?m\b|breaths?\b|beats?\b|[cf](?![a-z])"
)


def unit_named(written: str) -> str:
    """The usual spelling of a unit, such as "mmol/l" for "mEq per litre"."""
    name = re.sub(r"\s|\.", "", written).replace("μ", "u").replace("per", "/")
    name = re.sub(r"^mc(?=g|mol)", "u", name)
    name = re.sub(r"lit(?:re|er)s?|ltr", "l", name)
    if power := re.match(r"[x×*·]?10[\^e*]{0,2}(12|9|6|3)/(u?l)$", name):
        name = f"10^{power[1]}/{power[2]}"
    return _SPELLINGS.get(name, name)


def unit_shown(name: str) -> str:
    """A unit as `unit_named` spells it, for people."""
    special = {"c": "°C", "f": "°F", "u/l": "U/L", "mmhg": "mmHg"}
    name = re.sub(r"l$", "L", name).replace("/u", "/µ")
    return special.get(name.lower(), re.sub(r"^u(?=g|mol)", "µ", name))
