"""The lines above questions and answers, and reasoning that is folded away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical import Language
from edgemed.tui.app import ChatApp
from edgemed.tui.heads import Heads, clock
from edgemed.tui.strings import strings
from edgemed.tui.widgets.drawn import Drawn
from edgemed.tui.widgets.turn import AnswerView, Reasoning
from testing.fake_engine import DIGEST, FakeEngine, Hold
from tests.tui.driving import chat, screen_text, session, shows, shows_not, wait_until, write


def heads(language: Language = "en", *, use: str = "evaluated", version: tuple[int, int] = (1, 1)) -> Heads:
    return Heads(strings(language), language, weights_digest=DIGEST, intended_use=use, version=lambda turn: version)


def test_the_head_of_an_answer() -> None:
    turn = Turn("q", raw="Rest and fluids.", state="whole")
    assert heads().answer(turn) == f"edgemed ab12cd34 · {clock(turn.asked)} · 3 words · not verified"
    assert heads(use="demonstration").answer(turn).endswith(" · not verified · DEMONSTRATION")
    turn.raw = "休息，多喝水。"
    assert heads("zh-CN").answer(turn) == f"edgemed ab12cd34 · {clock(turn.asked)} · 5 字 · 未经核实"


def test_the_head_of_an_open_answer_counts_nothing() -> None:
    assert "word" not in heads().answer(Turn("q", raw="Rest"))


def test_the_head_of_a_question_tells_versions_apart() -> None:
    turn = Turn("q")
    assert heads().question(turn) == f"You · {clock(turn.asked)}"
    assert heads(version=(2, 3)).question(turn) == f"You · {clock(turn.asked)} · 2 of 3"
    assert heads("zh-CN", version=(2, 3)).question(turn).endswith(" · 第 2 个，共 3 个")


def test_a_time_has_its_date_unless_it_is_today() -> None:
    now = datetime.now(UTC)
    assert len(clock(now)) == 5
    assert clock(now - timedelta(days=1)).startswith(f"{(now - timedelta(days=1)).astimezone():%Y-%m-%d} ")


async def test_versions_are_shown_in_the_chat() -> None:
    conversation = Conversation()
    first = conversation.ask("How much?")
    first.raw, first.state = "5 mg", "whole"
    second = conversation.regenerate(first)
    second.raw, second.state = "2.5 mg", "whole"
    async with ChatApp(session(FakeEngine()), conversation).run_test() as pilot:
        await shows(pilot, "2 of 2", "2.5 mg")


async def test_reasoning_is_one_line_until_it_is_opened() -> None:
    async with chat(["<think>500 mg? ", "No, an allergy.", Hold()]).run_test() as pilot:
        await write(pilot, "How much?", "enter")
        await shows(pilot, "▸ The model's reasoning, 5 words")
        assert "allergy" not in screen_text(pilot)
        pilot.app.screen.query_one(Reasoning).focus()
        await pilot.press("enter")
        await shows(pilot, "No, an allergy.", "▾")
        await pilot.click(Reasoning)
        await shows_not(pilot, "No, an allergy.")


async def test_reasoning_is_never_copied() -> None:
    async with chat(["<think>500 mg?</think>Take 5 mg."]).run_test() as pilot:
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg.", "first word")
        await pilot.press("f2")
        await wait_until(pilot, lambda: bool(pilot.app.clipboard))
        assert pilot.app.clipboard.endswith("\n\nTake 5 mg.\n")
        pilot.app.screen.query_one(Reasoning).focus()
        await pilot.press("enter")
        await shows(pilot, "500 mg?")
        pilot.app.screen.text_select_all()
        assert "500" not in (pilot.app.screen.get_selected_text() or "")


@pytest.mark.parametrize("cut", [1, 4, 12, 30])
async def test_an_answer_that_arrives_in_pieces_ends_as_its_text(cut: int) -> None:
    text = "<think>Hm, 500 mg?</think>\n\n**Take** 5 mg."
    async with chat([text[:cut], text[cut:]]).run_test() as pilot:
        await write(pilot, "How much?", "enter")
        await shows(pilot, "Take 5 mg.", "first word")
        assert pilot.app.screen.query_one(AnswerView).query_one(".body", Drawn).shown == "Take 5 mg."
