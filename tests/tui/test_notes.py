"""Notes: asked for by a template, edited beside the source, reviewed, copied, found; and the editor of templates."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from edgemed.clinical.case import CaseHeader
from edgemed.tui.app import ChatApp
from edgemed.tui.hiding.hide_key import EarlierPaste
from edgemed.tui.screens.hidden import HiddenScreen
from edgemed.tui.screens.note import NoteScreen
from edgemed.tui.screens.template import TemplateScreen
from edgemed.tui.themes import THEMES
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.note_area import NoteArea
from edgemed.tui.widgets.typing_area import TypingArea
from testing.fake_engine import FakeEngine, Hold
from tests.tui.driving import screen_text, session, shows, shows_not, wait_until, write
from tests.tui.test_contrast import check
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import chat_on_engine, make_vault

HEADER = CaseHeader(age="54", sex="F", initials="QXI", born="1972-04-03", number="QX998877")
PLANTED = ("QXI", "1972-04-03", "QX998877")
CASE = "Cough for 3 weeks, K 6.2 mmol/l, pain in the left leg."
WRITTEN = "Subjective\nCough for 7 weeks.\n\nObjective\nK 6.2 mmol/l\n"


async def noted(pilot: Pilot[None], app: ChatApp) -> NoteScreen:
    """Ask for a SOAP note about CASE, and open it."""
    app.chat._conversation.header = HEADER
    await write(pilot, CASE, "enter")
    await shows(pilot, "Since when?")
    await write(pilot, "/note soap", "enter")
    await shows(pilot, "Write: SOAP note", "Cough for 7 weeks.", "Alt+D: edit")
    await pilot.press("alt+d")
    await wait_until(pilot, lambda: isinstance(app.screen, NoteScreen) and isinstance(app.focused, NoteArea))
    screen = app.screen
    assert isinstance(screen, NoteScreen)
    await wait_until(pilot, lambda: bool(screen.note.marks))
    return screen


async def answered(pilot: Pilot[None], text: str) -> None:
    """Type this line, which a form asks for."""
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")


@pytest.mark.slow
async def test_a_note_is_asked_for_and_edited_beside_its_source() -> None:
    engine = FakeEngine(["Since when?"], [WRITTEN])
    app = ChatApp(session(engine, use="unevaluated"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await noted(pilot, app)
        await shows(pilot, "SOAP note · draft", CASE, "Patient: {patient}", "Not in your text (1): 7", "(line 5)")
        assert [screen.note.text[slice(*span)][:1] for span in screen.note.marks] == ["7"]
        await pilot.press("f8")
        assert screen.note.selected_text.startswith("7")
        await pilot.press("3")
        await shows_not(pilot, "Not in your text")
        assert screen.note.marks == []
        await pilot.press("f6")
        await wait_until(pilot, lambda: getattr(app.focused, "id", "") == "source")
        await pilot.press("x", "f8")
        assert CASE in screen.query_one("#source", NoteArea).text, "the source is not edited"
        await pilot.press("f6", "ctrl+end")
        screen.note.insert("Right knee.")
        await pilot.press("escape")
        await shows(pilot, "· note: draft")
        await pilot.press("alt+d")
        await shows(pilot, "Right knee.")
        await pilot.press("ctrl+s")
        await shows(pilot, "Reviewed by", "as it stands below notes")
        await answered(pilot, "Dr Jones")
        await shows(pilot, "SOAP note · reviewed by Dr Jones", "marks left")
        await pilot.press("f2")
        await wait_until(pilot, lambda: bool(app.clipboard))
        first, _, *rest = app.clipboard.splitlines()
        assert re.fullmatch(r"AI-generated draft \(model ab12cd34, .*\)\. Reviewed by: Dr Jones, 20\d\d-.*", first)
        assert rest[:2] == ["SOAP NOTE", "Patient: QXI    Born: 1972-04-03    Number: QX998877"]
        await pilot.press("escape")
        await shows(pilot, "· note reviewed by Dr")
        await pilot.press("alt+d")
        await shows(pilot, "reviewed by Dr Jones")
        await pilot.press("x")
        await shows(pilot, "SOAP note · draft")
        await pilot.press("f2")
        await wait_until(pilot, lambda: "not verified. Reviewed by: ______" in app.clipboard)
    prompts = "".join(message.content for messages in engine.asked for message in messages)
    prompts += engine.preview(app.chat._conversation.messages()).text
    assert "Write a SOAP note about this patient" in prompts
    assert not [value for value in PLANTED if value in prompts]


@pytest.mark.slow
async def test_a_note_is_in_the_vault_at_once_and_found_and_recorded(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["Since when?"], [WRITTEN])
    app = chat_on_engine(folder, engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await unlocked(pilot)
        screen = await noted(pilot, app)
        source, note = screen.query_one("#source"), screen.note
        assert source.region.y == note.region.y, "side by side"
        await pilot.press("ctrl+s")
        await shows(pilot, "as it stands below notes")
        await answered(pilot, "Dr Jones")
        await shows(pilot, "reviewed by Dr Jones")
        screen.note.move_cursor((0, 0))
        screen.note.insert("Zolpidem ")
        await pilot.press("ctrl+q")  # leaving loses nothing
    (turn,) = in_vault(folder, lambda store: store.load(store.chats()[0].id).turns)[1:]
    assert turn.note.startswith("Zolpidem SOAP NOTE\nPatient: {patient}")
    assert (turn.reviewed_by, turn.reviewed) == ("", None), "it was changed after the review"
    assert turn.raw == WRITTEN
    assert in_vault(folder, lambda store: store.setting("clinician")) == "Dr Jones"
    events = in_vault(folder, lambda store: [dict(row) for row in store._rows("SELECT * FROM audit")])
    (reviewed,) = [event for event in events if event["event"] == "note_reviewed"]
    assert (reviewed["who"], reviewed["turn_id"]) == ("Dr Jones", turn.id)
    assert '"template": "soap"' in reviewed["details"]
    app = chat_on_engine(folder, FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await unlocked(pilot)
        kept = app.chat._kept
        assert kept is not None
        await wait_until(pilot, lambda: len(kept.index) > 0)
        await pilot.press("ctrl+o", *"zolpidem")
        await shows(pilot, "Zolpidem SOAP NOTE")
        await pilot.press("enter")
        await shows(pilot, "note: draft")
        await pilot.press("enter")
        await shows(pilot, "Edit as a note · Alt+D")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat)
        await pilot.press("alt+d")
        await shows(pilot, "Zolpidem SOAP NOTE")


@pytest.mark.slow
async def test_hiding_covers_a_note_and_locking_keeps_it(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["Since when?"], [WRITTEN])
    app = chat_on_engine(folder, engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await unlocked(pilot)
        (await noted(pilot, app)).note.insert("Last words.")
        await pilot.press("f12")
        await wait_until(pilot, lambda: isinstance(app.screen, HiddenScreen))
        await shows(pilot, "Hidden")
        assert "Cough" not in screen_text(pilot)
        app.post_message(EarlierPaste(" Pasted."))
        await pilot.press("f12")
        await wait_until(pilot, lambda: app._exit)
    note = in_vault(folder, lambda store: store.load(store.chats()[0].id).turns[-1].note)
    assert "Last words." in note
    assert "Pasted." in note, "a paste that began on the note goes to the note"


@pytest.mark.slow
async def test_an_unsaved_chat_keeps_its_note_in_memory_only(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["Since when?"], [WRITTEN])
    app = chat_on_engine(folder, engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await unlocked(pilot)
        app.chat.action_unsaved_chat()
        await shows(pilot, "UNSAVED CHAT")
        (await noted(pilot, app)).note.insert("Last words.")
        await pilot.press("escape", "alt+d")
        await shows(pilot, "Last words.")
        await pilot.press("ctrl+q")
        await shows(pilot, "A note is kept nowhere else. Quit and lose it?")
        await pilot.press("enter", "escape")
    assert in_vault(folder, lambda store: (store.chats(), store.texts())) == ([], [])


@pytest.mark.slow
async def test_a_note_needs_a_source_an_answer_and_a_template() -> None:
    app = ChatApp(session(FakeEngine(["Half", Hold()]), use="unevaluated"))
    async with app.run_test(notifications=True) as pilot:
        await write(pilot, "/note soap", "enter")
        await shows(pilot, "Write about the patient first")
        await write(pilot, "/editnote", "enter")
        await shows(pilot, "There is no ended answer")
        await write(pilot, CASE, "enter")
        await shows(pilot, "Half")
        await write(pilot, "/editnote", "enter")
        await shows(pilot, "There is no ended answer")
        await pilot.press("escape")
        await shows(pilot, "CUT OFF")
        await write(pilot, "/note nonsense", "enter")
        await shows(pilot, "There is no template nonsense. /note lists them.")
        await write(pilot, "/editnote", "enter")
        await shows(pilot, "Note · draft · CUT OFF")
        await pilot.press("f2")
        await shows(pilot, "Copy it anyway?")


@pytest.mark.slow
async def test_a_template_is_chosen_from_a_list_in_the_language_of_answers() -> None:
    engine = FakeEngine(["好的。"], ["主观资料"])
    app = ChatApp(session(engine, use="unevaluated", language="zh-CN"))
    async with app.run_test(size=(80, 30)) as pilot:
        await write(pilot, "咳嗽3周", "enter")
        await shows(pilot, "好的。")
        await write(pilot, "/note", "enter")
        await shows(pilot, "SOAP 病程记录", "出院小结", "转诊信", "给患者的说明")
        await pilot.press("enter")
        await shows(pilot, "撰写：SOAP 病程记录", "主观资料", "Alt+D：编辑")
        await pilot.press("alt+d")
        await shows(pilot, "您的文字和病例信息", "复制时填入：{patient} = ______")
    assert "未提供" in engine.asked[1][-1].content


@pytest.mark.slow
async def test_a_template_is_edited_inside_and_checked(tmp_path: Path) -> None:
    engine = FakeEngine(["Since when?"], ["Body."])
    app = ChatApp(replace(session(engine, use="unevaluated"), templates=tmp_path))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        app.chat._conversation.header = HEADER
        await write(pilot, "/templates", "enter")
        await shows(pilot, "SOAP note", "New template")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TemplateScreen))
        await shows(pilot, "The template can be used.", str(tmp_path / "en" / "soap.txt"))
        area = app.screen.query_one(TypingArea)
        area.text = "Mine\nWrite about {patient}.\n---\n{note}"
        await shows(pilot, "{patient} stands in what the model is asked")
        area.text = "Mine\nWrite.\n---\nQX998877 {note}"
        await pilot.press("ctrl+s")
        await shows(pilot, "Not saved: “QX998877” is in this case's header.")
        assert not list(tmp_path.iterdir())
        area.text = "Mine\nWrite.\n---\nTo {patient}: {note}"
        await pilot.press("escape")
        await shows(pilot, "changes that are not saved")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.screen is app.chat)
        await write(pilot, "/templates", "enter")
        await shows(pilot, "Mine (changed by you)")
        await pilot.press("end", "enter")
        await shows(pilot, "A short name for its file")
        await answered(pilot, "a b")
        await shows(pilot, "without spaces")
        await answered(pilot, "clinic")
        await shows(pilot, "Write ...", "The template can be used.")
        await pilot.press("ctrl+s", "escape")
        await wait_until(pilot, lambda: app.screen is app.chat)
        (tmp_path / "en" / "clinic.txt").write_text("Broken\n")
        await write(pilot, CASE, "enter")
        await shows(pilot, "Since when?")
        await write(pilot, "/note clinic", "enter")
        await shows(pilot, "The template asks nothing of the model")
        await write(pilot, "/note soap", "enter")
        await shows(pilot, "Body.")
        await pilot.press("alt+d")
        await shows(pilot, "Mine · draft", "To {patient}: Body.")
    assert engine.asked[1][-1].content == "Write: Mine\n\nWrite."


@pytest.mark.slow
async def test_a_note_that_is_stopped_before_its_first_word_is_not_put_into_the_box() -> None:
    app = ChatApp(session(FakeEngine(["Since when?"], [Hold()]), use="unevaluated"))
    async with app.run_test() as pilot:
        await write(pilot, CASE, "enter")
        await shows(pilot, "Since when?")
        await write(pilot, "/note soap", "enter")
        await shows(pilot, "Write: SOAP note")
        await pilot.press("escape")
        await shows_not(pilot, "Write: SOAP note")
        assert app.screen.query_one(Composer).text == "", "as a question it would lack the template's instruction"


@pytest.mark.slow
async def test_text_is_legible_in_the_note_in_every_theme() -> None:
    app = ChatApp(session(FakeEngine(["Since when?"], [WRITTEN]), use="unevaluated"))
    async with app.run_test(size=(80, 24)) as pilot:
        await noted(pilot, app)
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            check(pilot)
