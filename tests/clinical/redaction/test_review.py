"""A person's decisions about what the rules found."""

from __future__ import annotations

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.redaction import Review

TEXT = "Mr Pemberton fell. Pemberton's wife Bernadette rang 07700 900461 on 3 May. The lighthouse keeper fell."


def review() -> Review:
    return Review.of(TEXT, CaseHeader())


def test_everything_is_redacted_unless_it_is_kept() -> None:
    one = review()
    assert [one.words(each) for each in one.found] == ["Pemberton", "Pemberton", "Bernadette", "07700 900461", "3 May"]
    one.toggle(one.found[4])
    assert one.redacted == (
        "Mr [NAME 1] fell. [NAME 1]'s wife [NAME 2] rang [PHONE] on 3 May. The lighthouse keeper fell."
    )
    one.toggle(one.found[4])
    assert one.redacted.count("[DATE]") == 1
    assert one.labels()[one.found[0]] == "NAME 1"


def test_equal_findings_are_decided_together() -> None:
    one = review()
    assert one.decide_equal(one.found[0], keep=True) == 2
    assert one.redacted.count("Pemberton") == 2
    one.toggle(one.found[0])
    assert one.redacted.count("Pemberton") == 1
    assert one.decide_equal(one.found[1], keep=False) == 2
    assert "Pemberton" not in one.redacted


def test_words_are_redacted_wherever_they_stand() -> None:
    one = review()
    assert one.mark_all("LIGHTHOUSE  keeper") == 1
    assert one.mark_all("light") == 0
    assert one.mark_all("  ") == 0
    assert one.redacted.endswith("The [REDACTED] fell.")
    assert Review.of("林晓彤在灯塔工作。灯塔", CaseHeader()).mark_all("灯塔") == 2


def test_a_part_of_the_text_is_redacted_with_what_it_touches() -> None:
    one = review()
    one.toggle(one.found[0])
    start = TEXT.index("Mr Pemb")
    one.mark(start, start + len("Mr Pemberton fell"))
    assert one.redacted.startswith("[REDACTED]. [NAME 1]'s wife")
    one.mark(18, 19)
    assert len(one.found) == 5, "white space alone is nothing to redact"


def test_what_was_kept_is_redacted_if_its_words_are_typed() -> None:
    one = review()
    one.toggle(one.found[2])
    assert "Bernadette" in one.redacted
    assert one.mark_all("bernadette") == 1
    assert "Bernadette" not in one.redacted
