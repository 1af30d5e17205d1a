"""The way in: the first run, the passphrase, and what may be wrong with a vault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from edgemed.errors import ModelFileError, VaultBusy, VaultDamaged, VaultError
from edgemed.tui.app import ChatApp
from edgemed.tui.first_run import FirstRun
from edgemed.tui.screens.first_run import FirstRunScreen, in_columns
from edgemed.tui.screens.unlock import UnlockScreen
from edgemed.tui.strings.vault import vault_strings
from edgemed.vault.folder import exists, unlock
from testing.fake_engine import FakeEngine
from tests.tui.driving import screen_text, send, shows, wait_until
from tests.tui.vaults import PASSPHRASE, FirstChat, chat_on, enter, entrance, make, make_vault

pytestmark = pytest.mark.slow


async def type_in(pilot: Pilot[None], text: str, *keys: str) -> None:
    """Type `text` into the form's field."""
    await wait_until(pilot, lambda: isinstance(pilot.app.focused, Input))
    assert isinstance(pilot.app.focused, Input)
    pilot.app.focused.insert_text_at_cursor(text)
    await pilot.press(*keys or ["enter"])


def recovery_word(run: FirstRun) -> str:
    """The word that is asked for."""
    number = int(run.question.heading.removeprefix("Word ").rstrip("?"))
    return run._recovery[number - 1]


async def answer_until(pilot: Pilot[None], step: str) -> FirstRun:
    """Answer the first run's questions until it asks this one."""
    assert isinstance(pilot.app.screen, FirstRunScreen)
    run = pilot.app.screen._first_run
    answers = {"passphrase": PASSPHRASE, "repeat": PASSPHRASE, "others": "n", "pin": "2580", "words": ""}
    while run.step != step:
        if run.step != "make":
            at = run._at
            await type_in(pilot, answers.get(run.step) or (recovery_word(run) if run.step == "check" else ""))
            assert run._at > at, screen_text(pilot)
        await wait_until(pilot, lambda: run.step != "make")
    return run


