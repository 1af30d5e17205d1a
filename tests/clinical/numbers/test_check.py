"""What counts as the same, what does not, and where the marks stand."""

from __future__ import annotations

import time

import pytest

from edgemed.clinical.numbers import Mark, absent, check
from testing.timing import MOST_SECONDS

SAME = [
    ("BP 120/80", "blood pressure 120 over 80 mmHg"),
    ("aspirin 5 mg", "aspirin 5mg"),
    ("aspirin 5 mg", "aspirin 5 milligrams"),
    ("阿司匹林5mg", "阿司匹林5毫克"),
    ("aspirin 5 mg", "阿司匹林 5毫克"),
    ("75 mcg", "75 µg"),
    ("75 mcg", "75 ug"),
    ("75mcg", "75微克"),
    ("1 g", "1000 mg"),
    ("0.5 L", "500 mL"),
    ("0.5 mg", ".5 mg"),
    ("1½ tablets", "1.5 tablets"),
    ("½ tablet", "half a tablet"),
    ("metoprolol 25 mg BD", "metoprolol 25 mg twice daily"),
    ("metoprolol 25 mg bid", "美托洛尔25mg 每日两次"),
    ("q8h", "every 8 hours"),
    ("q8h", "three times a day"),
    ("每8小时一次", "q8h"),
    ("three doses", "3 doses"),
    ("a third of the dose", "1/3 of the dose"),
    ("三分之一", "1/3"),
    ("二十片", "20片"),
    ("a dozen tablets", "12 tablets"),
    ("2-3 days", "2 to 3 days"),
    ("2～3天", "2至3天"),
    ("12,500 units", "12500 units"),
    ("1.5万单位", "15000单位"),
    ("seen on 12/03/2024", "seen on 12 March 2024"),
    ("2024-03-12", "2024年3月12日"),
    ("14:20", "2:20 pm"),
    ("下午2点30分", "14:30"),
    ("x 5/7", "for five days"),
    ("WBC 9.2 x10^9/L", "white cell count 9.2 ×10⁹/L"),
    ("38.5 C", "38.5 °C"),
    ("64M", "a 64-year-old man"),
    ("1小时20分", "80分钟"),
    ("RLL pneumonia", "right lower lobe pneumonia"),
    ("VA OD 6/9", "visual acuity right eye 6/9"),
    ("双下肢水肿", "两侧下肢水肿"),
    ("he left the ward with left knee pain", "left knee pain"),
    ("denies chest pain, dyspnoea and fever", "no chest pain, no SOB, afebrile"),
    ("no chest pain or cough", "chest pain: absent. Cough: nil."),
    ("无发热、咳嗽", "否认发热，没有咳嗽"),
    ("HIV阴性", "HIV(-)"),
    ("无力3天", "乏力3天"),
    ("NKDA", "no known drug allergies"),
    ("symptoms for 10天左右", "about 10天"),
    ("减量：eGFR 45 mL/min/1.73m²", "eGFR 45 mL/min/1.73m² 时减量"),
    ("eGFR 30 mL/min/1.73 m2，停用二甲双胍", "eGFR为30 mL/min/1.73m2时停用二甲双胍"),
    ("BMI 32 kg/m² 时为肥胖", "肥胖，BMI为32 kg/m²"),
    ("eGFR 45", "eGFR 45 mL/min/1.73m²"),
]
DIFFERENT = [
    ("0.5 mg", "5 mg", "number"),
    ("5 mg", "5 mcg", "unit"),
    ("5 mg", "5 g", "unit"),
    ("98.6 °F", "37 °C", "number"),
    ("glucose 5 mmol/L", "glucose 5 mg/dL", "unit"),
    ("3天", "3周", "unit"),
    ("25 mg BD", "25 mg TDS", "number"),
    ("VA 6/9", "VA 6/6", "number"),
    ("left knee pain", "right knee pain", "side"),
    ("左膝疼痛", "右膝疼痛", "side"),
    ("R hip fracture", "left hip fracture", "side"),
    ("left knee pain, right shoulder pain", "right knee pain, left shoulder pain", "side"),
    ("left lung base", "both lung bases", "side"),
    ("no chest pain", "chest pain", "negation"),
    ("chest pain", "no chest pain", "negation"),
    ("无发热", "发热", "negation"),
    ("发热3天", "无发热3天", "negation"),
    ("HIV negative", "HIV positive", "negation"),
    ("双下肢未见水肿", "双下肢水肿", "negation"),
    ("fever", "fever, no rash", "negation"),
    ("metoprolol 50 mg, atorvastatin 20 mg", "metoprolol 20 mg, atorvastatin 50 mg", "number"),
    ("美托洛尔50mg，阿托伐他汀20mg", "美托洛尔20mg，阿托伐他汀50mg", "number"),
    ("HR 88, SpO2 96%", "HR 96, SpO2 96%", "number"),
    ("500 mg/m²", "2 mg", "number"),
    ("AML M2 时", "AML M3 时", "number"),
    ("BSA 1.8 m²，2时", "BSA 1.8 m²，3时", "number"),
]


