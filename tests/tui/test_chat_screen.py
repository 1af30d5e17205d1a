"""The chat, driven with keys on a scripted engine."""

from __future__ import annotations

import asyncio
import re

import pytest
from textual.pilot import Pilot

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook
from edgemed.engine.process.protocol import PromptProgress
from edgemed.errors import EngineDied, EngineError, SetupError
from edgemed.tui import windowing
from edgemed.tui.app import ChatApp
from edgemed.tui.screens.confirm_copy import ConfirmCopyScreen
from edgemed.tui.screens.help import HelpScreen
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView
from testing.fake_engine import FakeEngine, Hold, Step, finished
from tests.tui.driving import DRAFT, chat, screen_text, session, shows, shows_not, wait_until, write

NOTICE = "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
CUT = "CUT OFF: a dose or a list may be incomplete"


async def test_a_question_is_answered_under_its_notice() -> None:
    async with chat(["Rest and ", "**fluids**."]).run_test() as pilot:
        await shows(pilot, "Model: mini, 13 MiB")
        await write(pilot, "What helps?", "enter")
        await shows(pilot, "What helps?", "Rest and fluids.", "room left 99 %", "first word in about")
        assert screen_text(pilot).count(NOTICE) == 1
        assert CUT not in screen_text(pilot)


async def test_the_first_line_is_the_header() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, NOTICE)
        assert (
            screen_text(pilot).splitlines()[0].strip()
            == "OFFLINE | AI TEXT, NOT VALIDATED | CHECK BEFORE USE | ab12cd34"
        )


async def test_a_real_model_has_no_demonstration_notice() -> None:
    async with chat(["Yes."], use="unevaluated").run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Yes.")
        assert "DEMONSTRATION" not in screen_text(pilot)


async def test_escape_stops_and_keeps_the_text() -> None:
    async with chat(["Take 5", Hold(), " mg"]).run_test() as pilot:
        await write(pilot, "dose?", "enter")
        await shows(pilot, "Take 5", "Esc stops")
        await pilot.press("escape")
        await shows(pilot, "Take 5", CUT, "stopped by you")


@pytest.mark.slow
async def test_a_question_waits_for_the_answer_before_it() -> None:
    hold = Hold()
    engine = FakeEngine(["first", hold], ["second"])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        hold.release()
        await shows(pilot, "second")
        await shows_not(pilot, "Next:")
        assert [message.content for message in engine.asked[1]] == ["one", "first", "two"]


async def test_stopping_gives_the_waiting_question_back() -> None:
    engine = FakeEngine(["first", Hold()])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        await pilot.press("escape")
        await shows(pilot, CUT)
        assert pilot.app.screen.query_one(Composer).text == "two"
        assert len(engine.asked) == 1


async def test_a_question_asked_while_loading_is_answered_afterwards() -> None:
    hold = Hold()
    engine = FakeEngine(["Here."])

    def slow_start(progress):  # type: ignore[no-untyped-def]
        progress("weights", 0.42)
        hold.released.wait()
        return engine

    async with ChatApp(session(engine, start=slow_start)).run_test() as pilot:
        await shows(pilot, "Loading the model: weights, 42 %")
        await write(pilot, "early", "enter")
        await shows(pilot, "Next: early")
        hold.release()
        await shows(pilot, "Here.")


