"""A lock while something is under way: no text is lost, none is kept twice, and nothing fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgemed import supervisor
from edgemed.clinical.watch import Seen
from edgemed.tui.watching import Watching
from edgemed.vault.store import Store
from tests.tui.driving import send, wait_until
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import chat_on, make_vault

LEFT, RIGHT = "\x1b[D", "\x1b[C"


@pytest.mark.slow
async def test_a_lock_while_a_question_is_read_keeps_it_and_what_is_typed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(self: Watching, *arguments: Any) -> Seen:
        await asyncio.sleep(1.5)
        return Seen()

    monkeypatch.setattr(Watching, "asked", slow)
    folder = make_vault(tmp_path / "vault")
    app = chat_on(folder, ["One."])
    async with app.run_test() as pilot:
        await unlocked(pilot)
        send(pilot, "question\r")
        await asyncio.sleep(0.5)
        send(pilot, f"draft{LEFT}{RIGHT} of a letter")
        await asyncio.sleep(0.1)
        app.lock("desktop")
        await wait_until(pilot, lambda: app.return_code is not None)
        await asyncio.sleep(1.5)
    assert app.return_code == supervisor.LOCKED

    def kept(store: Store) -> list[tuple[list[str], list[str], str]]:
        chats = [store.load(row.id) for row in store.chats()]
        return [([turn.question for turn in c.turns], [each.text for each in c.queued], c.draft) for c in chats]

    assert in_vault(folder, kept) == [([], ["question"], "draft of a letter")]
