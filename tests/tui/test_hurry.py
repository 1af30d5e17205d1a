"""Keys that arrive faster than the screen follows, and tiny terminals: the chat neither crashes nor loses text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.message import Message

from edgemed.clinical.watch import Seen
from edgemed.tui.app import ChatApp
from edgemed.tui.keys import PasteParser
from edgemed.tui.messages import Opened
from edgemed.tui.screens.chat import ChatScreen
from edgemed.tui.screens.noticed import NoticedPalette
from edgemed.tui.watching import Watching
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.turn import AnswerView
from testing.fake_engine import FakeEngine, Hold
from testing.pseudo_terminal import PseudoTerminal, chat_program
from tests.tui.driving import chat, send, session, shows, wait_until, write

CTRL_N, CTRL_P, CTRL_Q, CTRL_S, CTRL_T, CTRL_W = "\x0e", "\x10", "\x11", "\x13", "\x14", "\x17"
PAGE_DOWN = "\x1b[6~"
BACKSPACE, HOME, END, LEFT = "\x7f", "\x1b[H", "\x1b[F", "\x1b[D"
F5, F12 = "\x1b[15~", "\x1b[24~"
ALTERNATE_SCREEN = "\x1b[?1049h"


async def test_what_is_typed_while_the_chat_opens_is_not_lost() -> None:
    app = chat()
    compose = app.chat.compose

    def compose_while_keys_come() -> ComposeResult:
        for event in PasteParser().feed(f"early{PAGE_DOWN}{CTRL_N}"):
            app.post_message(event)
        yield from compose()

    app.chat.compose = compose_while_keys_come  # type: ignore[method-assign]
    async with app.run_test() as pilot:
        await shows(pilot, "mini", "early")
        assert pilot.app.screen.query_one(Composer).text == "early"


async def test_what_is_typed_while_the_chat_opens_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    app = chat()
    post = app.post_message

    def type_around_the_opening(message: Message) -> bool:
        opened = isinstance(message, Opened)
        early, later = (list(PasteParser().feed(text if opened else "")) for text in ("15 mg", ", not 51 mg"))
        return [post(each) for each in (*early, message, *later)][len(early)]

    monkeypatch.setattr(app, "post_message", type_around_the_opening)
    async with app.run_test() as pilot:
        await shows(pilot, "15 mg, not 51 mg")


SLOW_TERMINAL = """
import termios, time
set_terminal = termios.tcsetattr
termios.tcsetattr = lambda *arguments: (time.sleep(0.3), set_terminal(*arguments))
"""


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["", SLOW_TERMINAL], ids=["", "slow"])
def test_the_chat_can_be_left_while_it_opens(slow: str) -> None:
    """Until the chat has set the terminal, the terminal itself takes Ctrl+Q as flow control."""
    with PseudoTerminal(slow + chat_program('["first"]')) as terminal:
        terminal.wait_for(ALTERNATE_SCREEN)
        terminal.send(CTRL_Q)
        assert terminal.status() == 0


@pytest.mark.slow
async def test_enter_twice_chooses_a_command_once() -> None:
    async with chat(["first"]).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await pilot.press("ctrl+p")
        await shows(pilot, "Find a command", "New chat")
        send(pilot, "\r\r\r")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, NoticedPalette))
        assert isinstance(pilot.app.screen, ChatScreen)


async def test_the_palette_is_opened_and_used_at_once() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, CTRL_P + "\r\r\r")
        await pilot.pause(0.5)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))


async def test_clicks_while_the_palette_opens_close_it_once() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, CTRL_P + 2 * "\x1b[<0;1;23M\x1b[<0;1;23m")
        await pilot.pause(0.3)
        assert isinstance(pilot.app.screen, ChatScreen)


@pytest.mark.slow
async def test_a_page_down_in_a_palette_that_is_still_being_filled() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, CTRL_P + PAGE_DOWN)
        for _ in range(20):
            send(pilot, "z" + PAGE_DOWN)
            await pilot.pause(0.02)
            send(pilot, "\x7f" + PAGE_DOWN)
            await pilot.pause(0.02)
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))


async def test_keys_take_effect_in_the_order_they_were_typed() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, f"12{BACKSPACE}5 mg once{HOME}dose {END}, not{CTRL_W}daily")
        await wait_until(pilot, lambda: pilot.app.screen.query_one(Composer).text.endswith("daily"))
        assert pilot.app.screen.query_one(Composer).text == "dose 15 mg once, daily"


async def test_a_busy_screen_changes_no_dose(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Watching.asked

    async def slow(self: Watching, *arguments: Any) -> Seen:
        await asyncio.sleep(1.5)
        return await asked(self, *arguments)

    monkeypatch.setattr(Watching, "asked", slow)
    async with chat(["first"]).run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, f"one\rnext 12{BACKSPACE}5 mg{BACKSPACE}{BACKSPACE}ug an{LEFT}d")
        await wait_until(pilot, lambda: pilot.app.screen.query_one(Composer).text == "next 15 ug adn")
        await shows(pilot, "first")


async def test_the_key_that_hides_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    read = asyncio.Event()

    async def slow(self: Watching, *arguments: Any) -> Seen:
        await read.wait()
        return Seen()

    monkeypatch.setattr(Watching, "asked", slow)
    async with chat(["first"]).run_test() as pilot:
        await shows(pilot, "mini")
        send(pilot, f"one\r{F5}two{F5}{F5}{F12}")
        await shows(pilot, "Hidden")
        assert isinstance(pilot.app, ChatApp)
        assert pilot.app.chat.box.text == "two"
        read.set()
        await shows(pilot, "Hidden")


async def test_a_form_is_opened_and_filled_at_once() -> None:
    engine = FakeEngine(["first"])
    async with ChatApp(session(engine)).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "mini")
        send(pilot, f"{CTRL_T}64\rM\r80\rpenicillin: rash\r{CTRL_S}one\r")
        await shows(pilot, "first")
        (message,) = engine.asked[0]
        told = message.content.splitlines()
        assert {"Age: 64 years", "Sex: M", "Weight: 80 kg", "Allergies: penicillin: rash"} <= set(told), told
        assert told[-1] == "one"


async def test_what_is_typed_at_once_after_ctrl_n_is_for_the_new_chat() -> None:
    engine = FakeEngine(["first"], ["second"])
    async with ChatApp(session(engine)).run_test(notifications=True) as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        send(pilot, f"{CTRL_N}two\r")
        await shows(pilot, "second")
        assert [message.content for message in engine.asked[-1]] == ["two"]


async def test_a_question_and_a_new_chat_at_once() -> None:
    engine = FakeEngine(["never heard", Hold(), "nor this"], ["second"])
    async with ChatApp(session(engine)).run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        send(pilot, "one\r" + CTRL_N)
        await shows(pilot, "New chat.")
        await wait_until(pilot, lambda: not pilot.app.screen.query(AnswerView))
        await write(pilot, "two", "enter")
        await shows(pilot, "second")
        assert [message.content for message in engine.asked[-1]] == ["two"]


@pytest.mark.slow
async def test_a_new_chat_gives_the_waiting_question_back() -> None:
    async with chat(["first", Hold()]).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not pilot.app.screen.query(AnswerView))
        composer = pilot.app.screen.query_one(Composer)
        assert composer.text == "two"
        assert composer.cursor_location == (0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (3, 24)])
async def test_any_terminal_is_large_enough_to_stay_open(size: tuple[int, int]) -> None:
    async with chat(["**Rest**, and [fluids]."]).run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("a", "enter", "ctrl+p")
        await pilot.pause(0.1)
        await pilot.press("escape", "ctrl+n")
        await pilot.pause()