async def test_the_prompts_progress_is_shown() -> None:
    hold = Hold()
    async with chat([PromptProgress(12, 40, 0), hold, "ok"]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Reading your text, 30 %")
        hold.release()
        await shows(pilot, "ok")


async def test_new_lines_do_not_send() -> None:
    async with chat(["ok"]).run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("a", "ctrl+j", "b", "alt+enter", "c", "shift+enter", "d")
        assert pilot.app.screen.query_one(Composer).text == "a\nb\nc\nd"
        await pilot.press("enter")
        await shows(pilot, "ok")


async def test_a_blank_question_is_not_sent() -> None:
    engine = FakeEngine()
    async with ChatApp(session(engine)).run_test() as pilot:
        await shows(pilot, "mini")
        await write(pilot, " \n ", "enter")
        await pilot.pause()
        assert engine.asked == []


async def test_the_engines_death_is_reported_and_it_restarts() -> None:
    engine = FakeEngine(["Half", EngineDied("It ran out of memory.")], ["Whole."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "Half", CUT, "It ran out of memory", "Your conversation is safe. Ctrl+R restarts it.")
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: engine.restarts == 1)
        await write(pilot, "two", "enter")
        await shows(pilot, "Whole.")
        assert [message.content for message in engine.asked[1]] == ["one", "Half", "two"]


async def test_a_death_between_questions_is_explained_and_the_next_question_restarts_the_engine() -> None:
    engine = FakeEngine(["Here."])
    async with ChatApp(session(engine)).run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        engine.alive = False
        await shows(pilot, "The model stopped (SIGKILL). Your conversation is safe. Ctrl+R restarts it.")
        await write(pilot, "one", "enter")
        await shows(pilot, "Here.", "The model stopped (SIGKILL). It is being restarted for your question.")
        assert engine.restarts == 1


async def test_a_death_that_nobody_has_seen_yet_does_not_cost_the_question() -> None:
    engine = FakeEngine(["Here."])
    async with ChatApp(session(engine)).run_test() as pilot:
        await shows(pilot, "mini")
        engine.alive = False
        await write(pilot, "one", "enter")
        await shows(pilot, "Here.")
        assert len(engine.asked) == engine.restarts == 1


@pytest.mark.slow
async def test_waiting_questions_restart_a_dying_engine_once() -> None:
    death = EngineDied("It ran out of memory.")
    hold = Hold()
    engine = FakeEngine([hold, death], [death], [death])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await wait_until(pilot, lambda: len(engine.asked) == 1)
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        hold.release()
        await wait_until(pilot, lambda: len(engine.asked) == 2)
        await shows(pilot, "The model is not running. Your conversation is safe.")
        await pilot.pause(0.2)
        assert engine.restarts == 1
        assert pilot.app.screen.query_one(Composer).text


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [-3, 2, 6, 12])
async def test_an_answer_that_ends_while_the_chat_closes_is_no_error(milliseconds: int) -> None:
    """It ends this long before or after Ctrl+Q. A question is queued, so the end of the answer would show the next."""
    hold = Hold()
    app = ChatApp(session(FakeEngine(["first", hold, "more"], ["second"])))
    async with app.run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await write(pilot, "two", "enter")
        await shows(pilot, "Next: two")
        ends = (hold.release, app.exit)
        for end in ends if milliseconds > 0 else reversed(ends):
            end()
            await asyncio.sleep(abs(milliseconds) / 1000)
    assert app.return_code == 0


async def test_a_question_that_failed_at_once_can_be_sent_again() -> None:
    async with chat([EngineError("The prompt does not fit.")]).run_test() as pilot:
        await write(pilot, "too long", "enter")
        await shows(pilot, "The prompt does not fit")
        composer = pilot.app.screen.query_one(Composer)
        assert composer.text == "too long"
        assert composer.cursor_location == (0, 8)


async def test_an_unforeseen_error_is_not_quoted() -> None:
    async with chat([ValueError("Mrs Miller, born 1950")]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "failed because of an error in edgemed (ValueError); try again")
        assert "Miller" not in screen_text(pilot)


async def test_a_full_context_is_said() -> None:
    async with chat(["Half", finished("Half", tokens=1, prompt=2047, reason="context")]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, CUT, "this conversation is now", "Ctrl+N: new chat", "room left 0 %")


@pytest.mark.slow
async def test_a_new_chat_starts_empty_and_the_old_one_can_come_back() -> None:
    engine = FakeEngine(["first"], ["second"])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not pilot.app.screen.query(AnswerView))
        await shows(pilot, "room left 100 %")
        await run_command(pilot, "Bring back")
        await shows(pilot, "first", "room left")
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not pilot.app.screen.query(AnswerView))
        await write(pilot, "two", "enter")
        await shows(pilot, "second")
        assert [message.content for message in engine.asked[1]] == ["two"]


async def test_an_abandoned_answer_does_not_write_into_the_next_chat() -> None:
    engine = FakeEngine(["early", Hold(), "late"], ["second"])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "early")
        await pilot.press("ctrl+n")
        await write(pilot, "two", "enter")
        await shows(pilot, "second")
        assert "late" not in screen_text(pilot)
        assert "early" not in screen_text(pilot)


async def test_an_abandoned_answer_comes_back_with_what_it_had_said() -> None:
    engine = FakeEngine(["first", Hold(), "never said"])
    async with ChatApp(session(engine)).run_test() as pilot:
        await write(pilot, "one", "enter")
        await shows(pilot, "first")
        await pilot.press("ctrl+n")
        await run_command(pilot, "Bring back")
        await shows(pilot, "one", "first", CUT, "stopped by you")
        assert not pilot.app.chat.answering  # type: ignore[attr-defined]


class Failing(Hook):
    """A hook that raises, before the answer or after it."""

    def __init__(self, when: str) -> None:
        self._when = when

    def before(self, conversation: Conversation, turn: Turn) -> None:
        self._raise("before")

    def after(self, conversation: Conversation, turn: Turn) -> None:
        self._raise("after")

    def _raise(self, when: str) -> None:
        if when == self._when:
            raise SetupError("The disk is full.")


