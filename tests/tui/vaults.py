"""Helpers for tests of the chat on a vault: a vault at low cost, and an entrance to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from edgemed.chat.conversation import Conversation
from edgemed.clinical import Language
from edgemed.settings import Settings
from edgemed.tui.app import ChatApp
from edgemed.tui.entrance import Entrance
from edgemed.tui.first_run import FirstRun
from edgemed.tui.screens.first_run import FirstRunScreen
from edgemed.vault.folder import Vault, create
from edgemed.vault.keys import Cost
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine, Step
from tests.tui.driving import session, wait_until

CHEAP = Cost(memory_kib=32, iterations=1, lanes=1)
PASSPHRASE = "correct horse battery staple"


def make(folder: Path, passphrase: str, ram_bytes: int | None = None) -> tuple[Vault, list[str]]:
    """`create`, at low cost."""
    return create(folder, passphrase, cost=CHEAP)


def make_vault(folder: Path, fill: Callable[[Store], Any] | None = None) -> Path:
    """A closed vault in `folder`, filled by `fill`."""
    vault, _ = make(folder, PASSPHRASE)
    if fill is not None:
        vault.do(fill).result()
    vault.close()
    return folder


def entrance(folder: Path, engine: FakeEngine | None = None, *, language: Language = "en", **settings: Any) -> Entrance:
    """The entrance to the vault in `folder`, with a scripted engine. Settings are kept in memory."""
    chosen = Settings(model=Path("/model.gguf"), **settings)
    return Entrance(
        folder,
        chosen,
        open_session=lambda settings: session(engine or FakeEngine(), language=language, use="unevaluated"),
        remember=lambda **changes: replace(chosen, **changes),
        language=language,
    )


def chat_on(folder: Path, *scripts: Sequence[Step], **options: Any) -> ChatApp:
    """The app in front of the vault in `folder`."""
    return ChatApp(entrance=entrance(folder, FakeEngine(*scripts), **options))


def chat_on_engine(folder: Path, engine: FakeEngine) -> ChatApp:
    """The app in front of the vault in `folder`, on this engine."""
    return ChatApp(entrance=entrance(folder, engine))


class FirstChat(ChatApp):
    """The app whose first run makes its vault at low cost."""

    def first_screen(self, entrance: Entrance) -> FirstRunScreen:
        return FirstRunScreen(entrance, FirstRun(entrance, make))


NAMES = """
Alder Bishop Cole Dunn Ellis Frost Grant Hayes Irwin Jonas Keane Lowry Marsh Nolan Osler Pratt Quinn Rowan Shaw Tate
Usher Vance Walsh Xavier Yates Zimmer Abbot Blake Crane Doyle Evans Flynn Gould Hardy Innes Jarvis Kemp Lloyd Mercer
Nash
"""
"""One for each of the 40 cases."""


def forty_cases(store: Store, *, now: float | None = None) -> list[str]:
    """40 cases, newest first: 3 of today, 6 of yesterday, the others older, the last ten older than 30 days.

    Returns the ids of their chats. The n-th case of yesterday has an answer about drug number n.
    """
    now = time.time() if now is None else now
    ages = [0.5 * 3600 * i for i in range(3)] + [86_400 + 1800 * i for i in range(6)]
    ages += [86_400 * days for days in range(2, 23)] + [86_400 * days for days in range(40, 50)]
    chats = []
    for number, (name, age) in reversed(list(enumerate(zip(NAMES.split(), ages, strict=True)))):
        store._clock = lambda at=now - age: at  # type: ignore[misc]
        case_id = store.new_case(f"{name}, {'FM'[number % 2]} {40 + number}")
        chat = Conversation(case_id=case_id)
        turn = chat.ask(f"What about the {number}. problem?")
        turn.asked = datetime.fromtimestamp(now - age, UTC)
        turn.raw, turn.state = f"Take {number + 10} mg of Drugazole{number:02}. K 6.2 需要注意胸痛。", "whole"
        store.keep(Snapshot.of(chat))
        chats.append(chat.id)
    store._clock = time.time
    return chats[::-1]


async def enter(pilot: Pilot[None]) -> None:
    """Type the passphrase."""
    await wait_until(pilot, lambda: isinstance(pilot.app.focused, Input))
    assert isinstance(pilot.app.focused, Input)
    pilot.app.focused.value = PASSPHRASE
    await pilot.press("enter")
