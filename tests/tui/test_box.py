"""Before a question is sent: its length, the room for its answer, recalling, leaving."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from edgemed.chat.conversation import Conversation
from edgemed.tui import room
from edgemed.tui.app import ChatApp
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.strings.asking import asking_strings
from edgemed.tui.widgets.composer import Composer
from testing.fake_engine import FakeEngine, Hold, finished, info
from tests.tui.driving import chat, session, shows, shows_not, wait_until, write


def test_room_is_said_in_round_words_and_only_when_it_is_short() -> None:
    english, chinese = asking_strings("en"), asking_strings("zh-CN")
    assert room.room_left(110, "en", english) == "room for about 80 words of answer"
    assert room.room_left(8000, "en", english) == ""
    assert room.room_left(100, "zh-CN", chinese) == "约可回答 150 字"
    assert room.room_left(-400, "en", english).startswith("too long for the model by about 300 words")


def test_the_estimate_counts_what_waits() -> None:
    conversation = Conversation()
    alone = room.estimated_prompt(conversation, "胸痛", "standard")
    conversation.queue("x" * 400)
    assert room.estimated_prompt(conversation, "胸痛", "standard") == alone + 100


async def test_the_room_for_an_answer_is_said_before_the_question_is_sent() -> None:
    engine = FakeEngine(engine_info=info(n_ctx=400))
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "x" * 292)
        # A token for each character, as this engine counts, leaves 108; the estimate before that is larger.
        await shows(pilot, "standard answer · room for about 80 words of answer")
        composer(pilot).insert("x" * 200)
        await shows(pilot, "too long for the model by about")
        composer(pilot).clear()
        await shows_not(pilot, "standard answer")


async def test_brief_is_the_length_of_the_first_answers() -> None:
    engine = FakeEngine(["Rest."], ["Rest, because."])
    async with ChatApp(session(engine, length="brief")).run_test() as pilot:
        await write(pilot, "What helps?")
        await shows(pilot, "brief answer")
        await pilot.press("enter")
        await shows(pilot, "Rest.", "room left")
        assert engine.asked[0][-1].content.startswith("What helps?\n\nAnswer briefly")
        await pilot.press("f7", "f7")
        await shows(pilot, "full answer")
        await write(pilot, "Why?", "enter")
        await shows(pilot, "Rest, because.")
        assert engine.asked[1][-1].content.startswith("Why?\n\nAnswer in full")


async def test_up_in_an_empty_box_recalls_the_last_question() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await write(pilot, "What helps?", "enter")
        await shows(pilot, "Rest.")
        await write(pilot, "", "up")
        await wait_until(pilot, lambda: composer(pilot).text == "What helps?")


async def test_leaving_asks_only_if_text_would_be_lost() -> None:
    app = chat()
    async with app.run_test() as pilot:
        await write(pilot, "half a question", "ctrl+q")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await shows(pilot, "What you have typed was not sent. Quit and lose it?")
        await pilot.press("enter")  # the first choice is to stay
        await wait_until(pilot, lambda: not isinstance(app.screen, ChoiceScreen))
        assert composer(pilot).text == "half a question"
        await pilot.press("f1", "ctrl+q")  # from another page as well
        await shows(pilot, "What you have typed was not sent. Quit and lose it?")
        await pilot.press("escape", "escape")
        composer(pilot).clear()
        await pilot.press("ctrl+q")
    assert app.return_code == 0


@pytest.mark.slow
async def test_leaving_asks_while_an_answer_is_written() -> None:
    app = chat(["first", Hold()])
    async with app.run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await pilot.press("ctrl+q")
        await shows(pilot, "An answer is being written. Quit and lose this")
        await pilot.press("down", "enter")
    assert app.return_code == 0


async def test_a_full_context_keeps_the_case_in_the_next_chat() -> None:
    engine = FakeEngine(["Half", finished("Half", tokens=1, prompt=2047, reason="context")], ["Whole."])
    async with ChatApp(session(engine)).run_test(notifications=True) as pilot:
        await write(pilot, "A man of 60, chest pain.", "enter")
        await shows(pilot, "new chat (keeps the case)")
        await pilot.press("ctrl+n")
        await shows(pilot, "New chat with this case. Enter sends it.")
        assert composer(pilot).text == "A man of 60, chest pain."
        await pilot.press("enter")
        await shows(pilot, "Whole.")
        assert len(engine.asked[1]) == 1


def composer(pilot: Pilot[None]) -> Composer:
    return pilot.app.screen_stack[0].query_one(Composer)
