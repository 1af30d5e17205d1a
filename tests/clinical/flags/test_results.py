"""Values in free text: which are read, and which are not this patient's current result."""

from __future__ import annotations

import time

import pytest

from edgemed.clinical.flags import results
from edgemed.clinical.flags.analytes import ANALYTES, NAME, named, unit_named
from testing.timing import MOST_SECONDS


def read(text: str) -> list[tuple[str, float, str | None]]:
    return [(result.analyte, result.value, result.unit) for result in results.read(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("K 6.8", ("k", 6.8, None)),
        ("K+ 6.8 mmol/L", ("k", 6.8, "mmol/l")),
        ("K⁺7.1mmol/L", ("k", 7.1, "mmol/l")),
        ("potassium of 6.8", ("k", 6.8, None)),
        ("His potassium came back as 6.8 mEq/L.", ("k", 6.8, "mmol/l")),
        ("Potassium (mmol/L): 6.8", ("k", 6.8, "mmol/l")),
        ("K 6,8 mmol/l", ("k", 6.8, "mmol/l")),
        ("K 6.8 mmol", ("k", 6.8, "mmol/l")),
        ("hyperkalaemia of 6.9", ("k", 6.9, None)),
        ("血钾6.8", ("k", 6.8, None)),
        ("钾 6.8mmol/L", ("k", 6.8, "mmol/l")),
        ("血钾６．８ｍｍｏｌ／Ｌ", ("k", 6.8, "mmol/l")),
        ("高钾血症（7.1mmol/L）", ("k", 7.1, "mmol/l")),
        ("血糖低至1.8毫摩尔/升", ("glu", 1.8, "mmol/l")),
        ("Potassium\t6.8\tmmol/L\t3.5-5.3\tH", ("k", 6.8, "mmol/l")),
        ("Potassium\t3.5-5.3\t6.8\tH", ("k", 6.8, None)),
        ("Potassium (3.5-5.3) 6.8", ("k", 6.8, None)),
        ("Potassium 6.8 H mmol/L", ("k", 6.8, "mmol/l")),
        ("platelets 8,000/µL", ("plt", 8000, "/ul")),
        ("platelets 8 x10^9/L", ("plt", 8, "10^9/l")),
        ("血小板 8×10⁹/L", ("plt", 8, "10^9/l")),
        ("Hb 6.2 g/dL (was 12.1 last month)", ("hb", 6.2, "g/dl")),
        ("lithium level 2.1", ("li", 2.1, None)),
        ("lithium 2.4 mmol/L", ("li", 2.4, "mmol/l")),
        ("血锂浓度2.4mmol/L", ("li", 2.4, "mmol/l")),
        ("temp 95 F", ("temp", 35.0, "c")),
        ("体温34℃", ("temp", 34, "c")),
        ("INR is 9.8 on warfarin", ("inr", 9.8, None)),
        ("SpO₂ 84%", ("spo2", 84, "%")),
        ("心率160次/分", ("hr", 160, "/min")),
        ("heart rate of 165 bpm", ("hr", 165, "/min")),
        ("mother reports glucose 2.1 at home", ("glu", 2.1, None)),
        ("Brought in by his wife, K 6.8", ("k", 6.8, None)),
        ("Na 118 (target 125)", ("na", 118, None)),
        ("Is K 6.8 dangerous?", ("k", 6.8, None)),
        ("Potassium........7.2", ("k", 7.2, None)),
        ("paracetamol level at 4h 210 mg/L", ("para", 210, "mg/l")),
    ],
)
def test_a_result_is_read(text: str, expected: tuple[str, float, str | None]) -> None:
    assert read(text) == [expected]


def test_several_results_stand_in_the_order_of_the_text() -> None:
    text = "Na 118, K 6.8, urea 31, Cr 612. BP 85/50mmHg HR 131 RR 26 sats 90% T 38.9"
    keys = [analyte for analyte, _, _ in read(text)]
    assert keys == ["na", "k", "urea", "crea", "sbp", "dbp", "hr", "rr", "spo2", "temp"]
    assert [value for _, value, _ in read("pH7.05血糖33血酮5.2")] == [7.05, 33, 5.2]


