"""Typed and pasted text reaches the composer, complete and without control characters, whatever has the focus."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot

from edgemed.tui.keys import PasteParser, teach_keys
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.turn import AnswerView
from testing.fake_engine import Hold
from testing.pseudo_terminal import PseudoTerminal, chat_program
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


@pytest.mark.slow
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


def read(*reads: str) -> list[str]:
    """The keys that the parser reports for these reads; pastes are in braces."""
    parser = PasteParser()
    seen = []
    for data in reads:
        for event in parser.feed(data):
            assert isinstance(event, events.Key | events.Paste)
            seen.append(event.key if isinstance(event, events.Key) else f"{{{event.text}}}")
    return seen


PASTE = "a\x1b[200~one\x1b[31m\rtwo \x1b\x1b[201~b\x1b[200~three\x1b[201~"


@pytest.mark.slow
@given(st.lists(st.integers(0, len(PASTE)), max_size=6))
def test_a_paste_is_one_event_for_any_content_and_any_split_into_reads(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(PASTE)]
    reads = [PASTE[begin:end] for begin, end in itertools.pairwise(edges) if begin < end]
    assert read(*reads) == ["a", "{one[31m\rtwo }", "b", "{three}"]


@pytest.mark.parametrize(("data", "keys"), [("\x1b[A", ["up"]), ("\x1b[20~", ["f9"]), ("\x1b\r", ["ctrl+j"])])
def test_other_sequences_are_what_they_were(data: str, keys: list[str]) -> None:
    teach_keys()
    assert read(data) == read(*data) == keys


@pytest.mark.parametrize("data", ["\x1be", "\x1b[101;3u"], ids=["legacy", "kitty"])
def test_alt_and_a_letter_is_a_key_and_no_letter(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.ESCAPE_DELAY", 0.0)
    parser = PasteParser()
    (key,) = [*parser.feed(data), *parser.tick()]
    assert isinstance(key, events.Key)
    assert (key.key, key.is_printable) == ("alt+e", False)


@pytest.mark.slow
def test_an_end_mark_that_comes_in_two_reads_ends_the_paste() -> None:
    with PseudoTerminal(chat_program('["Rest."]')) as terminal:
        terminal.wait_for("mini")
        terminal.send("\x1b[200~one \x1b[31mtwo\r\x1b")
        time.sleep(0.3)  # longer than Textual waits for the rest of a key
        terminal.send("[201~three")
        terminal.wait_for("three")
        assert "Rest." not in terminal.output
        terminal.send("\r")
        terminal.wait_for("Rest.")
        terminal.send("\x11")
        assert terminal.status() == 0
        assert "one [31mtwo" in terminal.output
