"""The hidden screen: what it shows, what opens it, what locks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from edgemed import supervisor
from edgemed.tui.app import ChatApp
from edgemed.tui.hiding.pin import digest_of
from edgemed.tui.screens.hidden import HiddenScreen
from edgemed.tui.screens.kept import KeptScreen
from edgemed.tui.screens.set_pin import SetPinScreen
from edgemed.tui.widgets.composer import Composer
from testing.fake_engine import Hold, Step
from tests.tui.driving import chat, screen_text, send, shows, wait_until, write
from tests.tui.vaults import PASSPHRASE, chat_on, enter, entrance, make_vault

pytestmark = pytest.mark.slow

F12 = "\x1b[24~"


def with_pin(folder: Path, *scripts: list[Step], **settings: Any) -> ChatApp:
    """The app on a vault whose PIN is 2580."""
    return chat_on(make_vault(folder / "vault", lambda store: store.set_setting("pin", digest_of("2580"))), *scripts)


async def unlocked(pilot: Pilot[None]) -> ChatApp:
    assert isinstance(pilot.app, ChatApp)
    app = pilot.app
    await enter(pilot)
    await wait_until(pilot, lambda: isinstance(app.screen, KeptScreen) and app.chat._engine_ready)
    return app


@pytest.mark.parametrize("key", ["f12", "ctrl+l"])
async def test_the_answer_goes_on_behind_the_hidden_screen_and_the_pin_shows_it(tmp_path: Path, key: str) -> None:
    hold = Hold()
    async with with_pin(tmp_path, ["Take 5 mg", hold, " twice."]).run_test() as pilot:
        app = await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg")
        await pilot.press(key)
        await shows(pilot, "Hidden", "The answer is still being written.")
        assert "Take" not in screen_text(pilot)
        assert "How much" not in screen_text(pilot)
        hold.release()
        await shows(pilot, "The answer is complete.")
        assert app.hidden
        await pilot.press(*"2580", "enter")
        await shows(pilot, "Take 5 mg twice.")


async def test_the_passphrase_shows_it_too_and_a_pasted_one_as_well(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        await unlocked(pilot)
        for typed in (PASSPHRASE, f"\x1b[200~{PASSPHRASE}\x1b[201~"):
            await pilot.press("f12")
            await shows(pilot, "Hidden")
            send(pilot, f"{typed}\r")
            await shows(pilot, "Type a question")
            assert PASSPHRASE not in screen_text(pilot)


async def test_five_wrong_pins_lock_however_they_are_spread(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        app = await unlocked(pilot)
        await pilot.press("f12")
        for left in (4, 3, 2):
            await pilot.press(*"1234", "enter")
            await shows(pilot, f"{left} more")
        await pilot.press(*"1234", "enter", *"9876", "enter")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.LOCKED


async def test_a_second_f12_locks_and_nothing_else_works_while_hidden(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        app = await unlocked(pilot)
        await pilot.press("f12")
        await shows(pilot, "Hidden")
        await pilot.press("f1", "ctrl+p", "ctrl+o", "ctrl+n", "escape", "ctrl+l", "f2")
        await pilot.pause(0.1)
        assert isinstance(app.screen, HiddenScreen)
        await pilot.press("f12")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.LOCKED


async def test_it_hides_over_any_page(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        app = await unlocked(pilot)
        for page in ("f1", "ctrl+p", "ctrl+o"):
            await pilot.press(page)
            await wait_until(pilot, lambda: app.screen is not app.chat)
            below = app.screen
            await pilot.press("f12")
            await shows(pilot, "Hidden")
            await pilot.press(*"2580", "enter")
            await wait_until(pilot, lambda below=below: app.screen is below)  # type: ignore[misc]
            await pilot.press("escape")
            await wait_until(pilot, lambda: app.screen is app.chat)


async def test_idle_hides_and_a_suspend_locks(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        app = await unlocked(pilot)
        assert app._guard.hide_seconds == 180
        app._guard.hide_seconds = 0.0
        await shows(pilot, "Hidden")
        app._guard.hide_seconds = 180.0
        await pilot.press(*"2580", "enter")
        await shows(pilot, "Type a question")
        app._guard.asleep = lambda: 1e9
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.LOCKED


async def test_on_a_shared_computer_it_locks_when_the_answer_ends(tmp_path: Path) -> None:
    hold = Hold()
    app = chat_on(make_vault(tmp_path / "vault"), ["Take 5 mg", hold], shared_computer=True)
    async with app.run_test() as pilot:
        await unlocked(pilot)
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg")
        await pilot.press("f12")
        await shows(pilot, "Hidden")
        await pilot.pause(1.2)
        assert not app._exit
        hold.release()
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.LOCKED


async def test_no_notification_is_shown_while_hidden(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test(notifications=True) as pilot:
        app = await unlocked(pilot)
        app.notify("Mrs Miller")
        await shows(pilot, "Mrs Miller")
        await pilot.press("f12")
        await shows(pilot, "Hidden")
        app.notify("Mr Smith")
        await pilot.pause(0.3)
        assert "Miller" not in screen_text(pilot)
        assert "Smith" not in screen_text(pilot)
        await pilot.press(*"2580", "enter")
        await shows(pilot, "Mr Smith")


async def test_what_is_typed_before_the_key_is_text_and_after_it_a_pin(tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        await unlocked(pilot)
        send(pilot, f"chest pain{F12}2580\r")
        await shows(pilot, "chest pain")


async def test_ctrl_z_asks_before_it_loses_an_unsaved_chat(tmp_path: Path) -> None:
    async with with_pin(tmp_path, ["Take 5 mg."]).run_test() as pilot:
        app = await unlocked(pilot)
        app.chat.action_unsaved_chat()
        await shows(pilot, "UNSAVED CHAT")
        send(pilot, "half a question\x1a")  # the key overtakes the text
        await shows(pilot, "What you have typed was not sent. Lock and lose it?")
        await pilot.press("enter")  # the first choice is to stay
        await shows(pilot, "half a question")
        await pilot.press("enter")
        await shows(pilot, "Take 5 mg.")
        await pilot.press("f1", "ctrl+z")  # from another page as well
        await shows(pilot, "This conversation is not saved. Lock and lose it?")
        await pilot.press("f12")
        assert app.hidden
        await pilot.press(*"2580", "enter")
        await shows(pilot, "Lock and lose it?")
        await pilot.press("ctrl+z")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.SUSPENDED


@pytest.mark.parametrize("typed", ["", "half a question"])
async def test_ctrl_z_asks_neither_while_hidden_nor_before_there_is_text(typed: str, tmp_path: Path) -> None:
    async with with_pin(tmp_path).run_test() as pilot:
        app = await unlocked(pilot)
        app.chat.action_unsaved_chat()
        await shows(pilot, "UNSAVED CHAT")
        if typed:
            await write(pilot, typed, "f12")
        await pilot.press("ctrl+z")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == supervisor.SUSPENDED


async def test_without_a_vault_enter_shows_the_chat(tmp_path: Path) -> None:
    async with chat().run_test() as pilot:
        await write(pilot, "a case")
        await pilot.press("f12")
        await shows(pilot, "Hidden", "Enter shows the chat")
        assert "a case" not in screen_text(pilot)
        await pilot.press("enter")
        await shows(pilot, "a case")


async def test_the_pin_is_set_and_removed(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault")).run_test() as pilot:
        app = await unlocked(pilot)
        kept = app.chat._kept
        assert kept is not None
        for typed, pin in (("4711", True), ("", False)):
            app.chat.action_set_pin()
            await shows(pilot, "PIN of the hidden screen")
            await pilot.press(*"12", "enter")
            await shows(pilot, "A PIN has 4 to 8 digits")
            await pilot.press("backspace", "backspace", *typed, "enter")
            await wait_until(pilot, lambda: not isinstance(app.screen, SetPinScreen))
            assert (kept.pin is not None) == pin
            assert (await kept.do(lambda store: store.setting("pin"))) == kept.pin
        assert app.chat.query_one(Composer).text == ""


async def test_the_minutes_until_it_hides_are_chosen_and_kept(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    told: list[dict[str, Any]] = []
    way_in = replace(entrance(folder, hide_minutes=5), remember=lambda **changes: told.append(changes))  # type: ignore[func-returns-value]
    async with ChatApp(entrance=way_in).run_test() as pilot:
        app = await unlocked(pilot)
        assert app._guard.hide_seconds == 300
        app.action_hide_after()
        app.action_hide_after()
        assert app._guard.hide_seconds == 60
    assert told == [{"hide_minutes": 10}, {"hide_minutes": 1}]
