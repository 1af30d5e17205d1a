"""Snapshots of the screens around the vault, accepted by eye, in three themes and at two sizes.

After an intended change, run it with `--snapshot-update` and look at every changed file.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mnemonic import Mnemonic
from textual.pilot import Pilot

from edgemed.clinical import Language
from edgemed.tui.app import ChatApp
from edgemed.tui.hiding.pin import digest_of
from edgemed.tui.screens.chats import ChatsScreen
from edgemed.tui.themes import CONTRAST, DARK, LIGHT
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine
from tests.tui.driving import shows, wait_until
from tests.tui.test_contrast import check
from tests.tui.test_door import answer_until
from tests.tui.vaults import FirstChat, chat_on, enter, entrance, forty_cases, make_vault

pytestmark = pytest.mark.slow

Compare = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]

NOW = datetime(2026, 11, 29, 11, 7, tzinfo=UTC)
LOOKS = [(DARK.name, (80, 24)), (LIGHT.name, (60, 20)), (CONTRAST.name, (80, 24)), (DARK.name, (60, 20))]


async def locked(pilot: Pilot[None]) -> None:
    await shows(pilot, "24")


async def refused(pilot: Pilot[None]) -> None:
    await shows(pilot, "24")
    await pilot.press(*"wrong", "enter")
    await shows(pilot, "does not open")


async def welcomed(pilot: Pilot[None]) -> None:
    await shows(pilot, "Five random words")


async def recovery(pilot: Pilot[None]) -> None:
    await answer_until(pilot, "words")
    await shows(pilot, "24 ")


async def hidden(pilot: Pilot[None]) -> None:
    await enter(pilot)
    await shows(pilot, "Drugazole00")
    await pilot.press("f12", *"1234", "enter")
    await shows(pilot, "4 more")


async def listed(pilot: Pilot[None]) -> None:
    await enter(pilot)
    await shows(pilot, "Drugazole00")
    await wait_until(pilot, lambda: len(pilot.app.chat._kept.index) > 100)  # type: ignore[attr-defined]
    await pilot.press("ctrl+o")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChatsScreen) and bool(pilot.app.screen.shown.rows))


async def found(pilot: Pilot[None]) -> None:
    await listed(pilot)
    await pilot.press(*"Drugazole")
    await shows(pilot, "Take 10 mg")


async def deleted(pilot: Pilot[None]) -> None:
    await listed(pilot)
    await pilot.press("4", "delete")
    await shows(pilot, "deleted")


async def unsaved(pilot: Pilot[None]) -> None:
    await enter(pilot)
    # The line about stale cases comes with a timer: once it is there, nothing but the chat changes.
    await shows(pilot, "Drugazole00", "Untouched for 30 days", "room left 98 %")
    assert isinstance(pilot.app, ChatApp)
    pilot.app.chat.action_unsaved_chat()
    await shows(pilot, "UNSAVED CHAT", "For example", "room left 100 %", "one that is kept")


SCREENS: dict[str, Before] = {
    "unlock": locked,
    "refused": refused,
    "first-run": welcomed,
    "recovery": recovery,
    "hidden": hidden,
    "chats": listed,
    "found": found,
    "deleted": deleted,
    "unsaved": unsaved,
}
CASES = [(name, theme, size, "en") for name in SCREENS for theme, size in LOOKS[:2]]
CASES += [(name, *LOOKS[2], "en") for name in ("recovery", "hidden", "deleted", "found")]
CASES += [("unlock", *LOOKS[2], "zh-CN"), ("chats", *LOOKS[3], "zh-CN"), ("unsaved", *LOOKS[2], "en")]


def filled(store: Store) -> None:
    forty_cases(store, now=NOW.timestamp())
    store.set_setting("pin", digest_of("2580"))


@pytest.fixture
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """One time and one time zone, words that are not random, and a cursor that does not blink."""
    monkeypatch.setattr("textual.widgets.Input.cursor_blink", False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("edgemed.tui.widgets.chat_rows.clock", lambda: NOW)
    monkeypatch.setattr(
        "edgemed.vault.words.new_recovery_words", Mnemonic("english").to_mnemonic(bytes(range(32))).split
    )
    monkeypatch.setattr("edgemed.tui.first_run.suggest_passphrase", lambda: "cradle orbit velvet mango seven")


@pytest.mark.usefixtures("_same_everywhere")
@pytest.mark.parametrize(("name", "theme", "size", "language"), CASES)
def test_the_door_looks_as_accepted(
    name: str, theme: str, size: tuple[int, int], language: Language, tmp_path: Path, snap_compare: Compare
) -> None:
    folder = tmp_path / "vault"
    if name in ("first-run", "recovery"):
        app: ChatApp = FirstChat(entrance=entrance(folder, FakeEngine(), theme=theme, language=language))
    else:
        app = chat_on(make_vault(folder, filled), theme=theme, language=language)
    assert snap_compare(app, terminal_size=size, run_before=SCREENS[name])


@pytest.mark.usefixtures("_same_everywhere")
@pytest.mark.parametrize("theme", [DARK.name, LIGHT.name, CONTRAST.name])
async def test_the_door_is_legible(theme: str, tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault", filled), theme=theme).run_test(size=(80, 24)) as pilot:
        await refused(pilot)
        check(pilot)
        await found(pilot)
        check(pilot)
        await pilot.press("delete")
        await shows(pilot, "deleted")
        check(pilot)
        await pilot.press("f12", *"1234", "enter")
        await shows(pilot, "4 more")
        check(pilot)
    async with FirstChat(entrance=entrance(tmp_path / "new", theme=theme)).run_test(size=(80, 24)) as pilot:
        await recovery(pilot)
        check(pilot)
