"""What the wrong-patient guard reads in a text, and when it asks."""

from __future__ import annotations

import time

import pytest

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.mentioned import mentioned
from edgemed.clinical.wrong_patient import mismatches
from testing.timing import MOST_SECONDS

CASE = CaseHeader(initials="JS", born="3/4/1972", number="123456", age="54", sex="M")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Name: John Smith\nDOB: 03/04/1950", "name", "john smith"),
        ("Mrs Jones, 72, fell at home", "age", "72.000"),
        ("Mrs Jones, 72, fell at home", "sex", "F"),
        ("MRN 00-12 345", "number", "0012345"),
        ("姓名：李四 性别：女 年龄：60岁 住院号：20231234", "name", "李四"),
        ("姓名：李四 性别：女 年龄：60岁 住院号：20231234", "number", "20231234"),
        ("患者张三，男，45岁，胸痛2小时。", "sex", "M"),
        ("女，8个月，发热", "age", "0.667"),
        ("A 6-week-old boy with vomiting", "sex", "M"),
        ("出生日期：1950年4月3日", "born", "1950-04-03"),
    ],
)
def test_reads_who_a_text_is_about(text: str, kind: str, value: str) -> None:
    assert value in [item.value for item in mentioned(text) if item.kind == kind]


@pytest.mark.parametrize(
    "text",
    [
        "His mother, 72, has dementia.",
        "What about a 70-year-old woman with the same potassium?",
        "Her 3-year-old son has chickenpox.",
        "Mr Patel (surgeon) reviewed: continue antibiotics.",
        "Seen by: Name: Dr A. Jones, registrar, bleep 1234",
        "Diabetes since age 12. K 6.2, Na 132.",
        "其母，72岁，患糖尿病。",
        "联系人姓名：王五",
    ],
)
def test_relatives_colleagues_and_hypothetical_patients_are_nobody(text: str) -> None:
    assert mentioned(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "72F fell at home, on warfarin.",
        "Name: Mary Brown. Back pain.",
        "MRN: 654321, K 6.2",
        "DOB 12/05/1961. Cough.",
        "Next patient: cough and fever.",
        "患者女，72岁，跌倒。",
        "下一位患者，发热。",
    ],
)
def test_asks_for_another_patient(text: str) -> None:
    assert mismatches(CASE, [], text)


@pytest.mark.parametrize(
    "text",
    [
        "54M, now short of breath.",
        "Smith, John, 55-year-old man. Repeat potassium 5.1.",
        "DOB 04/03/1972. MRN: 123456",
        "Name: J Smith, MRN 123-456",
        "His wife (50F) says that he has been confused.",
        "K 5.9, creatinine 180. What now?",
        "",
    ],
)
def test_does_not_ask_for_the_same_patient(text: str) -> None:
    assert mismatches(CASE, [], text) == []


def test_a_header_in_chinese_is_read() -> None:
    header = CaseHeader(initials="张三", age="8个月", sex="女")
    assert mismatches(header, [], "8-month-old boy with fever")
    assert mismatches(header, [], "女，8岁，发热")
    assert not mismatches(header, [], "患儿女，8月龄，发热。张三母亲，30岁，陪护。")


def test_compares_with_earlier_texts_and_within_a_text() -> None:
    assert mismatches(CaseHeader(), ["45M chest pain"], "72F fall")
    assert not mismatches(CaseHeader(), ["45M chest pain", "72F fall"], "72F fall, what else?")
    assert mismatches(CaseHeader(), [], "Bed 4: 72M pneumonia\nBed 5: 35F asthma")
    assert not mismatches(CaseHeader(), [], "72M pneumonia\nMother: 95F, alive and well")


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["Name: ", "MRN ", "1-", "54 y ", "Mr A", "DOB 1/", "患者", "male, ", " \t\n", "a" * 50]
)
def test_hostile_text_takes_less_than_a_second(part: str) -> None:
    text = part * (500_000 // len(part))
    began = time.process_time()
    mismatches(CASE, [], text)
    assert time.process_time() - began < MOST_SECONDS
