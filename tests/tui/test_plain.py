"""Line mode: the same engine and notices on two text streams."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time

import pytest

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook
from edgemed.errors import EngineDied, SetupError
from edgemed.tui.plain.chat import PlainChat
from testing.fake_engine import FakeEngine, Hold, finished
from testing.pseudo_terminal import PseudoTerminal
from tests.tui.driving import session

HEADER = "OFFLINE | AI TEXT, NOT VALIDATED | CHECK BEFORE USE | ab12cd34"
NOTICE = "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
CUT = "CUT OFF: a dose or a list may be incomplete"


def plain(engine: FakeEngine, typed: str = "") -> tuple[PlainChat, io.StringIO]:
    writer = io.StringIO()
    return PlainChat(session(engine), reader=io.StringIO(typed), writer=writer), writer


def test_questions_are_answered_until_the_input_ends() -> None:
    engine = FakeEngine(["Rest", "."], ["More."])
    chat, writer = plain(engine, "first\nand\\\nmore\n")
    assert chat.run() == 0
    said = writer.getvalue()
    assert said.splitlines()[:2] == [HEADER, NOTICE]
    assert "Answer:\nRest.\nEnd of answer.\n" + NOTICE in said
    assert [message.content for message in engine.asked[1]] == ["first", "Rest.", "and\nmore"]
    assert engine.closed


def test_a_new_chat_forgets() -> None:
    engine = FakeEngine(["one"], ["two"])
    chat, _ = plain(engine, "first\n/new\nsecond\n")
    chat.run()
    assert [message.content for message in engine.asked[1]] == ["second"]


def test_what_acts_is_shown() -> None:
    chat, writer = plain(FakeEngine(["\x1b[2J\u202e"]), "q\n")
    chat.run()
    assert "⟨U+001B⟩[2J⟨U+202E⟩" in writer.getvalue()
    assert "\x1b" not in writer.getvalue()


def test_a_cut_answer_says_so() -> None:
    chat, writer = plain(FakeEngine(["Take 5", finished("Take 5", tokens=2, prompt=1, reason="length")]), "q\n")
    chat.run()
    ended = "the answer reached its length limit · /resume: continue it"
    marks = "numbers not from your text: 1"
    assert f"Take 5\n{CUT} · {ended}\nEnd of answer.\n{marks}\n{NOTICE}" in writer.getvalue()


def test_the_engines_death_is_said_and_the_next_question_restarts_it() -> None:
    engine = FakeEngine(["Half", EngineDied("It ran out of memory.")], ["Whole."])
    chat, writer = plain(engine, "one\ntwo\n")
    assert chat.run() == 0
    assert f"{CUT} · It ran out of memory · " in writer.getvalue()
    assert "Whole." in writer.getvalue()
    assert engine.restarts == 1


def test_a_hook_that_fails_afterwards_is_heard_of_below_the_answer() -> None:
    class Full(Hook):
        def after(self, conversation: Conversation, turn: Turn) -> None:
            raise SetupError("The disk is full.")

    writer = io.StringIO()
    plain = PlainChat(session(FakeEngine(["Rest."]), hooks=[Full()]), reader=io.StringIO("q\n"), writer=writer)
    assert plain.run() == 0
    assert f"Rest.\nThe disk is full.\nEnd of answer.\n{NOTICE}" in writer.getvalue()


def test_one_question_ends_with_success_and_its_failure_with_1() -> None:
    chat, writer = plain(FakeEngine(["Yes."]))
    assert chat.ask_once("Is it?", max_tokens=5, seed=1) == 0
    assert "> Is it?\nAnswer:\nYes.\nEnd of answer.\n" + NOTICE in writer.getvalue()
    chat, _ = plain(FakeEngine([EngineDied("It died.")]))
    assert chat.ask_once("Is it?", max_tokens=5, seed=1) == 1


@pytest.mark.filterwarnings("error")
def test_an_interrupt_stops_the_answer_and_not_the_program() -> None:
    engine = FakeEngine(["Take 5", Hold(), " mg"], ["Next."])
    chat, writer = plain(engine, "one\ntwo\n")

    def interrupt() -> None:
        while "Answer:" not in writer.getvalue():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert chat.run() == 0
    assert f"Take 5\n{CUT} · stopped by you" in writer.getvalue()
    assert "Next." in writer.getvalue()


def test_a_full_context_names_the_command_of_this_mode() -> None:
    chat, writer = plain(FakeEngine(["Half", finished("Half", tokens=1, prompt=2047, reason="context")]), "q\n")
    chat.run()
    assert "this conversation is now too long for the model. /samecase: new chat" in writer.getvalue()


AT_TERMINAL = """
from edgemed.tui.plain.chat import PlainChat
from testing.fake_engine import FakeEngine
from tests.tui.driving import session
engine = FakeEngine(["Rest."], ["Drink."], ["Sleep."], ["Eat."])
PlainChat(session(engine)).run()
for messages in engine.asked:
    print("ASKED", ascii(messages[-1].content.replace("\\n", " / ")))