@pytest.mark.parametrize(
    "text",
    [
        # doses, fluids, and what only looks alike
        "vitamin K 10 mg",
        "vitamin K2 100",
        "K 10 mmol infusion",
        "potassium 40 mmol in 1 L over 8 hours",
        "NaCl 0.9%",
        "sodium bicarbonate 50 mmol",
        "sodium chloride 0.9% 500 ml",
        "glucose 10% 250 ml",
        "ramipril 5 mg 2 tablets",
        "calcium gluconate 10 ml",
        "digoxin 125 micrograms",
        "digoxin 0.125 mg",
        "lithium 400 mg nocte",
        "phenytoin 300 mg",
        "补钾2g",
        "氯化钾1.5g",
        "维生素K 10mg",
        "葡萄糖注射液250ml",
        # other specimens
        "CSF glucose 1.6",
        "urinary sodium 20",
        "尿钾6.8",
        # dates, ages, telephone and case numbers
        "K 12/3/2024",
        "K at 10:30",
        "phone 020 7946 0018",
        "MRN 118200 Na",
        "CA 19-9 40",
        "CA 125 of 600",
        "recheck K in 6 hours",
        "HR 3 days",
        # thresholds, targets, ranges
        "Na 140 target",
        "target INR 2.5",
        "aim K 4.5",
        "keep SpO2 88%",
        "titrate to SBP 90",
        "if K > 6.5 give calcium",
        "Treat when glucose < 3",
        "when the potassium is 6.8",
        "What does NICE recommend for potassium above 6.5?",
        "Is a K of 6.5 the threshold for dialysis?",
        "K 6.5 or more",
        "patients with K 6.8",
        "call me if HR >130 or SBP <90",
        "ref K 3.5-5.3",
        "K 3.5-5.3",
        "e.g. K 6.8",
        "血钾>6.5mmol/L时应透析",
        "如果血钾6.8",
        "血钾目标4.0",
        "血糖控制在4.4",
        "危急值标准血钾6.5",
        "血钾6.5以上",
        # the past
        "last year K was 6.8",
        "Last year, K was 6.8",
        "K 6.8 in 2019",
        "K was 6.8 two months ago",
        "PMH: hyperkalaemia 2019 (K 7.1)",
        "baseline creatinine 600",
        "CRP 320 was last month",
        "去年血钾6.8",
        "上次住院血钾6.9",
        "K 6.8 last night, now normal",
        "never had a potassium of 6.8",
        # somebody else
        "his mother's K 6.8",
        "His father had a potassium of 7.1",
        "父亲血钾6.9",
        "another patient had K 6.8",
        # examinations
        "A man has K 6.8. Which of the following is the best next step?",
        "Exam question: K 6.8",
        "患者血钾6.8，下列哪项正确",
    ],
)
def test_what_is_no_current_result_is_left_out(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("K 6.8 -> 4.9", 4.9),
        ("K 6.8 → 5.9 → 4.9", 4.9),
        ("K 4.9 -> 6.8", 6.8),
        ("potassium fell from 6.8 to 4.5", 4.5),
        ("血钾由6.8降至4.5", 4.5),
        ("血钾7.1，给予葡萄糖酸钙后复查4.9", 4.9),
        ("昨日血钾6.9，今日4.6", 4.6),
        ("Na 118 (yesterday 131)", 118),
        ("Na 131 yesterday, 118 today", 118),
        ("K 6.8 yesterday, 4.9 today", 4.9),
        ("Potassium was 7.0 but after treatment is now 4.8", 4.8),
        ("His K was 6.8 but it's 4.1 now", 4.1),
        ("K 6.8. Repeat K 4.2", 4.2),
        ("K was 6.8 on Monday, 4.5 on Wednesday", 4.5),
        ("Monday K 6.8; Wednesday K 4.5", 4.5),
        ("2024-01-02 K 6.8; 2024-01-05 K 4.1", 4.1),
        ("2024-01-05 K 6.8; 2024-01-02 K 4.1", 6.8),
        ("Yesterday K 6.8", 6.8),
        ("Blood glucose is 2.2 this morning, was 9 yesterday", 2.2),
        ("creatinine has gone from 90 to 720 in two days", 720),
        ("K 6.8, due to 3 missed sessions", 6.8),
        ("血钾7.1mmol/L，昨日5.2", 7.1),
    ],
)
def test_the_newest_of_several_values_is_kept(text: str, value: float) -> None:
    assert [result.value for result in results.read(text)] == [value]


