"""The English phrase rules, on texts of our own, and the kinds of text that raise no flag."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from edgemed.clinical.flags import phrases, rules
from edgemed.clinical.flags.flag import Flag, Text

HERE = Path(__file__).parent
OWN = tomllib.loads((HERE / "texts.en.toml").read_text(encoding="utf-8"))
CONDITIONS = [
    each["id"] for each in json.loads((HERE.parents[1] / "data/clinical/conditions.json").read_text(encoding="utf-8"))
]

RULES = tomllib.loads(dict(rules.files("phrases."))["phrases.en.toml"])["rule"]
CONDITION = {rule["id"]: rule["condition"] for rule in RULES}


def conditions(*texts: str | Text) -> set[str]:
    flags = phrases.found([text if isinstance(text, Text) else Text(text) for text in texts])
    return {CONDITION[flag.rule] for flag in flags if flag.rule in CONDITION}


def flag_of(rule: str, *texts: Text) -> Flag | None:
    return next((flag for flag in phrases.found(texts) if flag.rule == rule), None)


def test_every_condition_has_an_english_rule_whose_source_was_read() -> None:
    assert set(CONDITION.values()) == set(CONDITIONS)
    assert all(rules.enabled(rule.get("source", rule["condition"])) for rule in RULES)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_texts_of_a_condition_raise_its_flag(condition: str) -> None:
    assert len(OWN[condition]) >= 4
    assert [text for text in OWN[condition] if condition not in conditions(text)] == []


@pytest.mark.slow
def test_quiet_texts_raise_no_flag() -> None:
    assert len(OWN["quiet"]) > 150
    assert [(text, found) for text in OWN["quiet"] if (found := conditions(text))] == []


SIGN = "crushing chest pain with sweating"


@pytest.mark.parametrize(
    "silent",
    [
        f"No {SIGN}.",
        f"Denies {SIGN}.",
        f"Came without {SIGN}.",
        f"He never had {SIGN}.",
        "No chest pain, breathlessness, sweating or nausea.",
        f"History of {SIGN}.",
        f"{SIGN} 5 years ago.",
        f"{SIGN} in 2015.",
        f"{SIGN} last year.",
        f"His father had {SIGN}.",
        f"Family history: {SIGN}.",
        f"{SIGN} last night: troponin negative, discharged.",
        f"{SIGN}, MI was ruled out.",
        f"A man has {SIGN}. Which of the following comes next?",
        f"Exam question: a man has {SIGN}. What comes next?",
        f"For teaching: {SIGN}, what would you ask?",
        f"Call for help if there is {SIGN}.",
        f"The policy says {SIGN} needs an ECG within ten minutes.",
        f"Return if you develop {SIGN}.",
        f"Safety net: {SIGN}.",
        f"My neighbour had {SIGN}.",
        f"What are the symptoms of {SIGN}?",
        f"Can anxiety cause {SIGN}?",
        f"In patients with {SIGN}, is aspirin first?",
    ],
)
def test_each_kind_of_silence(silent: str) -> None:
    assert conditions(silent) == set()
    assert "acs" in conditions(SIGN)


@pytest.mark.parametrize(
    "heard",
    [
        f"not only nausea, also {SIGN}",
        f"{SIGN}, no relief from GTN",
        f"{SIGN}, no improvement",
        f"{SIGN}: can't rule out MI",
        f"No fever. {SIGN}",
        f"no fever, {SIGN}",
        f"denies fever but has {SIGN}",
        f"2 hour history of {SIGN}",
        f"usually well, {SIGN}",
        f"{SIGN}, what do I do?",
        f"My wife has {SIGN} now",
    ],
)
def test_words_that_are_no_silence(heard: str) -> None:
    assert "acs" in conditions(heard)


def test_part_of_the_evidence_must_stand_in_the_question() -> None:
    old, new = Text("on lithium", "header"), Text("coarse tremor and diarrhoea today")
    assert flag_of("LITHIUM-1", old, new) is not None
    assert flag_of("LITHIUM-1", Text("on lithium, coarse tremor", "earlier"), Text("thanks")) is None


def test_an_old_diagnosis_is_the_ground_of_a_new_event() -> None:
    assert "adrenal_crisis" in conditions("PMH: Addison's disease. Vomiting since last night, BP 80/50.")
    assert "pe" in conditions("Previous DVT. Now breathless.")


def test_evidence_is_the_words_of_the_text_and_short() -> None:
    flag = flag_of("ACS-1", Text("Pt has CHEST tightness and is Diaphoretic"))
    assert flag is not None
    assert flag.evidence == ("CHEST tightness", "Diaphoretic")
    assert flag.source == "AHA/ACC chest pain guideline, 2021"
    assert flag.group == "phrases"
    for condition in CONDITIONS:
        for each in phrases.found([Text(OWN[condition][0])]):
            assert 0 < sum(map(len, each.evidence)) <= 80


def test_typing_errors_of_long_words_are_read() -> None:
    assert "carbon_monoxide" in conditions("carbon monoixde alarm, dizzy and drowsy")
    assert "anaphylaxis" in conditions("suspected anaphylxis after peanuts")


def test_an_emergency_in_the_middle_of_other_matters() -> None:
    other = "She would like her repeat prescription and asks about the flu jab. Her blood tests were fine.\n"
    assert "acs" in conditions(other * 20 + SIGN + "\n" + other * 20)
