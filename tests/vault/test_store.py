"""Cases, chats and turns on a database in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings

from edgemed.chat.conversation import Conversation, Queued, State, Turn
from edgemed.clinical.case import CaseHeader
from edgemed.engine.process.protocol import Sampling
from edgemed.errors import VaultError
from edgemed.vault.rows import Snapshot, answer_row
from edgemed.vault.store import Store
from tests.chat.tree_machine import TreeMachine
from tests.vault.memory import Clock, memory_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    with memory_store(clock) as store:
        yield store


def chat(store: Store, *questions: str, case_id: str | None = None, state: State = "whole") -> Conversation:
    """A stored chat with these questions, each answered."""
    conversation = Conversation(case_id=case_id)
    for question in questions:
        turn = conversation.ask(question)
        turn.raw, turn.state = f"Answer to {question}", "whole"
    if questions:
        turn.state = state
    store.keep(Snapshot.of(conversation))
    return conversation


def facts(turn: Turn) -> dict[str, Any]:
    """Everything about a turn but the name of its last request."""
    return {**dataclasses.asdict(turn), "request": ""}


def assert_same(one: Conversation, other: Conversation) -> None:
    assert [facts(turn) for turn in one.all_turns] == [facts(turn) for turn in other.all_turns]
    assert [turn.id for turn in one.turns] == [turn.id for turn in other.turns]
    assert one.shown_ids == other.shown_ids
    for name in ("id", "case_id", "title", "system", "draft", "queued", "saved"):
        assert getattr(one, name) == getattr(other, name), name


class StoredTree(TreeMachine):
    """Writes every step as the journal does, and reads the conversation back."""

    def __init__(self) -> None:
        super().__init__()
        self.context = memory_store()
        self.store = self.context.__enter__()

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)

    def opened(self, turn: Turn) -> None:
        turn.sampling, turn.seed = Sampling(max_tokens=7), (1 << 64) - 1 - len(self.nodes)
        turn.weights_digest, turn.engine_version = "ab" * 32, "1.2.3"
        self.store.begin(Snapshot.of(self.conversation), answer_row(turn))
        self.same_when_loaded()

    def answered(self, turn: Turn) -> None:
        turn.prompt_digest, turn.context_used = "cd" * 32, 40
        self.store.write_answer(answer_row(turn))
        self.same_when_loaded()

    def withdrawn(self, turn: Turn) -> None:
        self.store.delete_turn(turn.id)
        self.same_when_loaded()

    def changed(self) -> None:
        self.store.keep(Snapshot.of(self.conversation))
        self.same_when_loaded()

    def same_when_loaded(self) -> None:
        if self.conversation.turns or self.conversation.draft.strip() or self.conversation.queued:
            assert_same(self.store.load(self.conversation.id), self.conversation)


TestStoredTree = pytest.mark.slow(StoredTree.TestCase)
TestStoredTree.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


# --- lists ---


def test_the_list_of_chats_says_what_a_screen_needs(store: Store, clock: Clock) -> None:
    case = store.new_case("Bed 4")
    first = chat(store, "Man, 72\nchest pain", "and K 6.2?", case_id=case, state="stopped")
    clock.pass_days(1)
    drafted = Conversation(draft="a draft\nof two lines", queued=[Queued("next")])
    store.keep(Snapshot.of(drafted))
    new, old = store.chats()
    assert (new.id, new.title, new.turns, new.queued, new.draft, new.state) == (drafted.id, "a draft", 0, 1, True, None)
    assert (old.id, old.case_id, old.title, old.turns, old.draft, old.state) == (
        first.id,
        case,
        "Man, 72",
        2,
        False,
        "stopped",
    )
    assert new.changed - old.changed == timedelta(days=1)
    assert [row.id for row in store.chats(case)] == [first.id]
    assert [(row.title, row.chats) for row in store.cases()] == [("Bed 4", 1)]


def test_the_heading_is_of_the_question_that_is_shown(store: Store) -> None:
    conversation = chat(store, "tow")
    conversation.edit(conversation.turns[0], "two").state = "stopped"
    store.keep(Snapshot.of(conversation))
    assert store.chats()[0].title == "two"
    store.rename("chats", conversation.id, "Bed 4")
    assert store.chats()[0].title == "Bed 4"
    assert store.load(conversation.id).title == "Bed 4"


def test_pinned_ones_come_first_then_the_latest(store: Store, clock: Clock) -> None:
    ids = []
    for title in ("a", "b", "c"):
        clock.pass_days(1)
        ids.append(chat(store, title).id)
    store.pin("chats", ids[0])
    clock.pass_days(1)
    store.save_draft(ids[1], "more")
    assert [row.title for row in store.chats()] == ["a", "b", "c"]
    store.pin("chats", ids[0], False)
    clock.pass_days(1)
    store.save_draft(ids[2], "more")
    assert [row.title for row in store.chats()] == ["c", "b", "a"], "pinning is no change"


def test_looking_at_another_branch_does_not_make_a_chat_newer(store: Store, clock: Clock) -> None:
    conversation = chat(store, "one")
    conversation.edit(conversation.turns[0], "uno").state = "stopped"
    store.keep(Snapshot.of(conversation))
    changed = store.chats()[0].changed
    clock.pass_days(1)
    conversation.show(conversation.all_turns[0])
    store.keep(Snapshot.of(conversation))
    assert store.chats()[0].changed == changed
    assert [turn.question for turn in store.load(conversation.id).turns] == ["one"]


def test_an_empty_chat_is_not_kept(store: Store) -> None:
    conversation = Conversation()
    store.keep(Snapshot.of(conversation))
    assert store.chats() == []
    conversation.draft = "x"
    store.keep(Snapshot.of(conversation))
    assert len(store.chats()) == 1
    conversation.draft = " "
    store.keep(Snapshot.of(conversation))
    assert store.chats() == []


# --- deleting ---


def test_deleted_is_hidden_until_it_is_brought_back_or_purged(store: Store, clock: Clock) -> None:
    case = store.new_case("Bed 4")
    inside, alone = chat(store, "inside", case_id=case), chat(store, "alone")
    store.delete("cases", case)
    assert store.cases() == []
    assert [row.title for row in store.cases(deleted=True)] == ["Bed 4"]
    assert [row.title for row in store.chats()] == ["alone"]
    store.undelete("cases", case)
    clock.pass_days(1)
    store.delete("chats", inside.id)
    store.undelete("chats", inside.id)
    assert [row.title for row in store.chats()] == ["alone", "inside"], "undo restores the order"
    store.delete("chats", alone.id)
    assert [row.title for row in store.chats()] == ["inside"]
    assert [row.title for row in store.chats(deleted=True)] == ["alone"]
    clock.pass_days(6)
    assert store.purge(7) == 0
    clock.pass_days(1)
    assert store.purge(7) == 1
    assert store.chats(deleted=True) == []
    with pytest.raises(VaultError, match="no longer in the vault"):
        store.load(alone.id)
    assert_same(store.load(inside.id), inside)


@pytest.mark.slow
def test_a_purged_case_takes_its_chats_along(store: Store) -> None:
    case = store.new_case("Bed 4")
    chat(store, *map(str, range(1200)), case_id=case)  # longer than SQLite lets a cascade go
    store.delete("cases", case)
    assert store.purge(0) == 1
    for table in ("cases", "chats", "turns", "answers", "queued"):
        assert store.connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_cases_untouched_for_a_month_are_offered_unless_pinned(store: Store, clock: Clock) -> None:
    old, pinned, used = (store.new_case(title) for title in ("old", "pinned", "used"))
    store.pin("cases", pinned)
    loose = chat(store, "loose")
    conversation = chat(store, "q", case_id=used)
    clock.pass_days(29)
    store.save_draft(conversation.id, "still at it")
    assert store.stale_cases() == []
    clock.pass_days(1.1)
    assert [case.id for case in store.stale_cases()] == [old]
    assert [row.id for row in store.stale_chats()] == [loose.id]
    clock.pass_days(-400)  # the clock of the computer was wrong
    assert store.stale_cases() == []


def test_a_chat_moves_between_cases_and_loses_none_of_its_turns(store: Store) -> None:
    one, two = store.new_case("one"), store.new_case("two")
    conversation = chat(store, "q", case_id=one)
    store.move(conversation.id, two)
    assert [row.chats for row in sorted(store.cases(), key=lambda row: row.title)] == [0, 1]
    conversation.draft = "more"
    store.keep(Snapshot.of(conversation))  # an open screen does not move it back
    assert store.load(conversation.id).case_id == two
    store.move(conversation.id, None)
    assert store.load(conversation.id).case_id is None


def test_a_chat_of_a_case_that_is_gone_is_kept_without_it(store: Store) -> None:
    conversation = chat(store, "q", case_id="gone")
    assert store.load(conversation.id).case_id is None


# --- answers ---


def test_open_answers_are_interrupted_after_a_restart(store: Store) -> None:
    conversation = chat(store, "one", "two", state="open")
    store.recover()
    loaded = store.load(conversation.id)
    assert [turn.state for turn in loaded.turns] == ["whole", "interrupted"]
    assert loaded.turns[1].raw == "Answer to two"
    assert loaded.resumable(loaded.turns[1])


def test_an_answer_whose_turn_was_erased_is_dropped(store: Store) -> None:
    conversation = chat(store, "one")
    store.delete_turn(conversation.turns[0].id)
    store.write_answer(answer_row(conversation.turns[0]))
    assert store.connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)


def test_what_utf8_cannot_hold_does_not_lose_the_rest(store: Store) -> None:
    conversation = Conversation(draft="5 \udcb5g")
    store.keep(Snapshot.of(conversation))
    assert store.load(conversation.id).draft == "5 ?g"


def test_a_nul_character_does_not_end_a_text(store: Store) -> None:
    conversation = chat(store, "5\0 mg")
    assert store.load(conversation.id).turns[0].question == "5\0 mg"


def test_settings_and_notes(store: Store) -> None:
    assert store.setting("pin") is None
    store.set_setting("pin", "hash")
    store.set_setting("pin", "other")
    assert store.setting("pin") == "other"
    store.set_setting("pin", None)
    assert store.setting("pin") is None
    conversation = chat(store, "q")
    store.note(conversation.turns[0].id, "ask the pharmacist")
    assert store.load(conversation.id).turns[0].note == "ask the pharmacist"
    store.note(conversation.turns[0].id, "asked", "Dr Jones", reviewed := datetime(2026, 11, 29, tzinfo=UTC))
    (turn,) = store.load(conversation.id).turns
    assert (turn.note, turn.reviewed_by, turn.reviewed) == ("asked", "Dr Jones", reviewed)


def test_what_a_template_told_the_model_is_kept(store: Store) -> None:
    conversation = Conversation()
    conversation.ask("Write: SOAP note", template="soap", instruction="Write a SOAP note.")
    store.keep(Snapshot.of(conversation))
    assert store.load(conversation.id).messages() == conversation.messages()
    assert store.load(conversation.id).turns[0].template == "soap"


def test_a_failed_transaction_changes_nothing(store: Store) -> None:
    conversation = chat(store, "one")
    conversation.draft = "draft"
    conversation.turns[0].length = None  # type: ignore[assignment]
    conversation.ask("two").length = None  # type: ignore[assignment]
    with pytest.raises(Exception, match="NOT NULL"):
        store.keep(Snapshot.of(conversation))
    assert not store.connection.in_transaction
    assert store.load(conversation.id).draft == ""


def test_a_chat_has_the_header_of_its_case(store: Store) -> None:
    header = CaseHeader(initials="JS", age="54", allergies="青霉素")
    case_id = store.new_case("Bed 4", header.dump())
    chat = Conversation(case_id=case_id, draft="half a quest")
    store.keep(Snapshot.of(chat))
    assert store.load(chat.id).header == header
    store.set_header(case_id, CaseHeader(age="55").dump())
    assert store.load(chat.id).header == CaseHeader(age="55")
    store.move(chat.id, None)
    assert store.load(chat.id).header == CaseHeader()


def test_a_header_is_searched_by_its_values(store: Store) -> None:
    store.new_case("Bed 4", CaseHeader(initials="JS", allergies="青霉素").dump())
    assert [found.text for found in store.texts() if found.where == "header"] == ["青霉素\nJS"]
