"""The chat on a vault: what is kept, what goes on while another chat is shown, and what an unsaved chat leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from textual.pilot import Pilot

from edgemed import supervisor
from edgemed.errors import VaultError
from edgemed.tui.app import ChatApp
from edgemed.tui.screens import cased
from edgemed.tui.screens.kept import KeptScreen
from edgemed.tui.widgets.composer import Composer
from edgemed.vault.folder import unlock
from edgemed.vault.store import Store
from testing.fake_engine import Hold
from tests.tui.driving import screen_text, send, shows, shows_not, wait_until, write
from tests.tui.vaults import PASSPHRASE, chat_on, enter, forty_cases, make_vault

pytestmark = pytest.mark.slow

T = TypeVar("T")


def in_vault(folder: Path, work: Callable[[Store], T]) -> T:
    """What `work` finds in the vault, once the app has left it."""
    vault = unlock(folder, PASSPHRASE)
    try:
        return vault.do(work).result()
    finally:
        vault.close()


def draft(store: Store) -> str:
    """The draft of the last chat."""
    chats = store.chats()
    return store.load(chats[0].id).draft if chats else ""


def chat_of(pilot: Pilot[None]) -> KeptScreen:
    assert isinstance(pilot.app, ChatApp)
    return pilot.app.chat


async def stored(pilot: Pilot[None], work: Callable[[Store], T]) -> T:
    """What the open vault holds."""
    kept = chat_of(pilot)._kept
    assert kept is not None
    return await kept.do(work)


async def unlocked(pilot: Pilot[None]) -> None:
    await enter(pilot)
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, KeptScreen) and chat_of(pilot)._engine_ready)


async def test_a_draft_is_on_the_disk_within_a_second(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault")).run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "a draft about chest pain")
        began = time.monotonic()
        while await stored(pilot, draft) != "a draft about chest pain":
            assert time.monotonic() - began < 5, "one second on an idle machine"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "code"), [("ctrl+q", 0), ("ctrl+z", supervisor.SUSPENDED), ("lock", supervisor.LOCKED)]
)
async def test_the_way_out_keeps_the_draft_and_the_running_answer(tmp_path: Path, how: str, code: int) -> None:
    folder = make_vault(tmp_path / "vault")
    app = chat_on(folder, ["Take 5 mg", Hold()])
    async with app.run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg")
        keys = {"ctrl+q": "\x11", "ctrl+z": "\x1a", "lock": ""}
        send(pilot, f"typed at the last moment{keys[how]}")
        if how == "lock":
            app.lock("desktop")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == code
    engine = chat_of(pilot)._driver.engine
    assert engine is not None
    assert engine.closed  # type: ignore[attr-defined]
    assert in_vault(folder, draft) == "typed at the last moment"
    (turn,) = in_vault(folder, lambda store: store.load(store.chats()[0].id).turns)
    assert (turn.raw, turn.state) == ("Take 5 mg", "stopped")


async def test_the_chat_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    async with chat_on(folder, ["Take 5 mg."]).run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg.")
        await write(pilot, "and then?")
        await pilot.press("ctrl+q")
    async with chat_on(folder, ["Wait."]).run_test() as pilot:
        await unlocked(pilot)
        await shows(pilot, "How much?", "Take 5 mg.", "and then?")
        await write(pilot, "", "enter")
        await shows(pilot, "Wait.")


async def test_an_answer_goes_on_in_the_chat_that_was_left(tmp_path: Path) -> None:
    folder, hold = make_vault(tmp_path / "vault", forty_cases), Hold()
    async with chat_on(folder, ["Take 5 mg", hold, " twice."], ["Second."]).run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg")
        await write(pilot, "a draft of the first")
        await pilot.press("ctrl+o", "5", "enter")
        await shows(pilot, "Ellis, F 44")
        await shows_not(pilot, "Take 5 mg")
        assert chat_of(pilot).query_one(Composer).text == ""
        await write(pilot, "And here?", "enter")
        await shows(pilot, "Next: And here?", "An answer in another chat is still being written.")
        await pilot.press("ctrl+o")
        await shows(pilot, "being answered")
        await pilot.press("escape")
        hold.release()
        await shows(pilot, "Second.")
        await pilot.press("ctrl+o", "enter")
        await shows(pilot, "Alder, F 40", "Take 5 mg twice.", "a draft of the first")


async def test_a_chat_is_found_again_while_its_answer_is_written(tmp_path: Path) -> None:
    folder, hold = make_vault(tmp_path / "vault", forty_cases), Hold()
    async with chat_on(folder, ["Take 5 mg", hold, " twice."]).run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg")
        await pilot.press("ctrl+o", "5", "enter")
        await shows(pilot, "Ellis, F 44")
        await pilot.press("ctrl+o", "enter")
        await shows(pilot, "Alder, F 40", "Take 5 mg")
        hold.release()
        await shows(pilot, "Take 5 mg twice.")


async def test_an_unsaved_chat_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    async with chat_on(folder, ["Take zolpidem."]).run_test() as pilot:
        await unlocked(pilot)
        chat_of(pilot).action_unsaved_chat()
        await shows(pilot, "UNSAVED CHAT: no text of it is kept", "Nothing is saved.")
        await write(pilot, "About Mrs Miller", "enter")
        await shows(pilot, "Take zolpidem.")
        await write(pilot, "a draft about her")
        await pilot.pause(1.2)
        await pilot.press("ctrl+n")
        await shows_not(pilot, "UNSAVED CHAT")
        assert await stored(pilot, lambda store: (store.chats(), store.texts())) == ([], [])
    assert b"Miller" not in b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_word_is_said_when_the_disk_falls_behind_or_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chat_on(make_vault(tmp_path / "vault")).run_test() as pilot:
        await unlocked(pilot)
        kept = chat_of(pilot)._kept
        assert kept is not None
        monkeypatch.setattr(type(kept.journal), "behind", 7.4)
        await shows(pilot, "The disk is slow: the last 7 s of the answer are not saved yet.")
        monkeypatch.setattr(type(kept.journal), "behind", 0.0)
        await shows_not(pilot, "The disk is slow")

        def refuse(conversation: object) -> None:
            raise VaultError("The disk is full.")

        monkeypatch.setattr(kept.journal, "keep", refuse)
        await write(pilot, "more")
        await shows(pilot, "Not saved: The disk is full.")
        monkeypatch.undo()
        await shows_not(pilot, "Not saved")
        monkeypatch.setattr("edgemed.tui.kept.low_disk", lambda folder, language: "Only 9 MiB are free.")
        await shows(pilot, "Only 9 MiB are free.")


async def test_an_answer_that_was_cut_by_a_crash_is_marked(tmp_path: Path) -> None:
    def crashed(store: Store) -> None:
        chat_id = forty_cases(store)[0]
        store.connection.execute("UPDATE answers SET state = 'open' WHERE place = (SELECT max(place) FROM answers)")
        assert store.load(chat_id).turns[-1].state == "open"

    async with chat_on(make_vault(tmp_path / "vault", crashed)).run_test() as pilot:
        await unlocked(pilot)
        await shows(pilot, "Drugazole00", "CUT OFF")
        assert chat_of(pilot)._conversation.turns[-1].state == "interrupted"
        await pilot.press("ctrl+o")
        await shows(pilot, "interrupted")
        assert "Drugazole" not in screen_text(pilot)


async def test_what_is_typed_right_after_a_switch_goes_to_the_other_chat(tmp_path: Path) -> None:
    """A question that is typed at once must not be sent to the patient before."""
    folder = make_vault(tmp_path / "vault", forty_cases)
    app = chat_on(folder, ["Wait."])
    async with app.run_test(size=(80, 24)) as pilot:
        await enter(pilot)
        await shows(pilot, "Alder")
        app.chat.action_new_chat()
        send(pilot, "typed at once")
        await shows(pilot, "▌typed at once")
        assert not app.chat._conversation.turns
        app.chat.action_chats()
        send(pilot, "Osler")
        await shows(pilot, "▌Osler")
        app.screen._choose(app.screen.shown.chosen)  # type: ignore[attr-defined]
        send(pilot, "and next")
        await shows(pilot, "▌and next", "Osler")


async def test_a_text_is_kept_while_it_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, go_on = make_vault(tmp_path / "vault"), threading.Event()
    checked = cased.mismatches

    def slow(*args: Any) -> Any:
        go_on.wait(10)
        return checked(*args)

    monkeypatch.setattr(cased, "mismatches", slow)
    async with chat_on(folder, ["Rest."]).run_test() as pilot:
        await unlocked(pilot)
        send(pilot, "What helps with pain?\r")
        while not chat_of(pilot).query_one(Composer).sending:  # `wait_until` would wait for the check to end
            await asyncio.sleep(0.05)
        await chat_of(pilot).save()
        assert await stored(pilot, draft) == "What helps with pain?"
        go_on.set()
        await shows(pilot, "Rest.")
        await chat_of(pilot).save()
        assert await stored(pilot, draft) == ""


async def test_a_changed_question_and_the_draft_below_it_are_kept(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    async with chat_on(folder, ["Rest."]).run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "What helps?", "enter")
        await shows(pilot, "Rest.")
        await write(pilot, "a draft", "f4")
        await wait_until(pilot, lambda: pilot.app.screen.query_one(Composer).text == "What helps?")
        await chat_of(pilot).save()
        assert await stored(pilot, draft) == "a draft"
        await write(pilot, " Today?")
        await chat_of(pilot).save()
        assert await stored(pilot, draft) == "a draft\nWhat helps? Today?"
