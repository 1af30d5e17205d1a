"""The demonstration's vault: made anew at each start, open at once, and marked as fictitious on every screen."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from edgemed.clinical import Language, header_lines
from edgemed.commands._chat import Entered
from edgemed.commands._demo_vault import PASSPHRASE, PIN, _templates, demo_entrance, make_demo_vault
from edgemed.errors import VaultBusy
from edgemed.supervisor import Why
from edgemed.tui.app import ChatApp
from edgemed.tui.entrance import Entrance
from edgemed.tui.plain import door
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.widgets.composer import Composer
from edgemed.vault.folder import unlock
from testing.fake_engine import FakeEngine
from tests.tui.driving import screen_text, send, session, shows, wait_until, write

MARK: dict[Language, str] = {"en": "FICTITIOUS PATIENTS", "zh-CN": "虚构患者"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_demo_vault(tmp_path / "vault")
    return tmp_path / "vault"


def demo(folder: Path, *scripts: list[str], why: Why = "started", language: Language = "en") -> Entrance:
    """The entrance to the vault, on a scripted engine."""
    real = demo_entrance(
        Namespace(), Entered(why, sealed=True), folder=folder, model=Path("/model.gguf"), language=language
    )
    opened = replace(
        session(FakeEngine(*scripts), language=language),
        introduction=real.demonstration,
        demonstration=real.demonstration,
    )
    return replace(real, open_session=lambda settings: opened)


def test_it_is_made_anew_at_each_start(folder: Path) -> None:
    vault = unlock(folder, PASSPHRASE)
    vault.do(lambda store: store.new_case("A real patient")).result()
    with pytest.raises(VaultBusy):
        make_demo_vault(folder)
    vault.close()
    make_demo_vault(folder)
    vault = unlock(folder, PASSPHRASE)
    cases = vault.do(lambda store: store.cases()).result()
    vault.close()
    assert len(cases) == 8
    assert "A real patient" not in {case.title for case in cases}


def test_its_templates_are_gone_at_the_next_start(folder: Path) -> None:
    own = _templates(folder)
    own.mkdir()
    (own / "soap.txt").write_text("About a real patient")
    make_demo_vault(folder)
    assert not own.exists()


async def test_the_first_start_asks_nothing_and_keeps_what_is_typed(folder: Path) -> None:
    async with ChatApp(entrance=demo(folder)).run_test(size=(80, 24)) as pilot:
        send(pilot, "typed at once")
        await wait_until(pilot, lambda: isinstance(pilot.app.focused, Composer))
        await shows(pilot, "typed at once", MARK["en"], PASSPHRASE, PIN)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_every_screen_says_that_the_patients_are_fictitious(folder: Path, language: Language) -> None:
    app = ChatApp(entrance=demo(folder, ["Wait."], language=language))
    async with app.run_test(size=(60, 24)) as pilot:
        await write(pilot, "And now?", "enter")
        await shows(pilot, "Wait.", MARK[language])
        for keys in (["ctrl+o"], ["f1"], ["ctrl+p"], ["f9"]):
            await pilot.press(*keys)
            await wait_until(pilot, lambda: app.screen is not app.chat)
            await shows(pilot, MARK[language])
            await pilot.press("escape")
            await wait_until(pilot, lambda: app.screen is app.chat)
        await pilot.press("f12")
        await wait_until(pilot, lambda: app.hidden)
        await shows(pilot, MARK[language], PIN)
        await pilot.press(*PIN, "enter")
        await shows(pilot, "Wait.")


async def test_after_a_lock_it_asks_and_shows_the_passphrase(folder: Path) -> None:
    async with ChatApp(entrance=demo(folder, why="locked")).run_test(size=(80, 24)) as pilot:
        await shows(pilot, MARK["en"], PASSPHRASE, PIN)
        await wait_until(pilot, lambda: pilot.app.focused is not None)
        await pilot.press(*(key if key != " " else "space" for key in PASSPHRASE), "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.focused, Composer))
        assert "胸痛" in screen_text(pilot) or "R.T." in screen_text(pilot) or "M.O." in screen_text(pilot)


def test_line_mode_asks_nothing_either(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PlainChat, "run", lambda chat: len(chat.conversation.turns))

    def asks(prompt: str, *, secret: bool) -> str | None:
        raise AssertionError(prompt)

    assert door.chat_in_lines(demo(folder), ask=asks) == 0
    assert PASSPHRASE in capsys.readouterr().out


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_header_fits_80_and_60_columns(language: Language) -> None:
    lines = header_lines("c00a4b58" * 8, language=language, fictitious=True)
    assert all(line.startswith(MARK[language]) and line.endswith("c00a4b58") for line in lines)
    assert len(lines[-2]) <= 78
    assert len(lines[-1]) <= 58
