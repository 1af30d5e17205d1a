"""The export of an edited note: the first choice, through the same review, without the identity."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.clinical import Language
from edgemed.engine.process.protocol import StopReason
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.review import ReviewScreen
from testing.fake_engine import FakeEngine, finished
from tests.tui.driving import chat, screen_text, session, shows, wait_until, write
from tests.tui.test_exporting import to_file
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.test_notes import CASE, HEADER, PLANTED, WRITTEN, answered, noted
from tests.tui.vaults import chat_on_engine, make_vault

BLANKS = "Patient: ______    Born: ______    Number: ______"


pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.slow
async def test_a_reviewed_note_is_the_first_choice_and_is_exported_without_the_identity(
    tmp_path: Path, home: Path
) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["Since when?"], [WRITTEN])
    app = chat_on_engine(folder, engine)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await unlocked(pilot)
        screen = await noted(pilot, app)
        screen.note.move_cursor(screen.note.document.end)
        screen.note.insert("\n\nQXI lives with Mrs Pemberton.")
        await pilot.press("escape", "alt+e")
        await shows(pilot, "Export to a text file", "The edited note · draft", "The answer")
        await pilot.press("escape", "alt+d", "ctrl+s")
        await shows(pilot, "as it stands below notes")
        await answered(pilot, "Dr Jones")
        await shows(pilot, "reviewed by Dr Jones")
        await pilot.press("escape", "alt+e")
        await shows(pilot, "The edited note · reviewed by Dr Jones, ")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await shows(pilot, BLANKS, "2 found, 2 redacted", "NAME: QXI, Pemberton")
        await to_file(pilot, "Dr A. Reader", "note.txt")
        await shows(pilot, "Exported to")
        await pilot.press("ctrl+q")
    lines = (home / "note.txt").read_text().split("\n")
    assert lines[:2] == [
        "Redaction-assisted; reviewed by Dr A. Reader",
        "AI-generated draft (model ab12cd34). Reviewed by: Dr Jones",
    ]
    assert lines[5:] == [
        *("SOAP NOTE", BLANKS, ""),
        *WRITTEN.split("\n"),
        "[NAME 1] lives with Mrs [NAME 2].",
        "",
    ]
    assert not [value for value in PLANTED if value in "\n".join(lines)]
    rows = in_vault(folder, lambda store: list(store._rows("SELECT event, details FROM audit")))
    for event in ("export_reviewed", "exported"):
        (details,) = [json.loads(row["details"]) for row in rows if row["event"] == event]
        assert (details["part"], details["reviewed"], details["found"]) == ("note", 1, 2)


@pytest.mark.slow
async def test_an_answer_without_a_note_offers_none() -> None:
    app = chat(["好的。"], language="zh-CN")
    async with app.run_test(notifications=True) as pilot:
        await write(pilot, "咳嗽", "enter")
        await shows(pilot, "好的。")
        await write(pilot, "/export 文书", "enter")
        await shows(pilot, "该回答还没有编辑过的文书")
        await pilot.press("alt+e")
        await shows(pilot, "整个对话")
        assert "编辑后的文书" not in screen_text(pilot)


# --- line mode ---

REVIEW = ("", "Dr A. Reader", "yes")
"""Nothing is kept of what was found; who reviewed the redaction; the file may be written."""


def said(*typed: str, language: Language = "en", reason: StopReason = "end") -> str:
    """What line mode prints when this is typed after a SOAP note was written about a case with HEADER."""
    writer, ended = io.StringIO(), finished(WRITTEN, tokens=2, prompt=1, reason=reason)
    opened = session(FakeEngine(["Since when?"], [WRITTEN, ended]), use="unevaluated", language=language)
    reader = io.StringIO("\n".join([CASE, "/note soap", *typed, ""]))
    PlainChat(opened, Conversation(saved=False, header=HEADER), reader=reader, writer=writer).run()
    return writer.getvalue()


def test_line_mode_exports_the_note_and_says_so(home: Path) -> None:
    replaced = ("/editnote replace", "Seen: {patient}, born {born}.", ".")
    printed = said(*replaced, "/export draft.txt", *REVIEW, "/editnote reviewed Dr Jones", "/export a.txt", *REVIEW)
    assert "This exports the edited note (draft); /export answer FILE takes the answer" in printed
    assert "This exports the edited note (reviewed by Dr Jones, " in printed
    draft, reviewed = (home / "draft.txt").read_text(), (home / "a.txt").read_text()
    assert "\nAI-generated draft (model ab12cd34), not verified. Reviewed by: ______\n" in draft
    assert "\nAI-generated draft (model ab12cd34). Reviewed by: Dr Jones\n" in reviewed
    for text in (draft, reviewed):
        assert text.endswith("\n\nSeen: ______, born ______.\n")


def test_line_mode_exports_what_is_named(home: Path) -> None:
    printed = said("/export note a.txt", "/export a.txt", *REVIEW, "/editnote copy", "/export answer b.txt", *REVIEW)
    assert "This answer has no edited note; edit it first (Alt+D or /editnote)." in printed
    assert "This exports the edited note" not in printed
    for name in ("a.txt", "b.txt"):
        text = (home / name).read_text()
        assert "(model ab12cd34), not verified\n" in text
        assert "SOAP NOTE" not in text


@pytest.mark.parametrize(
    ("language", "cut"), [("en", "CUT OFF: a dose or a list may be incomplete"), ("zh-CN", "内容中断")]
)
def test_a_note_on_half_an_answer_says_so_until_it_is_reviewed(language: Language, cut: str, home: Path) -> None:
    yes = ("", "林医生", "yes" if language == "en" else "是")
    said(
        *("/editnote copy", "/export note a.txt", *yes, "/editnote reviewed 王医生", "/export note b.txt", *yes),
        language=language,
        reason="length",
    )
    draft, reviewed = (home / "a.txt").read_text(), (home / "b.txt").read_text()
    assert cut in draft.splitlines()[-1]
    assert "______" in draft.splitlines()[1] or "审核医师：____" in draft.splitlines()[1]
    assert cut not in reviewed
    assert reviewed.splitlines()[1].endswith("王医生")