@pytest.mark.parametrize(("source", "written"), SAME)
def test_the_same_said_otherwise(source: str, written: str) -> None:
    assert not check(source, written).added


def test_an_exponent_is_neither_a_time_nor_a_dropped_number() -> None:
    assert not check("eGFR 45 mL/min/1.73m² 时为基线", "基线eGFR 45 mL/min/1.73m²").dropped
    assert absent(["eGFR 45 mL/min/1.73m² 时"], "体表面积 1.8 m²") == ["1.8 m²"]


@pytest.mark.parametrize(("source", "written", "kind"), DIFFERENT)
def test_a_difference(source: str, written: str, kind: str) -> None:
    assert kind in {mark.kind for mark in check(source, written).added}


def test_marks_stand_where_the_words_stand() -> None:
    written = "Temp ３８．５, ½ tablet, 左膝 and 7 mg"
    for mark in check("nothing", written).added:
        assert written[mark.start : mark.end] == mark.text
    assert [mark.text for mark in check("5 mg", "Take 7 mg").added] == ["7 mg"]


def test_what_is_dropped_is_listed() -> None:
    source = "Aspirin 75 mg, left knee pain, no fever."
    assert check(source, "Aspirin.").dropped == [
        Mark(8, 13, "75 mg", "number"),
        Mark(15, 19, "left", "side"),
        Mark(31, 39, "no fever", "negation"),
    ]


@pytest.mark.parametrize("text", ["1/2/3/4/5", "1-2-3-4-5-6", "grade 1/2/3/4/5/6/7/8/9", "100 mL/min/100 mL/min/" * 9])
def test_a_long_run_of_joined_numbers_is_read(text: str) -> None:
    assert not check(text, text)
    assert check("", text).added


def test_nothing_to_mark() -> None:
    assert not check("", "")
    assert not check("Aspirin 75 mg.", "Aspirin 75 mg.")


@pytest.mark.parametrize(
    ("sources", "answer", "numbers"),
    [
        (["wt 60 kg"], "Give 15 mg/kg, that is 900 mg, to this 60 kg patient.", ["15 mg/kg", "900 mg"]),
        (["K 5.1"], "1. Stop ramipril.\n2. Repeat potassium.\n\n## 3. Later\n", []),
        (["肌酐98"], "1、停药\n2、肌酐98，每日12 mg", ["12 mg"]),
        (["A", "90/60"], "BP 90/60", []),
        ([], "Take 12 tablets, then 12 tablets.", ["12"]),
    ],
)
def test_numbers_that_no_text_has(sources: list[str], answer: str, numbers: list[str]) -> None:
    assert absent(sources, answer) == numbers


HOSTILE = [
    "9" * 500_000,
    "1/" * 250_000,
    "1,000" * 100_000,
    "no " * 160_000,
    "no pain, " * 55_000,
    "left " * 100_000,
    "一" * 500_000,
    "无" * 500_000,
    "a" * 500_000,
    "0.5 mg bd " * 50_000,
    "one hundred and " * 30_000,
    " " * 500_000,
    "½" * 500_000,
    "".join(f"no w{n}x " for n in range(50_000)),
    "".join(f"w{n} {n} mg, " for n in range(40_000)),
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_hostile_text_takes_less_than_a_second(text: str) -> None:
    before = time.process_time()
    check(text, text[1:])
    assert time.process_time() - before < MOST_SECONDS
