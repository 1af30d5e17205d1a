"""Notifications cover nothing that is being read, and can be dismissed."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets._toast import Toast

from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript
from tests.tui.driving import chat, screen_text, shows, write

NEWS = "Copied. If nothing pastes"


async def copied(pilot: Pilot[None]) -> None:
    await write(pilot, "q", "enter")
    await shows(pilot, "The last line.", "first word")
    await pilot.press("f2")
    await shows(pilot, NEWS)


async def test_news_have_a_place_of_their_own() -> None:
    async with chat(["Rest. " * 400 + "\n\nThe last line."]).run_test(size=(60, 20), notifications=True) as pilot:
        await copied(pilot)
        toast = pilot.app.screen.query_one(Toast).region
        assert toast.height == 2
        for other in (Transcript, Composer):
            assert not toast.overlaps(pilot.app.screen.query_one(other).region)
        await shows(pilot, "The last line.", NEWS)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["escape", "click"])
async def test_news_can_be_dismissed(how: str) -> None:
    async with chat(["The last line."]).run_test(notifications=True) as pilot:
        await copied(pilot)
        await (pilot.click(Toast) if how == "click" else pilot.press("escape"))
        await pilot.pause(1)  # undismissed, a notification stays for 5 seconds
        assert NEWS not in screen_text(pilot)