async def test_the_first_run_makes_a_vault_and_opens_the_chat(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    async with FirstChat(entrance=entrance(folder)).run_test() as pilot:
        await shows(pilot, "A passphrase for your chats", "Five random words:", "F5")
        await answer_until(pilot, "words")
        await shows(pilot, "Write these words on paper", " 1 ", "24 ")
        await answer_until(pilot, "done")
        await shows(pilot, "Kept on this computer, encrypted", "Type a question")
        assert pilot.app.chat.cover(5)._pin  # type: ignore[attr-defined]
        await pilot.press("ctrl+q")
    vault = unlock(folder, PASSPHRASE)
    assert vault.do(lambda store: store.setting("pin")).result()
    vault.close()


async def test_the_first_run_takes_nothing_that_would_be_regretted(tmp_path: Path) -> None:
    async with FirstChat(entrance=entrance(tmp_path / "vault")).run_test() as pilot:
        await type_in(pilot, "too short")
        await shows(pilot, "Too weak.")
        await type_in(pilot, PASSPHRASE)
        await type_in(pilot, PASSPHRASE + "r")
        await shows(pilot, "This is not the same passphrase.", "A passphrase for your chats")
        await answer_until(pilot, "others")
        await type_in(pilot, "maybe")
        await shows(pilot, "Type y or n.")
        await answer_until(pilot, "pin")
        await type_in(pilot, "1111")
        await shows(pilot, "A PIN has 4 to 8 digits")
        run = await answer_until(pilot, "check")
        await type_in(pilot, "wrong")
        await shows(pilot, "This is not word")
        await pilot.press("escape")
        await shows(pilot, "Write these words on paper", run._recovery[11])


async def test_the_suggested_words_can_be_taken_and_changed(tmp_path: Path) -> None:
    async with FirstChat(entrance=entrance(tmp_path / "vault")).run_test() as pilot:
        await shows(pilot, "Five random words:")
        assert isinstance(pilot.app.screen, FirstRunScreen)
        run = pilot.app.screen._first_run
        first = run._suggestion
        await pilot.press("f5")
        await wait_until(pilot, lambda: run._suggestion != first)
        await shows(pilot, run._suggestion)
        await type_in(pilot, "")
        await type_in(pilot, run._suggestion)
        assert run.step == "others"


def test_the_model_and_the_memory_are_asked_for_only_if_they_are_not_known(tmp_path: Path) -> None:
    known = entrance(tmp_path / "vault")

    def refuse(settings: Any) -> Any:
        raise ModelFileError(f"{settings.model} is not a model file.")

    asking = replace(known, settings=replace(known.settings, model=None), suggested_ram=12 << 30, open_session=refuse)
    run = FirstRun(asking, make)
    assert run._steps[:5] == ["passphrase", "repeat", "model", "memory", "others"]
    assert FirstRun(known, make)._steps[:3] == ["passphrase", "repeat", "others"]
    run.answer(PASSPHRASE)
    run.answer(PASSPHRASE)
    assert run.answer("/tmp/no.gguf") == "/tmp/no.gguf is not a model file."
    run._entrance = replace(asking, open_session=known.open_session)
    assert run.answer("~/some.gguf") == ""
    assert run._changes["model"] == Path.home() / "some.gguf"
    assert "12 GiB" in run.question.placeholder
    assert run.answer("lots") == vault_strings("en").not_a_size
    assert run.answer("8 GiB") == ""
    assert run._changes["ram"] == 8 << 30


def test_words_stand_in_columns_that_are_read_downwards() -> None:
    assert in_columns(("1 a", "2 bb", "3 c", "4 d", "5 e"), 2) == "1 a    4 d\n2 bb   5 e\n3 c"


async def test_unlocking_opens_the_last_chat_and_a_wrong_passphrase_says_so(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    async with chat_on(folder).run_test() as pilot:
        await shows(pilot, "Your chats are locked")
        await type_in(pilot, "not the passphrase")
        await shows(pilot, "This does not open the vault")
        assert pilot.app.focused.value == ""  # type: ignore[union-attr]
        await enter(pilot)
        await shows(pilot, "Type a question")


async def test_what_is_typed_while_the_key_is_derived_goes_nowhere(tmp_path: Path) -> None:
    """It may be a second try of a passphrase, which must not become a question."""
    folder = make_vault(tmp_path / "vault")
    async with chat_on(folder).run_test() as pilot:
        await shows(pilot, "Your chats are locked")
        screen = pilot.app.screen
        assert isinstance(screen, UnlockScreen)
        screen.wait("Opening")
        send(pilot, "hunter2\r")
        await pilot.pause(0.1)
        screen.go_on()
        await enter(pilot)
        await shows(pilot, "Type a question")
        assert "hunter2" not in screen_text(pilot)


async def test_the_passphrase_is_shown_only_on_request(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault")).run_test() as pilot:
        await type_in(pilot, "open sesame", "f6")
        await shows(pilot, "open sesame")
        await pilot.press("f6")
        await shows(pilot, "•••••••••••")
        assert "sesame" not in screen_text(pilot)


@pytest.mark.parametrize(
    ("error", "said", "chinese"),
    [
        (VaultBusy("Another program has the vault open."), "Another program", "已在本程序的另一个窗口"),
        (VaultDamaged("keys.json is damaged."), "keys.json is damaged.", "保险库已损坏"),
        (VaultError("written by a newer edgemed"), "a newer edgemed", "无法打开保险库"),
    ],
)
async def test_a_vault_that_does_not_open_says_why_and_offers_a_way_out(
    tmp_path: Path, error: VaultError, said: str, chinese: str
) -> None:
    def refuse(folder: Path, secret: str) -> Any:
        raise error

    class Refusing(ChatApp):
        def first_screen(self, entrance: Any) -> UnlockScreen:
            return UnlockScreen(entrance, refuse)

    folder = make_vault(tmp_path / "vault")
    async with Refusing(entrance=entrance(folder, language="zh-CN")).run_test() as pilot:
        await type_in(pilot, PASSPHRASE)
        await shows(pilot, chinese)
    async with Refusing(entrance=entrance(folder, FakeEngine(["An answer."]))).run_test() as pilot:
        await type_in(pilot, PASSPHRASE)
        await shows(pilot, said, "Ctrl+N")
        await pilot.press("ctrl+n")
        await shows(pilot, "UNSAVED CHAT: no text of it is kept", "Type a question")


async def test_a_second_program_on_the_vault_says_so(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    held = unlock(folder, PASSPHRASE)
    try:
        async with chat_on(folder).run_test() as pilot:
            await type_in(pilot, PASSPHRASE)
            await shows(pilot, "Another edgemed", "close it there first")
            held.close()
            await pilot.press("enter")  # the passphrase is still in the field
            await shows(pilot, "Type a question")
    finally:
        held.close()


async def test_a_model_that_is_gone_is_told_after_unlocking_and_the_vault_stays_closed(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")

    def gone(settings: Any) -> Any:
        raise ModelFileError("There is no /model.gguf.")

    async with ChatApp(entrance=replace(entrance(folder), open_session=gone)).run_test() as pilot:
        await enter(pilot)
        await shows(pilot, "There is no /model.gguf.")
        unlock(folder, PASSPHRASE).close()
    assert exists(folder)
