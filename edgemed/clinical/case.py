"""The header of a case: what every prompt of the case begins with, and who the patient is, for the screen only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from edgemed.clinical.language import Language

CLINICAL = ("age", "sex", "weight", "allergies", "medicines", "problems", "pregnancy", "egfr")
"""The fields that the model is given, in the order in which it is given them."""
IDENTITY = ("initials", "born", "number")
"""The fields that are shown on the screen only. No prompt holds them."""

_LABELS: dict[Language, dict[str, str]] = {
    "en": {
        "age": "Age",
        "sex": "Sex",
        "weight": "Weight",
        "allergies": "Allergies",
        "medicines": "Medicines",
        "problems": "Problems",
        "pregnancy": "Pregnancy",
        "egfr": "eGFR",
        "initials": "Initials",
        "born": "Born",
        "number": "Number",
    },
    "zh-CN": {
        "age": "年龄",
        "sex": "性别",
        "weight": "体重",
        "allergies": "过敏史",
        "medicines": "用药",
        "problems": "疾病",
        "pregnancy": "妊娠",
        "egfr": "eGFR",
        "initials": "姓名缩写",
        "born": "出生日期",
        "number": "病历号",
    },
}
_UNITS: dict[Language, dict[str, str]] = {
    "en": {"age": " years", "weight": " kg", "egfr": " mL/min/1.73 m²"},
    "zh-CN": {"age": "岁", "weight": " kg", "egfr": " mL/min/1.73 m²"},
}
_PATIENT: dict[Language, str] = {"en": "The patient:", "zh-CN": "患者："}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def label(name: str, language: Language) -> str:
    """A field's name for people."""
    return _LABELS[language][name]


def field_named(word: str) -> str | None:
    """The field that `word` names, in either language and in any case; None if there is none."""
    wanted = word.strip().casefold()
    for names in _LABELS.values():
        for name, shown in names.items():
            if wanted in (name, shown.casefold()):
                return name
    return None


@dataclass(frozen=True, slots=True)
class CaseHeader:
    """Every field is one line of text as it was typed; empty if nothing is known.

    An age, a weight or an eGFR without a unit is in years, kg or mL/min/1.73 m².
    """

    age: str = ""
    sex: str = ""
    weight: str = ""
    allergies: str = ""
    medicines: str = ""
    problems: str = ""
    pregnancy: str = ""
    egfr: str = ""
    initials: str = ""
    born: str = ""
    number: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """The header with these values, each made one line."""
        return cls(**{name: " ".join(values.get(name, "").split()) for name in (*CLINICAL, *IDENTITY)})

    @classmethod
    def load(cls, stored: str) -> Self:
        """What `dump` returned. Any other text is shown on the screen (`initials`) and never reaches a prompt."""
        try:
            values = json.loads(stored) if stored.strip() else {}
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            return cls.of({"initials": stored})
        return cls.of({name: value for name, value in values.items() if isinstance(value, str)})

    def dump(self) -> str:
        """The header as JSON; empty if the header is."""
        values = {name: value for name, value in self.values.items() if value}
        return json.dumps(values, ensure_ascii=False) if values else ""

    @property
    def values(self) -> dict[str, str]:
        """Field name -> value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def changes(self, other: CaseHeader) -> list[str]:
        """The names of the fields in which `other` differs."""
        return [name for name, value in self.values.items() if value != getattr(other, name)]

    @property
    def searchable(self) -> str:
        """The values, one a line."""
        return "\n".join(filter(None, self.values.values()))

    def given(self, name: str, language: Language) -> str:
        """A value with its unit, if it was typed without one."""
        value = str(getattr(self, name))
        return value + _UNITS[language].get(name, "") if _NUMBER.fullmatch(value) else value

    def short(self, language: Language) -> str:
        """Initials, age and sex, as they stand in the header line and above the box."""
        return ", ".join(filter(None, (self.initials, self.given("age", language), self.sex)))

    def prompt(self, language: Language) -> str:
        """What the model is told: one line for each clinical field that is known; empty if there is none."""
        lines = [f"{label(name, language)}: {self.given(name, language)}" for name in CLINICAL if getattr(self, name)]
        return "\n".join([_PATIENT[language], *lines]) if lines else ""
