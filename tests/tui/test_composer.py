"""What is typed and pasted reaches the composer, whole and harmless, wherever the focus was."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot

from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.turn import AnswerView
from tests.support.fake_engine import Hold
from tests.tui.driving import chat, send, shows, wait_until, write


def composed(pilot: Pilot[None]) -> str:
    return pilot.app.screen.query_one(Composer).text


async def test_typing_after_a_click_on_an_answer() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "Rest.")
        await pilot.click(AnswerView)
        await wait_until(pilot, lambda: isinstance(pilot.app.focused, AnswerView))
        send(pilot, "and 5 mg?")
        await wait_until(pilot, lambda: composed(pilot) == "and 5 mg?")


async def test_pasting_after_tab() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "Rest.")
        await pilot.press("tab")
        await wait_until(pilot, lambda: isinstance(pilot.app.focused, AnswerView))
        send(pilot, "\x1b[200~a\rb\x1b[201~c")
        await wait_until(pilot, lambda: composed(pilot) == "a\nbc")


async def test_typing_where_nothing_has_the_focus() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        pilot.app.screen.set_focus(None)
        send(pilot, "ab")
        await wait_until(pilot, lambda: composed(pilot) == "ab")


async def test_keys_of_other_screens_stay_theirs() -> None:
    async with chat(["Take 5", Hold()]).run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("ctrl+p")
        await shows(pilot, "Find a command")
        send(pilot, "xyz")
        await shows(pilot, "xyz")
        await pilot.press("escape")
        await pilot.press("f1")
        await shows(pilot, "Esc closes this page")
        send(pilot, "ab")
        await pilot.press("q")
        await shows(pilot, "mini")
        assert composed(pilot) == ""


async def test_a_paste_brings_no_control_characters() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        composer = pilot.app.screen.query_one(Composer)
        composer.post_message(events.Paste("a\x1b[31m\r\nb\x07"))
        await wait_until(pilot, lambda: composer.text == "a[31m\nb")


async def test_a_long_paste_can_be_undone_and_done_again() -> None:
    lines = "\n".join(f"lab {number}" for number in range(20))
    async with chat().run_test(size=(120, 40)) as pilot:
        await shows(pilot, "mini")
        composer = pilot.app.screen.query_one(Composer)
        composer.post_message(events.Paste(lines))
        await wait_until(pilot, lambda: composer.text == lines)
        await pilot.press("ctrl+z")
        await wait_until(pilot, lambda: composer.text == "")
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: composer.text == lines)
