"""What the redaction rules find, what they leave alone, and that a redacted text is otherwise the same text.

The figures of docs/clinical.md are not from here, but from texts of other writers (`benchmarks/redaction.py`).
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction import LABELS, Identifier, find, labels, replaced
from edgemed.clinical.redaction.known_names import fits
from edgemed.clinical.redaction.numbers import id_card, nhs_number
from testing.timing import MOST_SECONDS
from tests.clinical.redaction.marked import cases, unmarked

NOBODY = CaseHeader()


def found(text: str, header: CaseHeader = NOBODY) -> list[str]:
    return [text[each.start : each.end] for each in find(text, header)]


@pytest.mark.parametrize("case", [*cases("marked.en"), *cases("marked.zh-CN")])
def test_finds_what_is_marked_and_nothing_else(case: str) -> None:
    text, spans = unmarked(case)
    assert found(text) == [text[start:end] for start, end in spans]


@pytest.mark.parametrize("line", [*cases("nothing.en"), *cases("nothing.zh-CN")])
def test_leaves_clinical_text_alone(line: str) -> None:
    assert found(line) == []


# --- known values ---

HEADERS = (
    CaseHeader(initials="JQS", born="1972-04-03", number="QX998877"),
    CaseHeader(initials="T.W.", born="21 Sept 1958", number="MRN 00451287, NHS 943 476 5919"),
    CaseHeader(initials="ZXM", born="1990年12月25日", number="住院号 20-31174"),
)
FORMS = (
    (
        "JQS", "J.Q.S.", "J. Q. S.", "J Q S", "QX998877", "qx 998877", "QX-99-88-77", "QX 99 88 77", "Qx.998.877",
        "1972-04-03",
        "1972/4/3", "1972.04.03", "03/04/1972", "3/4/72", "03-04-1972", "3.4.72", "04/03/1972", "03 04 1972",
        "19720403",
        "03041972", "030472", "3 April 1972", "3rd April 1972", "3rd of April, 1972", "03-Apr-1972", "03APR1972",
        "April 3, 1972",
        "Apr 3rd 72", "3 Apr '72", "1972 April 3", "1972年4月3日", "1972年04月03日", "72年4月3日",
        "一九七二年四月三日", "1972 年 4 月 3 号",
        "１９７２年４月３日", "ＱＸ９９８８７７", "03\u201104\u20111972",
    ),
    (
        "TW", "T.W.", "00451287", "0045 1287", "451287", "943 476 5919", "9434765919", "943-476-5919", "21/9/58",
        "21.09.1958",
        "September 21st, 1958", "21 SEP 1958", "1958-9-21", "1958年9月21日", "一九五八年九月二十一日",
        "21st of September 1958",
    ),
    (
        "ZXM", "Z.X.M", "2031174", "20-31174", "20 31174", "1990-12-25", "25/12/1990", "25 December 1990",
        "Dec. 25, 1990", "901225",
        "1990年12月25号", "一九九〇年十二月二十五日", "一九九零年十二月二十五日", "19901225",
    ),
)  # fmt: skip
AROUND = (
    "{}",
    "Known: {}, stable.",
    "He ({}) has pain",
    "seen today.\n{}\nPlan: rest",
    "患者{}，病情稳定",
    "born {}; K 6.2 mmol/L",
)


@pytest.mark.parametrize(("header", "forms"), zip(HEADERS, FORMS, strict=True))
def test_finds_what_the_header_has_in_every_form(header: CaseHeader, forms: tuple[str, ...]) -> None:
    missed = []
    for form in forms:
        for around in AROUND:
            text = around.format(form)
            covered = {place for each in find(text, header) if each.known for place in range(each.start, each.end)}
            start = text.index(form)
            if any(text[place].isalnum() and place not in covered for place in range(start, start + len(form))):
                missed.append(text)
    assert missed == []


def test_known_values_need_no_space_before_them() -> None:
    for text in (
        "NHS9434765919",
        "D.O.B.21.09.1958",
        "MRN00451287",
        "No.0451287",
        "DOB:21Sep1958",
        "住院号00451287，生于1958-09-21",
    ):
        assert any(each.known for each in find(text, HEADERS[1])), text
    assert all(each.known for each in find("NHS9434765919 D.O.B.21.09.1958", HEADERS[1]))


def test_the_header_makes_nothing_else_known() -> None:
    text = "K. Smith, QX998878, 1972-04-04, 1972-03-05, JQ, JQST, 199720403, 97204031, aQX9988770, 4 March 1972"
    assert not [each for each in find(text, HEADERS[0]) if each.known]


def test_initials_that_are_an_abbreviation_need_a_person_beside_them() -> None:
    header = CaseHeader(initials="MS")
    assert found("MS relapse; Mr MS fell; patient MS, pt. MS; M.S. is well", header) == ["MS", "MS", "MS", "M.S."]
    assert found("MI, PE and MS were ruled out", header) == []
    assert found("MS relapse, known MS since 2019, MS (RRMS), the MS clinic, ?MS", header) == []
    for text in (
        "MS, 54F, fell",
        "seen with 3 others: (MS)",
        "MS reports pain",
        "Re: MS",
        "MS",
        "MS is a 54-year-old",
        "患者：MS，女",
    ):
        assert found(text, header) == ["MS"], text


def test_a_name_in_the_header_and_a_name_that_fits_the_initials_are_known() -> None:
    def known(text: str, initials: str) -> list[str]:
        return [text[each.start : each.end] for each in find(text, CaseHeader(initials=initials)) if each.known]

    assert known("Name: Tomasz Wieczorek. Wieczorek is well. Dr Anna Roth saw him.", "TW") == [
        "Tomasz Wieczorek",
        "Wieczorek",
    ]
    assert known("姓名：林晓彤，女。林晓彤诉腹痛。刘建军主任查房。", "LXT") == ["林晓彤", "林晓彤"]
    assert known("林晓彤诉腹痛。", "林晓彤") == ["林晓彤"]
    assert known("seen with tomasz wieczorek", "Tomasz Wieczorek") == ["tomasz wieczorek"]


@pytest.mark.parametrize(
    ("initials", "text", "names"),
    [
        ("Owen Tarrel", "TARREL, Owen; O. Tarrel; Tarrel, O. fell", ["TARREL, Owen", "O. Tarrel", "Tarrel, O."]),
        ("Owen Tarrel", "Owen's knee and tarrel owen", ["Owen", "tarrel owen"]),
        ("Ji-woo Park", "Park Ji-woo walks in the park", ["Park Ji-woo"]),
        ("Ruth Addison", "Ruth has Addison's disease", ["Ruth"]),
        ("周建国", "周 建国跌倒，老周说。建国在家，周某", ["周 建国", "老周", "建国", "周某"]),
        ("孙某", "孙某腹痛", ["孙某"]),
        ("QD", "qd (born in May), metformin qd", ["qd"]),
    ],
)
def test_finds_the_headers_name_in_every_form(initials: str, text: str, names: list[str]) -> None:
    known = [text[each.start : each.end] for each in find(text, CaseHeader(initials=initials)) if each.known]
    assert known == names


@pytest.mark.parametrize(
    ("name", "initials", "whether"),
    [
        ("John Adam Smith", "JS", True), ("Smith, John", "JS", True), ("John Smith", "JAS", True), ("John Smith",
        "SJ", True),
        ("Mary Jones", "JS", False), ("Smith", "JS", False), ("王小明", "WXM", True), ("单雄信", "SXX", True),
        ("王小明", "王", True),
        ("王小明", "LXM", False), ("李龘", "LX", True), ("John Smith", "", False),
    ],
)  # fmt: skip
def test_a_name_fits_initials(name: str, initials: str, whether: bool) -> None:
    assert fits(name, CaseHeader(initials=initials)) is whether


def test_a_year_alone_stays_unless_the_header_says_no_more() -> None:
    assert found("born in 1972, since 2019") == []
    assert found("born in 1972, since 2019", CaseHeader(born="1972")) == ["1972"]
    assert found("anything at all", CaseHeader(born="?", number="-", initials="?")) == []


# --- numbers with a check digit ---


def test_check_digits() -> None:
    assert nhs_number("943 476 5919")
    assert not nhs_number("943 476 5918")
    assert not nhs_number("943476591")
    assert id_card("11010519491231002X")
    assert not id_card("110105194912310021")
    assert not id_card("11010519491331002X")
    assert id_card("130503670401001")
    assert not id_card("130503671301001")


# --- names go on ---


def test_a_name_is_found_again_where_it_stands_alone() -> None:
    assert found("Mr Pemberton fell. Pemberton's knee, and PEMBERTON again.") == ["Pemberton", "Pemberton", "PEMBERTON"]
    assert found("姓名：林晓彤。今日林晓彤诉腹痛。") == ["林晓彤", "林晓彤"]
    assert found("Mr Parkinson has Parkinson's disease. Dr May said it may rain. May I?") == ["Parkinson", "May"]


# --- replacing ---


def test_kinds_stand_in_brackets_and_a_name_keeps_its_number() -> None:
    text = "Mr Pemberton (DOB 14/07/1968) saw Dr Lindqvist. Pemberton rang 07700 900461."
    assert replaced(text, find(text, NOBODY)) == "Mr [NAME 1] (DOB [DATE]) saw Dr [NAME 2]. [NAME 1] rang [PHONE]."
    text = "姓名：林晓彤，住院号：00451287，2022-10-08由韩医生收治。林晓彤诉腹痛。"
    assert (
        replaced(text, find(text, NOBODY))
        == "姓名：[姓名 1]，住院号：[病历号]，[日期]由[姓名 2]医生收治。[姓名 1]诉腹痛。"
    )
    assert (
        replaced("Smith, John and John Smith", [Identifier(0, 11, "name"), Identifier(16, 26, "name")])
        == "[NAME 1] and [NAME 1]"
    )


def test_both_languages_name_every_kind() -> None:
    assert set(LABELS["en"]) == set(LABELS["zh-CN"])


WORDS = st.sampled_from(
    ["Mr Pemberton", "Pemberton", "姓名：林晓彤", "，", " ", "\n", "14/07/1968", "3 May", "1972年4月3日", "白细胞",
    "K 6.2", "MRN 4471902",
     "QX998877", "J.Q.S.", "ﬁne", "İ", "é", "𝒜", "１２", "住北京市海淀区中关村大街27号", "Dear Anna,",
     "our ref: 44719", "患者：", "住院号：", "tel ", "Re: ", "[NAME 1]",
     "a@b.co", "\t", "May", "(", ")"]
)  # fmt: skip


@given(st.lists(WORDS | st.text(max_size=6), max_size=14).map("".join), st.data())
def test_nothing_but_what_is_chosen_changes(text: str, data: st.DataObject) -> None:
    identifiers = find(text, HEADERS[0])
    assert all(0 <= each.start < each.end <= len(text) for each in identifiers)
    assert all(one.end <= other.start for one, other in pairwise(identifiers))
    chosen = [each for each in identifiers if data.draw(st.booleans())]
    rest, at = replaced(text, chosen), 0
    for each, label in labels(text, chosen):
        kept = text[at : each.start]
        assert rest.startswith(f"{kept}[{label}]")
        rest, at = rest[len(kept) + len(label) + 2 :], each.end
    assert rest == text[at:]


def test_overlapping_choices_are_made_one() -> None:
    assert replaced("John Smith fell", [Identifier(0, 4, "name"), Identifier(2, 10, "name")]) == "[NAME 1] fell"


# --- cost ---

UNITS = ("a", "John Smith ", "姓名：张三，", "3 May ", "mrn 12345 ", ".com")


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_hostile_text_is_read_in_a_second_or_so(unit: str) -> None:
    text = unit * (500_000 // len(unit.encode()))
    find(text[:1000], HEADERS[0])  # compiles the header's patterns
    start = time.process_time()
    find(text, HEADERS[0])
    assert time.process_time() - start < MOST_SECONDS
