"""The audit's rows: what they hold, what they never hold, and how they are chained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlcipher3 import dbapi2

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.region import Region
from edgemed.vault.audit import COLUMNS, MOST_CHARACTERS, Entry, account
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.vault_fixture import conversation
from tests.vault.memory import memory_store

TEXTS = ("胸痛", "心电图", "ECG", "Calcium", "Answer briefly", "half a quest", "First look", "PENICILLIN", "王")


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as made:
        yield made


@pytest.fixture
def chat() -> Conversation:
    """A saved chat in a case, with answers and a header."""
    chat = conversation("c" * 32)
    chat.header = CaseHeader(allergies="PENICILLIN", initials="王")
    chat.region = Region(units="mmol/L")
    return chat


def rows(store: Store) -> list[dict[str, Any]]:
    return store._rows("SELECT * FROM audit ORDER BY sequence")


def whole_answer(chat: Conversation) -> Turn:
    return next(turn for turn in chat.all_turns if turn.state == "whole")


def test_an_answer_is_recorded_with_its_provenance_and_without_text(store: Store, chat: Conversation) -> None:
    turn = whole_answer(chat)
    store.record(Entry.asked(chat, turn, "abc123"))
    store.record(Entry.answered(chat, turn, "abc123"))
    asked, answered = rows(store)
    assert (asked["event"], answered["event"]) == ("asked", "answered")
    for row in (asked, answered):
        assert (row["case_id"], row["chat_id"], row["turn_id"]) == ("c" * 32, chat.id, turn.id)
        assert (row["rules"], row["who"], row["seed"]) == ("abc123", account(), str((1 << 64) - 1))
        assert (row["weights_digest"], row["prompt_digest"]) == ("ab" * 32, "cd" * 32)
        assert json.loads(row["sampling"])["seed"] == 7
    assert asked["question"] == answered["question"]
    assert answered["answer"] not in (None, answered["question"])
    told = json.loads(asked["details"])
    assert told["header"] == "allergies initials"  # the names of the fields
    assert (told["length"], told["units"], told["language"]) == ("brief", "mmol/L", "en")
    assert json.loads(answered["details"])["state"] == "whole"
    stored = json.dumps(rows(store), ensure_ascii=False)
    assert not any(text in stored for text in TEXTS)


def test_a_row_of_an_unsaved_chat_holds_time_event_and_rules_only(store: Store, chat: Conversation) -> None:
    unsaved = Conversation(saved=False, case_id="c" * 32, turns=chat.all_turns)
    turn = whole_answer(unsaved)
    store.record(Entry.asked(unsaved, turn, "abc123"))
    store.record(Entry.answered(unsaved, turn, "abc123"))
    store.record(Entry.of("flag_shown", unsaved, "abc123", {"rule": "ACS-1", "turn": turn.id, "case": "c" * 32}))
    for row in rows(store):
        kept = {name for name in COLUMNS if row[name] is not None}
        assert kept == {"time", "event", "rules"}


def test_ids_among_the_details_become_columns_and_long_details_are_cut(store: Store, chat: Conversation) -> None:
    told = {"turn": "t", "case": "other", "rule": "ACS-1", "count": 3, "long": "x" * 1000, "odd": "\ud800"}
    store.record(Entry.of("flag_shown", chat, "", told))
    store.record(Entry.of("deleted", None, "", {"chat": "gone"}))
    shown, deleted = rows(store)
    assert (shown["turn_id"], shown["case_id"], shown["chat_id"]) == ("t", "other", chat.id)
    assert json.loads(shown["details"]) == {"rule": "ACS-1", "count": 3, "long": "x" * MOST_CHARACTERS, "odd": "?"}
    assert (deleted["chat_id"], deleted["case_id"], deleted["details"]) == ("gone", None, None)


def test_who_is_the_clinician_if_there_is_a_name(store: Store) -> None:
    store.record(Entry.of("opened", None, "", {}))
    store.set_setting("clinician", "Dr Who")
    store.record(Entry.of("opened", None, "", {}))
    assert [row["who"] for row in rows(store)] == [account(), "Dr Who"]


def test_each_row_names_the_mac_of_the_row_before(store: Store) -> None:
    heads = [store.record(Entry.of("opened", None, "", {})) for _ in range(3)]
    found = rows(store)
    assert heads == [f"{row['sequence']}:{row['mac']}" for row in found]
    assert [row["previous"] for row in found] == ["", *(row["mac"] for row in found[:-1])]
    assert store.audit_head() == heads[-1]
    assert len({row["mac"] for row in found}) == 3


def test_two_vaults_give_different_macs_for_the_same_text(chat: Conversation) -> None:
    macs = set()
    for _ in range(2):
        with memory_store() as store:
            store.record(Entry.asked(chat, whole_answer(chat), ""))
            macs.add(rows(store)[0]["question"])
    assert len(macs) == 2


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET event = 'nothing'"])
def test_rows_are_only_appended(store: Store, statement: str) -> None:
    store.record(Entry.of("opened", None, "", {}))
    with pytest.raises(dbapi2.IntegrityError, match="audit rows are not"):
        store.connection.execute(statement)
    assert [row["event"] for row in rows(store)] == ["opened"]


def test_rows_outlast_a_purged_case(store: Store) -> None:
    case_id = store.new_case("王先生")
    chat = conversation(case_id)
    store.keep(Snapshot.of(chat))
    store.record(Entry.answered(chat, whole_answer(chat), ""))
    store.delete("cases", case_id)
    assert store.purge(days=0) > 0
    assert [row["case_id"] for row in rows(store)] == [case_id]
