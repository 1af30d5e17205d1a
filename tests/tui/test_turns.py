"""Actions on a turn: again, edit, resume, versions, jumping, taking back, what the model saw."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from edgemed.engine.process.protocol import Message
from edgemed.errors import EngineDied
from edgemed.tui.app import ChatApp
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.seen import SeenScreen
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.turn import AnswerView
from testing.fake_engine import FakeEngine, Hold
from tests.tui.driving import chat, screen_text, session, shows, shows_not, wait_until, write


async def answered(pilot: Pilot[None], question: str, answer: str) -> None:
    await write(pilot, question, "enter")
    await shows(pilot, answer)
    await wait_until(pilot, lambda: not pilot.app.screen.answering)  # type: ignore[attr-defined]


def texts(asked: list[Message]) -> list[str]:
    return [message.content for message in asked]


async def test_another_answer_is_a_version_and_the_first_one_is_kept() -> None:
    engine = FakeEngine(["Rest."], ["Sleep."], ["More."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await answered(pilot, "What helps?", "Rest.")
        await pilot.press("f5")
        await shows(pilot, "Sleep.")
        await shows_not(pilot, "Rest.")
        assert texts(engine.asked[1]) == ["What helps?"]
        await wait_until(pilot, lambda: not pilot.app.screen.answering)  # type: ignore[attr-defined]
        await pilot.press("alt+left")
        await shows(pilot, "Rest.")
        await answered(pilot, "And then?", "More.")
        assert texts(engine.asked[2]) == ["What helps?", "Rest.", "And then?"]


async def test_an_edited_question_is_a_branch() -> None:
    engine = FakeEngine(["Rest."], ["Drink."], ["Cool it."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await answered(pilot, "A fever of 39", "Rest.")
        await answered(pilot, "And then?", "Drink.")
        await pilot.press("alt+up", "alt+up", "f4")
        await wait_until(pilot, lambda: composer(pilot).text == "A fever of 39")
        await shows(pilot, "changing an earlier question")
        await pilot.press("backspace", "8", "enter")
        await shows(pilot, "A fever of 38", "Cool it.")
        await shows_not(pilot, "And then?")
        assert texts(engine.asked[2]) == ["A fever of 38"]
        await pilot.press("alt+left")
        await shows(pilot, "A fever of 39", "And then?", "Drink.")


async def test_escape_leaves_a_question_as_it_was_and_gives_the_draft_back() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await answered(pilot, "A fever of 39", "Rest.")
        await write(pilot, "a draft", "f4")
        await wait_until(pilot, lambda: composer(pilot).text == "A fever of 39")
        await pilot.press("escape")
        await wait_until(pilot, lambda: composer(pilot).text == "a draft")


async def test_a_cut_answer_is_continued() -> None:
    engine = FakeEngine(["Take 5", Hold(), "never"], [" mg."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "dose?", "enter")
        await shows(pilot, "Take 5")
        await pilot.press("escape")
        await shows(pilot, "CUT OFF")
        await pilot.press("f6")
        await shows(pilot, "Take 5 mg.")
        await shows_not(pilot, "CUT OFF")
        assert engine.continued == ["", "Take 5"]


async def test_enter_on_an_answer_opens_its_menu() -> None:
    engine = FakeEngine(["Rest."], ["Rest, drink, sleep."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await answered(pilot, "What helps?", "Rest.")
        await pilot.press("alt+up", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await shows(pilot, "Copy the answer · F2", "Answer again, longer")
        assert "Resume" not in screen_text(pilot)
        assert "Earlier version" not in screen_text(pilot)
        await pilot.press(*["down"] * 5, "enter")
        await shows(pilot, "Rest, drink, sleep.")
        assert texts(engine.asked[1])[0].startswith("What helps?\n\nAnswer in full")


async def test_question_and_answer_are_copied_together() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await answered(pilot, "What helps?", "Rest.")
        await pilot.press("alt+c")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        assert "What helps?\n\nRest.\n" in pilot.app.clipboard


@pytest.mark.slow
async def test_jumping_goes_from_question_to_question_and_back_to_the_box() -> None:
    async with chat(["Rest."], ["Drink."], ["Sleep."]).run_test() as pilot:
        for question, answer in (("one", "Rest."), ("two", "Drink."), ("three", "Sleep.")):
            await answered(pilot, question, answer)
        for key, question in (("alt+up", "three"), ("alt+up", "two"), ("alt+down", "three")):
            await pilot.press(key)
            focused = pilot.app.focused
            assert isinstance(focused, AnswerView)
            assert focused.turn.question == question
        await pilot.press("alt+down")
        assert isinstance(pilot.app.focused, Composer)


async def test_a_question_without_an_answer_is_taken_back() -> None:
    engine = FakeEngine([Hold(), "never said"], ["Rest."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "wrong patient", "enter")
        await wait_until(pilot, lambda: len(engine.asked) == 1)
        await pilot.press("f8")
        await wait_until(pilot, lambda: not pilot.app.screen.query(AnswerView))
        assert composer(pilot).text == "wrong patient"
        assert not pilot.app.screen._conversation.all_turns  # type: ignore[attr-defined]
        composer(pilot).clear()
        await answered(pilot, "right patient", "Rest.")
        assert texts(engine.asked[1]) == ["right patient"]


async def test_a_question_that_kills_the_engine_while_it_is_taken_back_is_not_put_back_twice() -> None:
    engine = FakeEngine([Hold(), EngineDied("It died.")])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await wait_until(pilot, lambda: len(engine.asked) == 1)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not pilot.app.screen.answering)  # type: ignore[attr-defined]
        assert composer(pilot).text == "one"


async def test_what_waits_is_taken_back_first() -> None:
    async with chat(["first", Hold()]).run_test(notifications=True) as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        await pilot.press("f8")
        await wait_until(pilot, lambda: composer(pilot).text == "two")
        await pilot.press("f8")
        await shows(pilot, "The answer has begun.")


async def test_what_the_model_saw_has_the_digest_that_the_engine_told() -> None:
    engine = FakeEngine(["Rest."], ["Drink."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await answered(pilot, "What helps?", "Rest.")
        await answered(pilot, "And then?", "Drink.")
        await pilot.press("f9")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, SeenScreen))
        prompt = sum(len(text) for text in texts(engine.asked[1]))
        await shows(pilot, f"What the model saw: {prompt} tokens, SHA-256", "5eed5eed", "This is what was sent")
        await shows(pilot, "<user>What helps?<assistant>Rest.<user>And then?")
        assert "Drink." not in screen_text(pilot)


@pytest.mark.parametrize("key", ["f5", "f6", "f9", "f4", "alt+up", "alt+left"])
async def test_nothing_happens_to_an_empty_chat(key: str) -> None:
    async with chat().run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        await pilot.press(key)
        await pilot.pause()
        assert not pilot.app.screen.query(AnswerView)


def composer(pilot: Pilot[None]) -> Composer:
    return pilot.app.screen_stack[0].query_one(Composer)