def test_without_a_word_of_time_both_values_are_kept() -> None:
    assert [result.value for result in results.read("VBG K 6.8. Lab K 4.2.")] == [6.8, 4.2]


def test_shown_is_the_text_itself() -> None:
    text = "今日查血钾６．８ｍｍｏｌ/L，余正常"
    assert [result.shown for result in results.read(text)] == ["血钾６．８ｍｍｏｌ/L"]
    for result in results.read("Na 118, then K+ 6.8 mmol/L"):
        assert "Na 118, then K+ 6.8 mmol/L"[result.start : result.end] == result.shown


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("hs-cTnT 152 ng/L (<14)", 14),
        ("troponin I 1.2 ng/mL (ref 0-0.04)", 0.04),
        ("troponin 890 ng/L, ULN 14", 14),
        ("troponin 890 (cut-off 14)", 14),
        ("Troponin T\t152\tng/L\t0-14\tH", 14),
        ("肌钙蛋白T 152 ng/L（参考值<14）", 14),
        ("troponin 890 ng/L", None),
    ],
)
def test_the_range_printed_beside_a_value(text: str, upper: float | None) -> None:
    assert [result.upper for result in results.read(text)] == [upper]


def test_a_comparator_stays_with_its_value() -> None:
    assert [(r.value, r.comparator) for r in results.read("INR >10, platelets <5")] == [(10, ">"), (5, "<")]
    assert [(r.value, r.comparator) for r in results.read("glucose is below 3")] == [(3, "<")]


def test_every_name_is_its_own_analyte() -> None:
    for analyte in ANALYTES:
        for text in ("potassium 1", "血钾1", "bun 1", "blood urea nitrogen 1", "尿素氮1", "ionised calcium 1"):
            match = NAME.search(text)
            assert match is not None
            assert named(match).key in {"k", "bun", "ica"}
        assert analyte.units


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("meq per litre", "mmol/l"),
        ("μmol/l", "umol/l"),
        ("mcg/l", "ug/l"),
        ("x10^9/l", "10^9/l"),
        ("×10*9/l", "10^9/l"),
        ("℃", "c"),
    ],
)
def test_units_have_one_spelling(written: str, unit: str) -> None:
    assert unit_named(written) == unit


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        "K 6.8 " * 83_000,
        "K 6.8 -> " * 55_000,
        "a" * 500_000,
        "1" * 500_000,
        " " * 500_000,
        "K " * 250_000,
        "血钾" * 250_000,
        "K((((((((((" * 45_000,
        "K\t\t\t\t\t\t\t\t\t\t" * 45_000,
        "if " * 160_000 + "K 6.8",
        "mother K 6.8 " * 38_000,
        "9,999" * 100_000,
        "K 6.8 yesterday, " * 29_000,
        "on Monday K 6.8; " * 29_000,
        "potassium (3.5-5.3) " * 25_000,
        "BP 90/50 now 80/40 " * 26_000,
    ],
    ids=lambda body: body[:12],
)
def test_hostile_texts_take_less_than_a_second(body: str) -> None:
    started = time.process_time()
    results.read(body)
    assert time.process_time() - started < MOST_SECONDS


def test_both_ends_of_a_long_text_are_read() -> None:
    text = "K 6.8. " + "filler " * 60_000 + "Na 118."
    assert [result.analyte for result in results.read(text)] == ["k", "na"]
