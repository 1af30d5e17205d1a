"""Which facts a dose or drug question leaves out."""

from __future__ import annotations

import time

import pytest

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.missing import ORDER, not_given
from testing.timing import MOST_SECONDS

ALL = list(ORDER)
FULL = CaseHeader(age="60", sex="M", weight="80", allergies="none known", egfr="70")


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("What dose of gentamicin?", ALL),
        ("Can I prescribe Keppra?", ALL),
        ("阿莫西林剂量是多少？", ALL),
        ("依诺肝素她用多少？", ALL),
        ("阿莫西林一天吃几次", ALL),
        ("amoxicillin dose for a 4 year old, wt 16 kg, NKDA", ["egfr"]),
        ("Can I give ibuprofen to a 70-year-old woman, eGFR 45, not allergic to anything?", []),
        ("Can I give ibuprofen to a 70-year-old woman?", ["egfr", "allergies"]),
        ("ibuprofen dose for a 70-year-old man, creatinine clearance 60", ["weight", "allergies"]),
        ("Is sertraline safe in pregnancy? 29F, allergic to penicillin, on dialysis", []),
        ("孕20周，头孢能不能用？无药物过敏史", ["weight", "egfr", "age"]),
        ("45岁女性，绝经，体重60公斤，肾功能正常，布洛芬怎么用", ["allergies"]),
        ("5岁男孩布洛芬用量", ["weight", "egfr", "allergies"]),
        ("45岁男性，阿奇霉素怎么用", ["egfr", "allergies"]),
        ("避孕药和利福平相互作用，30岁", ["egfr", "allergies", "pregnancy"]),
        ("hydrocortisone cream: how much should I use?", ["allergies", "age"]),
        ("tretinoin cream, can she use it? 25F", ["allergies", "pregnancy"]),
        ("0.9% saline bolus dose in a 5-year-old", ["weight"]),
        ("Titrate ramipril in a postmenopausal woman aged 58, wt 70 kg, eGFR 66, allergies: nil", []),
    ],
)
def test_a_dose_or_drug_question(question: str, missing: list[str]) -> None:
    assert not_given(question, CaseHeader(), []) == missing


@pytest.mark.parametrize(
    "question",
    [
        "",
        "What causes chest pain?",
        "Explain heart failure to a patient.",
        "Which emollient, and what dose, for eczema?",
        "artificial tears dose",
        "saline nose drops for a baby",
        "sunscreen: how much to use?",
        "凡士林怎么用",
        "她一天吃几顿饭",
        "人工泪液的用量",
        "What is the mechanism of metformin at this dose?",
        "Which of the following drugs needs dose adjustment in renal failure?",
        "下列关于地高辛剂量的说法正确的是",
        "Is MRI safe in pregnancy?",
    ],
)
def test_nothing_to_ask_for(question: str) -> None:
    assert not_given(question, CaseHeader(), []) == []


def test_the_header_and_earlier_questions_count() -> None:
    assert not_given("What dose of gentamicin?", FULL, []) == []
    earlier = ["68-year-old man, weight 74 kg, eGFR 52.", "He has no allergies."]
    assert not_given("What dose of gentamicin?", CaseHeader(), earlier) == []
    assert not_given("What dose of gentamicin?", CaseHeader(age="68", sex="男"), []) == ["weight", "egfr", "allergies"]


@pytest.mark.parametrize(
    ("age", "asked"), [("9", False), ("10", True), ("55", True), ("56", False), ("6 months", False)]
)
def test_pregnancy_is_asked_between_10_and_55(age: str, asked: bool) -> None:
    assert ("pregnancy" in not_given("dose of doxycycline", CaseHeader(age=age, sex="F"), [])) is asked


def test_a_child_needs_a_weight_and_an_adult_only_for_a_dose() -> None:
    question = "Can I give cetirizine with loratadine?"
    assert "weight" in not_given(question, CaseHeader(age="7"), [])
    assert "weight" not in not_given(question, CaseHeader(age="40"), [])
    assert "weight" in not_given("Can I give enoxaparin?", CaseHeader(age="40"), [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dose of digoxin; she lost 5 kg", "weight"),
        ("dose of digoxin 5 mg/kg", "weight"),
        ("digoxin dose in allergic rhinitis", "allergies"),
        ("地高辛剂量，过敏性鼻炎", "allergies"),
        ("digoxin dose, creatinine 98", "egfr"),
    ],
)
def test_what_does_not_count_as_given(text: str, name: str) -> None:
    assert name in not_given(text, CaseHeader(), [])


@pytest.mark.slow
@pytest.mark.parametrize("text", ["can i ", "how much ", "剂量", "wt ", "egfr ", "1", "is x ", "a"])
def test_hostile_text_takes_less_than_a_second(text: str) -> None:
    hostile = text * (500_000 // len(text))
    before = time.process_time()
    not_given(hostile, CaseHeader(), [hostile])
    assert time.process_time() - before < MOST_SECONDS
