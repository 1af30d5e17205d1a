"""Where the user practises, as the model is told."""

from __future__ import annotations

from edgemed.clinical.region import ANSWERS_IN, DRUG_NAMES, UNITS, Region


def test_the_model_is_told_in_one_line_and_only_what_is_set() -> None:
    assert Region().prompt() == Region(language="zh-CN").prompt() == ""
    told = Region("mg/dL", "acetaminophen", "en").prompt()
    assert told == (
        "Conventions here: glucose, cholesterol, urea nitrogen and creatinine in mg/dL; "
        "US drug names (acetaminophen, epinephrine, albuterol); answer in English."
    )
    assert Region(drug_names="paracetamol", language="zh-CN").prompt() == (
        "请遵循：药名用国际通用名（paracetamol、adrenaline、salbutamol）。"
    )


def test_every_choice_is_told_in_one_line_of_both_languages() -> None:
    for language in ANSWERS_IN:
        lines = {Region(units=each, language=language).prompt() for each in UNITS}
        lines |= {Region(drug_names=each, language=language).prompt() for each in DRUG_NAMES}
        lines |= {Region(answers_in=each, language=language).prompt() for each in ANSWERS_IN}
        assert len(lines) == 6
        assert not any("\n" in line for line in lines)
