"""The recorder: every answer becomes two rows, and a disk that is full loses none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.errors import VaultError
from edgemed.vault.recorder import Recorder
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine
from tests.vault.memory import Direct, memory_store


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as made:
        yield made


class Full(Direct):
    """A vault whose disk is full while `full` is True."""

    full = True

    def do(self, work: Callable[[Store], Any]) -> Future[Any]:
        if not self.full:
            return super().do(work)
        refused: Future[Any] = Future()
        refused.set_exception(VaultError("The disk is full."))
        return refused


def events(store: Store) -> list[str]:
    return [row["event"] for row in store._rows("SELECT event FROM audit ORDER BY sequence")]


def test_an_answer_is_recorded_before_and_after(store: Store) -> None:
    recorder, engine = Recorder(Direct(store), "rules"), FakeEngine(["Rest."])
    chat = Conversation()
    during = []
    for _ in ask(engine, chat, chat.ask("Fever?"), hooks=[recorder]):
        during.append(events(store))
    assert during[0] == ["asked"]
    assert events(store) == ["asked", "answered"]
    assert recorder.head == store.audit_head() != ""


def test_a_question_that_cannot_be_recorded_is_not_sent(store: Store) -> None:
    vault, engine, chat = Full(store), FakeEngine(["Rest."], ["Rest."]), Conversation()
    recorder = Recorder(vault)
    with pytest.raises(VaultError, match="full"):
        list(ask(engine, chat, chat.ask("Fever?"), hooks=[recorder]))
    assert engine.asked == []
    vault.full = False
    list(ask(engine, chat, chat.ask("Fever?"), hooks=[recorder]))
    assert events(store) == ["asked", "answered"]


def test_an_unsaved_chat_is_answered_although_it_cannot_be_recorded(store: Store) -> None:
    vault, engine, chat = Full(store), FakeEngine(["Rest."]), Conversation(saved=False)
    recorder = Recorder(vault)
    list(ask(engine, chat, chat.ask("Fever?"), hooks=[recorder]))
    assert chat.turns[0].state == "whole"
    assert recorder.fault == "The disk is full."


def test_rows_that_could_not_be_written_follow_in_their_order_with_their_times(store: Store) -> None:
    vault = Full(store)
    recorder = Recorder(vault)
    assert recorder.record("hidden").result() is None
    recorder.record("shown").result()
    assert (recorder.fault, events(store)) == ("The disk is full.", [])
    vault.full = False
    recorder.record("copied").result()
    assert (recorder.fault, events(store)) == ("", ["hidden", "shown", "copied"])
    times = [row["time"] for row in store._rows("SELECT time FROM audit ORDER BY sequence")]
    assert times == sorted(times)


def test_closing_tries_once_more(store: Store) -> None:
    vault = Full(store)
    recorder = Recorder(vault)
    recorder.record("hidden").result()
    vault.full = False
    recorder.close()
    assert events(store) == ["hidden"]


def test_a_closed_vault_is_a_fault_and_no_error() -> None:
    class Closed:
        def do(self, work: Callable[[Store], Any]) -> Future[Any]:
            raise VaultError("The vault is closed; unlock it again.")

    recorder = Recorder(Closed())
    recorder.record("hidden").result()
    assert recorder.fault == "The vault is closed; unlock it again."
