"""Notes in line mode, and what the screen and line mode share: the source, the comparison, the marks."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.clinical import Language
from edgemed.tui.noting import check_lines, checked, source_of
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.strings.notes import note_strings
from edgemed.tui.widgets.note_area import moved
from testing.fake_engine import FakeEngine
from tests.tui.driving import session
from tests.tui.test_notes import CASE, HEADER, WRITTEN


def test_the_source_is_what_the_user_wrote_and_the_letter_is_no_finding() -> None:
    conversation = Conversation(header=HEADER)
    conversation.ask("K 6.2").raw = "Give 10 ml of calcium."
    conversation.turns[0].state = "whole"
    turn = conversation.ask("Write: SOAP note", template="soap", instruction="Write 5 lines.")
    turn.raw, turn.state = "K 6.2, calcium 10 ml", "whole"
    conversation.ask("And later?").state = "failed"
    assert source_of(conversation, turn) == "K 6.2\n\nThe patient:\nAge: 54 years\nSex: F"
    found = checked(source_of(conversation, turn), "Ward 12: {note}", "Ward 12: K 6.2, calcium 10 ml")
    assert found is not None
    assert "".join(mark.text for mark in found.added).startswith("10")
    assert [mark for mark in found.dropped if mark.end > len(source_of(conversation, turn))] == []


def test_an_error_in_the_comparison_is_said_and_leaves_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemed.tui.noting.check", lambda source, note: 1 / 0)
    printed = said(FakeEngine(["Since when?"], [WRITTEN]), CASE, "/note soap", "/editnote")
    assert "5. Cough for 7 weeks.\n" in printed
    assert "The comparison failed because of an error in the program: nothing is marked." in printed


def test_marks_follow_the_text() -> None:
    text = "K 6.2, Na 140, left"
    marks = [(2, 5), (10, 13), (15, 19)]
    assert moved(marks, text, text) == marks
    assert moved(marks, text, "K 6.2, and Na 140, left") == [(2, 5), (14, 17), (19, 23)]
    assert moved(marks, text, "K 6.3, Na 140, left") == [(10, 13), (15, 19)]
    assert moved(marks, text, "") == []
    assert moved(marks, text, text + " knee") == marks
    assert moved([(0, 1)], "aa", "aaa") in ([(0, 1)], [(1, 2)])


def said(engine: FakeEngine, *typed: str, templates: Path | None = None) -> str:
    """What line mode prints when this is typed about a case with HEADER."""
    writer = io.StringIO()
    opened = replace(session(engine, use="unevaluated"), templates=templates)
    conversation = Conversation(saved=False, header=HEADER)
    PlainChat(opened, conversation, reader=io.StringIO("\n".join([*typed, ""])), writer=writer).run()
    return writer.getvalue()


def test_line_mode_writes_shows_replaces_reviews_and_copies_a_note(tmp_path: Path) -> None:
    engine = FakeEngine(["Since when?"], [WRITTEN])
    commands = ("/editnote", "/editnote reviewed", "/editnote replace", "Cough for 3 weeks,", "left.", ".")
    more = (
        "/editnote reviewed Dr Jones",
        "/editnote copy",
        "/editnote replace",
        "For {patient}",
        ".",
        "/editnote copy",
    )
    printed = said(engine, CASE, "/note soap", *commands, *more)
    assert engine.asked[1][-1].content.startswith("Write: SOAP note\n\nWrite a SOAP note")
    before, after = printed.split("Paste the new text", 1)
    assert "SOAP note · draft\n" in before
    assert "\n5. Cough for 7 weeks.\n" in before
    assert "Not in your text (1): 7" in before
    assert "In the copy: {patient} = QXI" in before
    assert "Who reviewed it? /editnote reviewed and your name" in before
    assert "1. Cough for 3 weeks,\n2. left.\n" in after
    assert "Not in your text" not in after.split("Paste the new text")[0]
    assert "SOAP note · reviewed by Dr Jones" in after
    assert re.search(r"Reviewed by: Dr Jones, 20\d\d-.*\n\nCough for 3 weeks,\nleft\.\n", after)
    assert "not verified. Reviewed by: ______\n\nFor QXI\n" in after


def test_line_mode_lists_templates_and_refuses_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "clinic.txt").write_text("Clinic letter\n")
    printed = said(
        FakeEngine(["Since when?"]), "/note", "/editnote", CASE, "/note clinic", "/note x", templates=tmp_path
    )
    assert "soap: SOAP note\n" in printed
    assert "clinic: clinic\n" in printed
    assert f"Your own are files in {tmp_path / 'en'};" in printed
    assert "The template asks nothing of the model; write it below the title." in printed
    assert "There is no template x. /note lists them." in printed


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_text_that_was_not_compared_to_its_end_says_so(language: Language) -> None:
    words = note_strings(language)
    found = checked("Take 5 mg. " * 6_000, "", "Take 5 mg.")
    assert found is not None
    assert found.cut
    assert words.check_cut in check_lines(found, "Take 5 mg.", words)
    short = checked("Take 5 mg.", "", "Take 5 mg.")
    assert short is not None
    assert check_lines(short, "Take 5 mg.", words) == [words.nothing_found]
