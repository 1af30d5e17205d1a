"""The one place that knows all groups of rules, and what counts as noted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.heard import Heard
from edgemed.clinical.flags.once import Once
from edgemed.clinical.noted import Noted
from edgemed.clinical.watch import GROUPS, Known, NotGiven, Rules, Switches, Watch


def flag(rule: str, *evidence: str) -> Flag:
    return Flag(rule, "phrases", evidence, "a source, 2016")


def test_a_group_that_is_off_is_not_asked() -> None:
    def phrases(texts: Sequence[Text], heard: object) -> list[Flag]:
        raise AssertionError("it is off")

    watch = Watch(Rules(phrases=phrases, values=lambda texts, header, readings: [flag("K-1", "K 7.1")]))
    seen = watch.read([Text("K 7.1")], CaseHeader(), Switches(phrases=False))
    assert [each.rule for each in seen.flags] == ["K-1"]
    assert not seen.failed


def test_a_fault_in_one_group_is_told_and_the_other_group_still_read() -> None:
    def broken(texts: Sequence[Text], heard: object) -> list[Flag]:
        raise ValueError("a bug")

    seen = Watch(Rules(phrases=broken, values=lambda texts, header, readings: [flag("K-1", "K 7.1")])).read(
        [Text("K 7.1")], CaseHeader(), Switches()
    )
    assert seen.failed == ("phrases",)
    assert [each.rule for each in seen.flags] == ["K-1"]


def test_a_fault_in_what_is_not_given_is_told() -> None:
    def broken(question: str, header: CaseHeader, earlier: Sequence[str]) -> list[str]:
        raise ValueError("a bug")

    watch = Watch(Rules(missing=broken))
    assert watch.not_given("Which dose?", CaseHeader(), [], Switches()) == NotGiven(failed=("missing",))
    assert watch.not_given("Which dose?", CaseHeader(), [], Switches(missing=False)) == NotGiven()


def test_the_header_is_a_text_and_its_identity_is_not() -> None:
    read: list[Text] = []
    header = CaseHeader(problems="AAA, 6 cm", initials="QXI")
    Watch(Rules(phrases=lambda texts, heard: read.extend(texts) or [])).read([Text("Back pain")], header, Switches())
    assert [text.where for text in read] == ["header", "question"]
    assert "AAA, 6 cm" in read[0].body
    assert "QXI" not in read[0].body


def test_switches_are_stored_by_the_groups_that_are_off() -> None:
    switches = Switches().turned("values", False).turned("guard", False)
    assert Switches.load(switches.dump()) == switches
    assert Switches.load(Switches().dump()) == Switches()
    assert switches.turned("guard", True) == Switches(values=False)


@pytest.mark.parametrize("stored", ["", "{", "null", "3", '{"values": 1}', '["unknown"]'])
def test_what_cannot_be_read_leaves_every_group_on(stored: str) -> None:
    assert all(getattr(Switches.load(stored), group) for group in GROUPS)


def test_a_rule_is_shown_once_and_again_on_new_evidence() -> None:
    noted = Noted()
    first = [flag("ACS-1", "chest pain", "sweating"), flag("K-1", "K 7.1")]
    assert noted.new(first) == first
    noted.add(first)
    assert noted.new([flag("ACS-1", "Sweating", "chest  pain"), flag("K-1", "Ｋ 7.1")]) == []
    again = [flag("ACS-1", "chest pain", "jaw"), flag("K-1", "K 7.4")]
    assert noted.new(again) == again
    assert noted.new([flag("SEP-1", "chest pain")]) == [flag("SEP-1", "chest pain")]


def test_what_was_noted_is_stored_without_the_words() -> None:
    noted, other = Noted(), Noted()
    noted.add([flag("ACS-1", "chest pain")])
    other.add([flag("ACS-1", "jaw"), flag("K-1")])
    assert "chest" not in noted.dump()
    both = Noted.load(noted.dump())
    both.join(Noted.load(other.dump()))
    assert both.new([flag("ACS-1", "jaw", "chest pain"), flag("K-1")]) == []


def test_a_chats_own_scale_comes_before_that_of_another_chat() -> None:
    noted = Noted()
    noted.join(Noted(scale=2))
    noted.join(Noted(scale=1))
    assert Noted.load(noted.dump()).scale == 2


@pytest.mark.parametrize("stored", ["", "{", "null", "[1]", '{"shown": {"ACS-1": 3}}', '{"scale": 3}'])
def test_a_damaged_record_shows_again(stored: str) -> None:
    assert Noted.load(stored).new([flag("ACS-1", "chest pain")])


def test_a_text_that_was_read_is_not_read_again_and_a_text_that_left_is_forgotten() -> None:
    read: list[Heard] = []

    def phrases(texts: Sequence[Text], heard: Once[Heard]) -> list[Flag]:
        read.extend(heard.of(text.body) for text in texts)
        return []

    watch, known = Watch(Rules(phrases=phrases)), Known()
    for texts in (["One.", "Two."], ["One.", "Two.", "Three."], ["Three."], ["One.", "Three."]):
        watch.read([Text(text) for text in texts], CaseHeader(), Switches(), known=known)
    one, two, one_again, two_again, three, three_again, one_anew, three_still = read
    assert (one, two) == (one_again, two_again)
    assert three == three_again == three_still
    assert one_anew != one


NOTES = Path(__file__).parents[1] / "data" / "clinical" / "notes"


@pytest.mark.parametrize("file", ["notes.en.jsonl", "notes.zh.jsonl"])
def test_what_was_read_before_changes_no_result(file: str) -> None:
    told = [json.loads(line) for line in (NOTES / file).read_text(encoding="utf-8").splitlines()[:12]]
    known, watch = Known(), Watch()
    for count in range(1, len(told)):
        texts = [*(Text(each["source"], "earlier") for each in told[: count - 1]), Text(told[count - 1]["source"])]
        sources = [text.body for text in texts]
        arguments = CaseHeader(), Switches()
        assert watch.read(texts, *arguments, known=known) == watch.read(texts, *arguments)
        answer = told[count]["wrong"]
        assert watch.marks(answer, sources, *arguments, known) == watch.marks(answer, sources, *arguments)
