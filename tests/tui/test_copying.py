"""What is copied to the clipboard, and with which notices."""

from __future__ import annotations

import re

import pytest
from textual.pilot import Pilot

from edgemed.tui.screens.confirm_copy import ConfirmCopyScreen
from edgemed.tui.widgets.turn import AnswerView
from testing.fake_engine import Hold
from tests.tui.driving import DRAFT, chat, screen_text, shows, wait_until, write

NOTICE = "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
CUT = "CUT OFF: a dose or a list may be incomplete"


async def select_with_mouse(pilot: Pilot[None], text: str) -> None:
    """Drag from the first character of `text` on the screen to its last one."""
    row, line = next((row, line) for row, line in enumerate(screen_text(pilot).splitlines()) if text in line)
    start = line.index(text)
    await pilot.mouse_down(offset=(start, row))
    await pilot.hover(offset=(start + len(text) - 1, row))
    await pilot.mouse_up(offset=(start + len(text) - 1, row))
    await wait_until(pilot, lambda: pilot.app.screen.get_selected_text() == text)


async def test_a_selection_in_a_whole_answer_is_copied_at_once() -> None:
    async with chat(["Take 5 mg daily."]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5 mg daily.", "first word")
        await pilot.pause(0.2)  # at its end, the answer is rendered once more
        await select_with_mouse(pilot, "5 mg")
        await pilot.press("ctrl+c")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        assert re.fullmatch(f"{NOTICE}\n{DRAFT}\n\n5 mg\n", pilot.app.clipboard)


async def test_copying_twice_shows_the_text_for_selection() -> None:
    async with chat(["Take **5 mg** daily."]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5 mg daily.", "first word")
        await pilot.press("f2")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        await pilot.press("f2")
        await shows(pilot, "Select the text with the mouse", "Take 5 mg daily.", "not verified. Reviewed")
        await pilot.press("escape")
        await shows(pilot, "F1 help")


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [True, False])
async def test_a_selection_in_an_incomplete_answer_wants_a_yes_and_is_marked(stopped: bool) -> None:
    async with chat(["Take 5 mg", Hold()]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5 mg")
        if stopped:
            await pilot.press("escape")
            await shows(pilot, CUT)
        await select_with_mouse(pilot, "5 mg")
        await pilot.press("ctrl+c")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ConfirmCopyScreen))
        assert pilot.app.clipboard == ""
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        assert pilot.app.clipboard.endswith(f"\n\n5 mg\n{CUT}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "chosen"), [(("down",), "yes"), (("right", "left"), "no"), (("up",), "yes")])
async def test_arrows_choose_between_the_buttons(keys: tuple[str, ...], chosen: str) -> None:
    async with chat(["Take 5", Hold()]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5")
        pilot.app.screen.query_one(AnswerView).focus()
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ConfirmCopyScreen))
        await pilot.press(*keys)
        await wait_until(pilot, lambda: pilot.app.focused is not None and pilot.app.focused.id == chosen)