async def test_a_hook_that_fails_first_keeps_the_question_in_the_composer() -> None:
    engine = FakeEngine(["never said"])
    async with ChatApp(session(engine, hooks=[Failing("before")])).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "The disk is full")
        assert engine.asked == []
        assert pilot.app.screen.query_one(Composer).text == "q"


async def test_a_hook_that_fails_afterwards_is_heard_of_and_the_answer_stays_whole() -> None:
    app = ChatApp(session(FakeEngine(["Rest."], ["More."]), hooks=[Failing("after")]))
    async with app.run_test(notifications=True) as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Rest.", "The disk is full.")
        assert CUT not in screen_text(pilot)
        await pilot.press("escape")
        await write(pilot, "more?", "enter")
        await shows(pilot, "More.")


async def test_copying_adds_the_notices() -> None:
    async with chat(["Rest."]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Rest.", "first word")
        await wait_until(pilot, lambda: "Esc stops" not in screen_text(pilot))
        await pilot.press("f2")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        notice, draft, *rest = pilot.app.clipboard.split("\n")
        assert notice == NOTICE
        assert re.fullmatch(DRAFT, draft)
        assert rest == ["", "Rest.", ""]


async def test_copying_a_cut_answer_wants_a_yes() -> None:
    async with chat(["Take 5", Hold()]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5")
        await pilot.press("escape")
        await shows(pilot, CUT)
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ConfirmCopyScreen))
        assert NOTICE in screen_text(pilot)
        await pilot.press("enter")  # the first button, which has the focus, is "no"
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, ConfirmCopyScreen))
        assert pilot.app.clipboard == ""
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ConfirmCopyScreen))
        await pilot.press("tab", "enter")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        assert pilot.app.clipboard.endswith(f"Take 5\n{CUT}\n")


async def test_help_opens_and_closes_under_the_notice() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await shows(pilot, NOTICE, "Ctrl+Q", "quit")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))


def long_conversation(count: int) -> Conversation:
    conversation = Conversation()
    for number in range(count):
        turn = conversation.ask(f"Question {number}")
        turn.raw, turn.state = f"Answer {number}.", "whole"
    return conversation


@pytest.mark.slow
async def test_a_long_chat_keeps_only_its_last_turns_as_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowing, "MOST_MOUNTED", 22)
    answers: list[list[Step]] = [[f"New {number}."] for number in range(4)]
    async with ChatApp(session(FakeEngine(*answers)), long_conversation(20)).run_test() as pilot:
        transcript = pilot.app.screen.query_one(Transcript)
        for number, mounted in enumerate([21, 22, 20, 21]):
            await write(pilot, "More?", "enter")
            await shows(pilot, f"New {number}.")
            await wait_until(pilot, lambda: "Esc stops" not in screen_text(pilot))
            assert len(transcript.views) == mounted
        transcript.scroll_home(animate=False)
        await wait_until(pilot, lambda: len(transcript.views) > 21)
        transcript.scroll_home(animate=False)
        await shows(pilot, "Question 0")


@pytest.mark.slow
async def test_a_long_chat_that_comes_back_is_mounted_from_its_end() -> None:
    async with ChatApp(session(FakeEngine()), long_conversation(60)).run_test() as pilot:
        await shows(pilot, "Answer 59.")
        transcript = pilot.app.screen.query_one(Transcript)
        assert len(transcript.views) == 20
        transcript.scroll_home(animate=False)
        await wait_until(pilot, lambda: len(transcript.views) == 40)
        await shows(pilot, "Question 40")
        transcript.scroll_home(animate=False)
        await wait_until(pilot, lambda: len(transcript.views) == 60)
        transcript.scroll_home(animate=False)
        await shows(pilot, "Question 0")


@pytest.mark.slow
async def test_chinese_fills_the_line_to_its_last_column() -> None:
    question = "胸痛三天" * 30
    async with chat(["好" * 200], language="zh-CN").run_test(size=(80, 24)) as pilot:
        await shows(pilot, "演示模型：内容纯属编造。切勿输入真实患者信息")
        await write(pilot, question, "enter")
        await wait_until(pilot, lambda: screen_text(pilot).count("好") == 200)
        from rich.cells import cell_len

        assert all(cell_len(line) <= 80 for line in screen_text(pilot).splitlines())


async def run_command(pilot: Pilot[None], name: str) -> None:
    """Choose a command in the palette by its name."""
    await pilot.press("ctrl+p")
    await shows(pilot, "Find a command")
    await pilot.press(*("space" if character == " " else character for character in name))
    await shows(pilot, name)
    await pilot.pause(0.2)
    await pilot.press("enter")
