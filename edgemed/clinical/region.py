"""Where the user practises: units, drug names and the language of answers, as the model is told in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from edgemed.clinical.language import Language

T = TypeVar("T")
Units = Literal["mmol/L", "mg/dL"]
DrugNames = Literal["paracetamol", "acetaminophen"]
"""The names of the INN, or those of the United States; each named by its best known difference."""

UNITS: tuple[Units, ...] = get_args(Units)
DRUG_NAMES: tuple[DrugNames, ...] = get_args(DrugNames)
ANSWERS_IN: tuple[Language, ...] = get_args(Language)

_UNITS: dict[Language, dict[Units, str]] = {
    "en": {
        "mmol/L": "glucose, cholesterol and urea in mmol/L, creatinine in µmol/L",
        "mg/dL": "glucose, cholesterol, urea nitrogen and creatinine in mg/dL",
    },
    "zh-CN": {
        "mmol/L": "血糖、胆固醇、尿素用 mmol/L，肌酐用 µmol/L",
        "mg/dL": "血糖、胆固醇、尿素氮、肌酐用 mg/dL",
    },
}
_DRUG_NAMES: dict[Language, dict[DrugNames, str]] = {
    "en": {
        "paracetamol": "international drug names (paracetamol, adrenaline, salbutamol)",
        "acetaminophen": "US drug names (acetaminophen, epinephrine, albuterol)",
    },
    "zh-CN": {
        "paracetamol": "药名用国际通用名（paracetamol、adrenaline、salbutamol）",
        "acetaminophen": "药名用美国通用名（acetaminophen、epinephrine、albuterol）",
    },
}
_ANSWERS_IN: dict[Language, dict[Language, str]] = {
    "en": {"en": "answer in English", "zh-CN": "answer in Chinese (简体中文)"},
    "zh-CN": {"en": "用英文回答", "zh-CN": "用简体中文回答"},
}


@dataclass(frozen=True, slots=True)
class Region:
    """None: the model is not told. `language` is the interface's: the one in which the model is told."""

    units: Units | None = None
    drug_names: DrugNames | None = None
    answers_in: Language | None = None
    language: Language = "en"

    def prompt(self) -> str:
        """One line for the model; empty if nothing is set."""
        parts = [
            _UNITS[self.language][self.units] if self.units else "",
            _DRUG_NAMES[self.language][self.drug_names] if self.drug_names else "",
            _ANSWERS_IN[self.language][self.answers_in] if self.answers_in else "",
        ]
        told = ("; " if self.language == "en" else "；").join(filter(None, parts))
        if not told:
            return ""
        return f"Conventions here: {told}." if self.language == "en" else f"请遵循：{told}。"

    def shown(self) -> str:
        """The choices for people; empty if nothing is set."""
        languages = {"en": "English", "zh-CN": "中文"}
        chosen = (self.units, self.drug_names, languages[self.answers_in] if self.answers_in else None)
        return " · ".join(filter(None, chosen))


def following(choices: Sequence[T], now: T | None) -> T | None:
    """The choice after `now`, in turn; None, which tells the model nothing, comes after the last."""
    cycle = [None, *choices]
    return cycle[(cycle.index(now) + 1) % len(cycle)]
