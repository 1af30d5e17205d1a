"""The case header on the screen, the place, and the question about another patient. In line mode as well."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from edgemed.chat.conversation import Conversation
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.region import Region
from edgemed.tui.app import ChatApp
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.case_form import CaseForm
from edgemed.tui.screens.kept import KeptScreen
from edgemed.tui.widgets.composer import Composer
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine
from tests.tui.driving import screen_text, session, shows, shows_not, wait_until, write
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import entrance, make_vault

HEADER = CaseHeader(age="54", sex="M", allergies="penicillin", initials="QXI", born="1972-04-03", number="QX998877")
PLANTED = ("QXI", "1972-04-03", "QX998877")


async def fill_in(pilot: object, **values: str) -> None:
    """Open the form with its key, and save these values."""
    app = pilot.app  # type: ignore[attr-defined]
    await pilot.press("ctrl+t")  # type: ignore[attr-defined]
    await wait_until(pilot, lambda: isinstance(app.screen, CaseForm) and app.focused is not None)  # type: ignore[arg-type]
    for name, value in values.items():
        app.screen.query_one(f"#{name}", Input).value = value
    await pilot.press("ctrl+s")  # type: ignore[attr-defined]
    await wait_until(pilot, lambda: not isinstance(app.screen, CaseForm))  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_header_is_kept_told_and_shown_and_its_identity_is_in_no_prompt(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["One."], ["Two."], ["Three."])
    app = ChatApp(entrance=entrance(folder, engine))
    async with app.run_test(size=(100, 30)) as pilot:
        await unlocked(pilot)
        await fill_in(pilot, **HEADER.values)
        await shows(pilot, "QXI, 54 years, M")
        await write(pilot, "What now?")
        await shows(pilot, "QXI, 54 years, M · standard answer")
        await pilot.press("enter")
        await shows(pilot, "One.")
        await write(pilot, "And then?", "enter")
        await shows(pilot, "Two.")
        await fill_in(pilot, allergies="penicillin, latex")
        await pilot.press("f5")
        await shows(pilot, "Three.")
        await pilot.press("f9")
        await wait_until(pilot, lambda: app.screen is not app.chat)
        await pilot.press("escape")
        await pilot.press("ctrl+q")
    for messages in engine.asked:
        assert "Allergies: penicillin" in messages[0].content
        assert not any(planted in message.content for message in messages for planted in PLANTED)
    assert "latex" in engine.asked[-1][0].content
    (case,) = in_vault(folder, lambda store: store.cases())
    assert CaseHeader.load(case.header) == replace(HEADER, allergies="penicillin, latex")
    assert case.title == "QXI, 54 years, M"
    chat = in_vault(folder, lambda store: store.load(store.chats(case.id)[0].id))
    assert chat.header.initials == "QXI"


@pytest.mark.slow
async def test_the_form_is_left_by_escape_and_filled_by_enter(tmp_path: Path) -> None:
    app = ChatApp(session(FakeEngine(["One."]), language="zh-CN"))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: isinstance(app.focused, Composer))
        await pilot.press("ctrl+t")
        await shows(pilot, "过敏史", "病历号", "Ctrl+S：保存")
        await pilot.press("5", "4", "enter", "M", "escape")
        await shows_not(pilot, "过敏史")
        assert app.chat._conversation.header == CaseHeader()
        await pilot.press("ctrl+t")
        await shows(pilot, "过敏史")
        await pilot.press("5", "4", *["enter"] * 8, "张", "enter", "enter", "enter")
        await shows(pilot, "张, 54岁")
        assert app.chat._conversation.header == CaseHeader(age="54", initials="张")


@pytest.mark.slow
async def test_a_search_finds_the_header(tmp_path: Path) -> None:
    def fill(store: Store) -> None:
        from edgemed.vault.rows import Snapshot

        case_id = store.new_case("Bed 4", CaseHeader(allergies="青霉素").dump())
        store.keep(Snapshot.of(Conversation(case_id=case_id, draft="half a quest")))

    app = ChatApp(entrance=entrance(make_vault(tmp_path / "vault", fill), FakeEngine()))
    async with app.run_test() as pilot:
        await unlocked(pilot)
        kept = app.chat._kept
        assert kept is not None
        await wait_until(pilot, lambda: len(kept.index) > 0)
        await pilot.press("ctrl+o")
        await pilot.press(*"青霉素")
        await shows(pilot, "Bed 4", "青霉素")


@pytest.mark.slow
async def test_another_patient_is_asked_about_once_and_enter_goes_on(tmp_path: Path) -> None:
    engine = FakeEngine(["One."], ["Two."], ["Three."])
    app = ChatApp(session(engine))
    async with app.run_test(size=(100, 30)) as pilot:
        await write(pilot, "45M chest pain", "enter")
        await shows(pilot, "One.")
        await write(pilot, "72F fell at home", "enter")
        await shows(pilot, "New case? “72F” does not fit “45M”", "72F fell at home")
        assert len(engine.asked) == 1
        await pilot.press("enter")
        await shows(pilot, "Two.")
        await shows_not(pilot, "New case?")
        await write(pilot, "72F, what else?", "enter")
        await shows(pilot, "Three.")


@pytest.mark.slow
async def test_the_text_moves_into_a_new_case(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["One."], ["Two."])
    app = ChatApp(entrance=entrance(folder, engine))
    async with app.run_test(size=(100, 30)) as pilot:
        await unlocked(pilot)
        await fill_in(pilot, age="45", sex="M")
        await write(pilot, "Chest pain", "enter")
        await shows(pilot, "One.")
        await write(pilot, "72F fell at home", "enter")
        await shows(pilot, "New case? “72F” does not fit “45 years, M”")
        await pilot.press("alt+m")
        await shows_not(pilot, "One.")
        await write(pilot, "", "enter")
        await shows(pilot, "Two.")
        assert "New case?" not in screen_text(pilot)
        assert isinstance(app.screen, KeptScreen)
        await pilot.press("ctrl+q")
    assert [message.content for message in engine.asked[-1]] == ["72F fell at home"]
    drafts = in_vault(folder, lambda store: [store.load(chat.id).draft for chat in store.chats()])
    assert drafts == ["", ""], "the text is in no draft of the old case"


@pytest.mark.slow
async def test_the_place_is_told_and_remembered() -> None:
    engine, chosen = FakeEngine(["One."]), list[Region]()
    app = ChatApp(replace(session(engine), on_region=chosen.append))
    async with app.run_test(size=(100, 30)) as pilot:
        for command in ("/units", "/units", "/drugnames"):
            await write(pilot, command, "enter")
            await wait_until(pilot, lambda: app.screen.query_one(Composer).text == "")
        await wait_until(pilot, lambda: len(chosen) == 3)
        await write(pilot, "Glucose?")
        await shows(pilot, "mg/dL · paracetamol · standard answer")
        await pilot.press("enter")
        await shows(pilot, "One.")
    assert chosen[-1] == Region("mg/dL", "paracetamol")
    assert engine.asked[0][0].content == f"{chosen[-1].prompt()}\n\nGlucose?"


def said(engine: FakeEngine, typed: str, **options: object) -> str:
    """What line mode prints when this is typed."""
    writer = io.StringIO()
    chat = PlainChat(replace(session(engine), **options), reader=io.StringIO(typed), writer=writer)  # type: ignore[arg-type]
    chat.run()
    return writer.getvalue()


def test_line_mode_shows_and_sets_the_header() -> None:
    engine = FakeEngine(["One."], ["Two."])
    lines = ("age 54", "Allergies penicillin", "number QX998877", "性别 M", "sex -", "potassium 3", "")
    printed = said(engine, "".join(f"/case {line}\n" for line in lines) + "What now?\n/units\nAnd then?\n")
    for line in ("Age: 54 years", "Allergies: penicillin", "Number: QX998877", "Sex: M", "Sex: not given"):
        assert f"{line}\n" in printed
    assert "There is no field potassium. /case lists them." in printed
    assert engine.asked[0][0].content == "The patient:\nAge: 54 years\nAllergies: penicillin\n\nWhat now?"
    assert "mmol/L" in engine.asked[1][0].content
    assert not any("QX998877" in message.content for messages in engine.asked for message in messages)


def test_line_mode_asks_about_another_patient() -> None:
    engine = FakeEngine(["One."], ["Two."], ["Three."], ["Four."])
    printed = said(engine, "45M chest pain\n72F fell\n/where\n\n30F rash\n/newcase\n20M cough\nInstead?\n")
    assert printed.count("It was not sent.") == 3
    assert "The text before was not sent." in printed
    assert [messages[-1].content for messages in engine.asked] == ["45M chest pain", "72F fell", "30F rash", "Instead?"]
    assert len(engine.asked[2]) == 1
