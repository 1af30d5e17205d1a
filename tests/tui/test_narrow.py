"""What a terminal of 60 columns must show whole: the box's keys, the header, the head of the F9 page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.driving import chat, screen_text, shows, shows_not, write
from tests.tui.test_kept import unlocked
from tests.tui.vaults import chat_on, make_vault

NARROW = (60, 20)


async def test_the_box_names_the_keys_that_fit() -> None:
    async with chat().run_test(size=(80, 20)) as pilot:
        await shows(pilot, "Type a question. Enter: send · Ctrl+J: new line · F1 or ?: help")
        await pilot.resize_terminal(*NARROW)
        await shows_not(pilot, "F1 or")
        await shows(pilot, "Type a question. Enter: send · Ctrl+J: new line", "F1 help")


@pytest.mark.slow
async def test_no_page_of_the_vault_is_cut(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault"), ["Rest."]).run_test(size=NARROW) as pilot:
        await unlocked(pilot)
        await write(pilot, "What helps?", "enter")
        await shows(pilot, "Rest.", "not verified")
        await pilot.press("f9")
        await shows(pilot, "This is what was sent", "-o FILE")
        await pilot.press("escape")
        await write(pilot, "/pin", "enter")
        await shows(pilot, "PIN of the hidden screen")
        assert screen_text(pilot).splitlines()[0].strip() == "OFFLINE | AI TEXT, NOT VALIDATED | CHECK | ab12cd34"
