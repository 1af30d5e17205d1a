"""The interface's memory does not grow with the conversation, except by the texts themselves."""

from __future__ import annotations

import pytest

from edgemed.tui import windowing
from edgemed.tui.app import ChatApp
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript
from testing.fake_engine import FakeEngine
from tests.tui.driving import session, wait_until

ANSWER = "**Fever** is over 38 °C.\n\n- Drink.\n- Rest.\n"
FIRST, MOST = 3, 6
TURNS = 4 * MOST


@pytest.mark.slow
async def test_old_turns_leave_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted turn has thousands of Python objects. The caches of the toolkit are full after some 350 turns."""
    monkeypatch.setattr(windowing, "FIRST_MOUNTED", FIRST)
    monkeypatch.setattr(windowing, "MOST_MOUNTED", MOST)
    app = ChatApp(session(FakeEngine(*[[ANSWER]] * TURNS)))
    mounted, widgets = [], {}
    async with app.run_test(size=(50, 12)) as pilot:
        await wait_until(pilot, lambda: app.chat._engine_ready)
        transcript = app.chat.query_one(Transcript)
        for asked in range(1, TURNS + 1):
            app.chat.query_one(Composer).post_message(Composer.Sent(f"Question {asked}?"))
            await wait_until(pilot, lambda: len(app.chat._conversation.turns) == asked)  # noqa: B023
            await wait_until(pilot, lambda: app.chat._conversation.turns[-1].state != "open")
            await wait_until(pilot, lambda: not app.chat.answering)
            mounted.append(len(transcript.views))
            if mounted[-1] == FIRST:
                widgets[asked] = len(list(app.chat.walk_children()))
        assert transcript.views[-1].turn is app.chat._conversation.turns[-1]
    assert max(mounted) == MOST
    assert mounted.count(FIRST) > 3
    assert len({count for asked, count in widgets.items() if asked > MOST}) == 1
