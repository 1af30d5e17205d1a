"""What an answer costs the screen while it streams, and chats that are left while they are drawn."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult

from edgemed.chat.conversation import Conversation
from edgemed.tui import windowing
from edgemed.tui.app import ChatApp
from edgemed.tui.widgets.drawn import Drawn
from edgemed.tui.widgets.transcript import Transcript
from testing.fake_engine import FakeEngine
from tests.tui.driving import session, shows, wait_until


class Page(App[None]):
    def compose(self) -> ComposeResult:
        yield Drawn("# Dose\n\nTake 5")


async def test_text_that_adds_no_line_costs_no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    layouts: list[bool] = []
    refresh = Drawn.refresh

    def watched(self: Drawn, *regions: Any, layout: bool = False, **options: Any) -> Drawn:
        layouts.append(layout)
        return refresh(self, *regions, layout=layout, **options)

    async with Page().run_test(size=(40, 10)) as pilot:
        drawn = pilot.app.query_one(Drawn)
        await pilot.pause()
        monkeypatch.setattr(Drawn, "refresh", watched)
        for piece, layout in (
            (" mg", False),
            (" of **ramipril**", False),
            (" every day, with water, after food", True),
        ):
            layouts.clear()
            drawn.append(piece)
            assert layouts == [layout], piece
            await pilot.pause()
            painted = ["".join(s.text for s in line).rstrip() for line in pilot.app.screen._compositor.render_strips()]
            assert painted[: len(drawn.shown.split("\n"))] == drawn.shown.split("\n")
        assert "Take 5 mg of ramipril every" in drawn.shown


async def test_leaving_a_long_chat_mounts_none_of_its_older_turns() -> None:
    long = Conversation()
    for number in range(2 * windowing.FIRST_MOUNTED):
        turn = long.ask(f"Question {number}?")
        turn.raw, turn.state = "Rest.", "whole"
    app = ChatApp(session(FakeEngine()), long)
    async with app.run_test(size=(60, 20)) as pilot:
        await wait_until(pilot, lambda: app.chat._engine_ready)
        transcript, mounted = app.chat.query_one(Transcript), []
        mount = transcript._mount

        async def watched(start: int, stop: int, **options: Any) -> None:
            mounted.append((start, stop))
            await mount(start, stop, **options)

        transcript._mount = watched  # type: ignore[method-assign]
        await pilot.press("ctrl+n")
        await shows(pilot, "For example")
        assert transcript.views == []
        assert mounted == [(0, 0)]
        await app.chat._bring_back()
        await shows(pilot, f"Question {2 * windowing.FIRST_MOUNTED - 1}?")
        assert app.chat.version_of(Conversation().ask("Of another chat?")) == (1, 1)