print("AFTER", *(len(messages) for messages in engine.asked))
"""
ANSWERED = f"{NOTICE}\r\n\r\n> "


@pytest.mark.slow
@pytest.mark.parametrize(
    "paste",
    ["A man of 60.\rFever.\r\rWhat is it?\r", "\x1b[200~A man of 60.\rFever.\r\rWhat is it?\x1b[201~\r"],
    ids=["by lines", "bracketed"],
)
def test_a_pasted_case_is_one_question(paste: str) -> None:
    with PseudoTerminal(AT_TERMINAL) as terminal:
        terminal.wait_for("> ")
        terminal.send(paste)
        terminal.wait_for(ANSWERED)
        terminal.send("And then?\r")
        terminal.wait_for(ANSWERED, times=2)
        terminal.send("\x04")
        assert terminal.status() == 0
        asked = re.findall("ASKED '(.*)'", terminal.output)
        assert asked == ["A man of 60. / Fever. /  / What is it?", "And then?"]


@pytest.mark.slow
def test_a_new_chat_typed_ahead_forgets_the_patient_before() -> None:
    with PseudoTerminal(AT_TERMINAL) as terminal:
        terminal.wait_for("> ")
        terminal.send("Patient A?\r/new\rPatient B?\r")
        terminal.wait_for(ANSWERED)
        terminal.send("\x04")
        assert terminal.status() == 0
        assert re.findall("ASKED '(.*)'", terminal.output) == ["Patient A?", "Patient B?"]
        assert "AFTER 1 1" in terminal.output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_leaves_the_terminal_as_it_was(number: signal.Signals) -> None:
    before = "import termios, atexit; was = termios.tcgetattr(0)\n"
    after = "atexit.register(lambda: print('SAME', termios.tcgetattr(0) == was))\n"
    run = """
from argparse import Namespace
from edgemed.commands._chat import converse
from testing.fake_engine import FakeEngine
from tests.tui.driving import session
try:
    converse(session(FakeEngine()), Namespace(plain=True))
except KeyboardInterrupt as interrupt:
    sys.exit(interrupt.exit_code)
"""
    with PseudoTerminal("import sys\n" + before + after + run) as terminal:
        terminal.wait_for("> ")
        terminal.signal(number)
        assert terminal.status() == 128 + number
        assert "SAME True" in terminal.output


@pytest.mark.slow
def test_a_line_longer_than_a_terminal_hands_over_arrives_whole() -> None:
    with PseudoTerminal(AT_TERMINAL) as terminal:
        terminal.wait_for("> ")
        terminal.send("x" * 6000 + "y\r")
        terminal.wait_for(ANSWERED)
        terminal.send("\x04")
        assert terminal.status() == 0
        assert f"ASKED '{'x' * 6000}y'" in terminal.output


@pytest.mark.slow
def test_nothing_that_line_mode_writes_to_a_terminal_is_an_escape_code() -> None:
    with PseudoTerminal(AT_TERMINAL) as terminal:
        terminal.wait_for("> ")
        terminal.send("What helps?\r")
        terminal.wait_for(ANSWERED)
        terminal.send("/help\r")
        terminal.wait_for("/quit: ")
        terminal.send("/quit\r")
        assert terminal.status() == 0
        assert "\x1b" not in terminal.output


def test_reasoning_is_left_out() -> None:
    pieces = ["<think>500 mg? ", "No, an allergy.</th", "ink>", "Start ", "1.25 mg once."]
    chat, writer = plain(FakeEngine(pieces), "q\n")
    chat.run()
    said = writer.getvalue()
    assert "The model's reasoning, 5 words, is left out.\nAnswer:\nStart 1.25 mg once.\nEnd of answer." in said
    assert "500 mg" not in said
    assert "think" not in said


def test_reasoning_without_an_opening_tag_is_named_afterwards() -> None:
    chat, writer = plain(FakeEngine(["500 mg? No. ", "An allergy.", "</think>Start 1.25 mg."]), "q\n")
    chat.run()
    said = writer.getvalue()
    assert "Answer:\n500 mg? No. " in said
    assert "The text above was the model's reasoning. Answer:\nStart 1.25 mg.\nEnd of answer." in said
