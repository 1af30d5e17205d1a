"""A conversation as data: the messages it sends to the engine, and the ids of its turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from edgemed.chat.conversation import Conversation, Turn
from edgemed.engine.process.protocol import Message


def test_the_engine_is_given_whole_turns_and_the_open_question() -> None:
    conversation = Conversation()
    first = conversation.ask("first")
    first.raw, first.state = "one\u200b", "whole"
    failed = conversation.ask("failed")
    failed.state = "failed"
    conversation.ask("last")
    assert conversation.messages() == [
        Message("user", "first"),
        Message("assistant", "one\u200b"),
        Message("user", "last"),
    ]


def test_an_answer_is_shown_visibly_and_given_back_as_it_was() -> None:
    turn = Turn("q", raw="a\u202eb")
    assert turn.text == "a⟨U+202E⟩b"
    assert turn.raw == "a\u202eb"


def test_queued_questions_join() -> None:
    conversation = Conversation()
    conversation.queue("one")
    conversation.queue("two")
    assert conversation.take_queued() == "one\n\ntwo"
    assert conversation.take_queued() == ""


def test_a_system_message_comes_first() -> None:
    conversation = Conversation(system="Be brief.")
    conversation.ask("Why?")
    assert conversation.messages() == [Message("system", "Be brief."), Message("user", "Why?")]


def test_two_conversations_never_share_an_id() -> None:
    conversations = [Conversation(), Conversation()]
    for conversation in conversations:
        for _ in range(1000):
            conversation.ask("q").state = "whole"
    ids = {turn.id for conversation in conversations for turn in conversation.turns}
    assert len(ids) == 2000
    assert all(len(each) == 32 for each in ids), "128 bits: no two processes draw the same"


def test_a_turn_knows_when_it_was_asked_whatever_the_time_zone() -> None:
    before = datetime.now(UTC)
    asked = Turn("q").asked
    assert before <= asked <= datetime.now(UTC)
    assert asked.utcoffset() == timedelta(0)
