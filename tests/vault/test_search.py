"""Search: what is found, where, and how fast."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.errors import EngineError
from edgemed.vault.folding import Needle, fold
from edgemed.vault.journal import Journal
from edgemed.vault.rows import Snapshot
from edgemed.vault.search import Index
from testing.fake_engine import FakeEngine
from tests.vault.memory import Clock, Direct, memory_store

# --- folding and matching ---


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("胸痛", "患者主诉胸痛伴大汗"),
        ("K 6.2", "Na 140, K 6.2, Cr 90"),
        ("k 6.2", "potassium (K)\nwas 6.2"),
        ("K 6.2", "**K** is **6.2** mmol/L"),
        ("K 6.2", "Ｋ　６．２"),
        ("500mg", "500 mg twice"),
        ("500 mg", "500mg twice"),
        ("5 µg", "5 μg, the Greek letter"),
        ("5 mg", "5 ㎎"),
        ("m2", "1.73 m²"),
        ("37 °c", "37 ℃"),
        ("HbA1c", "hba1c 61"),
        ("STRASSE", "Straße"),
        ("e\u0301pine", "épine"),
        ("warfarin", "war\u200bfarin"),
        ("胸痛 大汗", "患者胸痛，伴有大汗"),
        ("<30", "eGFR <30"),
        ("penicillin\nallergy", "Penicillin   allergy"),
        ("pancrea", "acute pancreatitis"),
        ("itis", "acute pancreatitis"),
    ],
)
def test_found(query: str, text: str) -> None:
    assert Needle(query).matches(fold(text))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("K 6.2", "the week, and 6.2"),
        ("K 6.2", "K 16.2"),
        ("K 6.2", "K 5.6.2"),
        ("胸痛", "胸闷 腹痛"),
        ("warfarin dose", "the dose of heparin"),
        ("µg", "mg"),
    ],
)
def test_not_found(query: str, text: str) -> None:
    assert not Needle(query).matches(fold(text))


@given(st.text(max_size=60), st.integers(0, 60), st.integers(1, 20))
def test_every_part_of_a_text_finds_it(text: str, start: int, length: int) -> None:
    part = fold(text)[start : start + length]
    if part.strip():
        needle = Needle(part)
        assert needle.matches(fold(text)) == 2
        assert len(needle.line_of(text, fold(text))) <= 200


@pytest.mark.slow
def test_folding_twice_changes_nothing_more() -> None:
    for code in range(0x11_0000):
        if 0xD800 <= code < 0xE000:
            continue
        once = fold(f"a{chr(code)}b")
        assert fold(once) == once, hex(code)


def test_the_line_that_is_shown_is_the_original_with_its_capitals_and_units() -> None:
    text = "First line.\n\n| K | 6.2 mmol/L |\n" + "İ℃ ㎎ " * 500 + "\nthen Warfarin 5 mg OD, not 50\nLast line."
    folded = fold(text)
    assert Needle("warfarin 5").line_of(text, folded) == "then Warfarin 5 mg OD, not 50"
    assert Needle("last").line_of(text, folded) == "Last line."
    long = "x " * 5000 + "Warfarin 5 mg " + "y " * 5000
    shown = Needle("warfarin").line_of(long, fold(long))
    assert "Warfarin 5 mg" in shown
    assert len(shown) <= 160
    assert Needle("line. | k").line_of(text, folded), "a phrase over two lines still shows something"


# --- the index ---


@pytest.fixture
def vault() -> Iterator[Direct]:
    with memory_store(Clock()) as store:
        yield Direct(store)


def found(index: Index, query: str) -> list[tuple[str, str]]:
    return [(hit.found.where, hit.line) for hit in index.find(query)]


def test_everything_a_person_wrote_or_read_is_found(vault: Direct) -> None:
    store = vault.store
    case = store.new_case("Bed 4 kestrel", header="Man, 72, kestrel header")
    conversation = Conversation(case_id=case, title="kestrel title", draft="kestrel draft")
    turn = conversation.ask("kestrel question")
    turn.raw, turn.state, turn.note = "The KESTREL answer", "whole", "kestrel note"
    hidden = conversation.regenerate(turn)
    hidden.raw, hidden.state = "another kestrel", "whole"
    store.keep(Snapshot.of(conversation))
    index = Index()
    index.load(vault)
    assert sorted(found(index, "Kestrel")) == [
        ("answer", "The KESTREL answer"),
        ("answer", "another kestrel"),
        ("case", "Bed 4 kestrel"),
        ("draft", "kestrel draft"),
        ("header", "Man, 72, kestrel header"),
        ("note", "kestrel note"),
        ("question", "kestrel question"),
        ("question", "kestrel question"),
        ("title", "kestrel title"),
    ]
    assert {hit.found.case_id for hit in index.find("kestrel")} == {case}
    assert found(index, "") == found(index, " ") == []
    index.clear()
    assert len(index) == 0
    assert found(index, "kestrel") == []


def test_what_is_deleted_is_not_found_until_it_comes_back(vault: Direct) -> None:
    store, index = vault.store, Index()
    case = store.new_case("Bed 4")
    conversation = Conversation(case_id=case, draft="kestrel")
    store.keep(Snapshot.of(conversation))
    index.load(vault)
    for kind, id in (("chats", conversation.id), ("cases", case)):
        store.delete(kind, id)  # type: ignore[arg-type]
        index.changed(vault, kind, id)  # type: ignore[arg-type]
        assert found(index, "kestrel") == []
        fresh = Index()
        fresh.load(vault)
        assert found(fresh, "kestrel") == []
        store.undelete(kind, id)  # type: ignore[arg-type]
        index.changed(vault, kind, id)  # type: ignore[arg-type]
        assert found(index, "kestrel") == [("draft", "kestrel")]
    store.rename("cases", case, "Bed 5")
    index.changed(vault, "cases", case)
    assert found(index, "bed 4") == []
    assert len(found(index, "bed 5")) == 1


def test_a_new_answer_is_found_at_once_and_a_withdrawn_one_no_longer(vault: Direct) -> None:
    index = Index()
    journal, conversation = Journal(vault, index), Conversation(draft="heron")
    list(ask(FakeEngine(["A kestrel."]), conversation, conversation.ask("osprey"), hooks=[journal]))
    assert found(index, "kestrel") == [("answer", "A kestrel.")]
    assert found(index, "osprey") == [("question", "osprey")]
    journal.keep(conversation)
    assert found(index, "heron") == [("draft", "heron")]
    conversation.draft = ""
    journal.keep(conversation)
    assert found(index, "heron") == []
    failing = conversation.ask("petrel")
    with pytest.raises(EngineError):
        list(ask(FakeEngine([EngineError("It failed.")]), conversation, failing, hooks=[journal]))
    assert found(index, "petrel") == [("question", "petrel")]
    assert journal.withdraw(conversation, failing) == "petrel"
    assert found(index, "petrel") == []
    assert [turn.question for turn in vault.store.load(conversation.id).all_turns] == ["osprey"]


def test_a_chat_that_goes_on_while_the_index_is_read_is_not_set_back(vault: Direct) -> None:
    index, conversation = Index(), Conversation(draft="old draft")
    vault.store.keep(Snapshot.of(conversation))
    conversation.draft = "new draft"
    index.note_chat(Snapshot.of(conversation))
    index.load(vault)
    assert found(index, "draft") == [("draft", "new draft")]


def test_the_phrase_comes_before_the_words_and_the_latest_first(vault: Direct) -> None:
    clock = Clock()
    with memory_store(clock) as store:
        for draft in ("6.2 was the K", "K 6.2 yesterday", "K 6.2 today"):
            store.keep(Snapshot.of(Conversation(draft=draft)))
            clock.pass_days(1)
        index = Index()
        index.load(Direct(store))
    assert [line for _, line in found(index, "k 6.2")] == ["K 6.2 today", "K 6.2 yesterday", "6.2 was the K"]


SENTENCE = "the patient with chest pain left arm 患者主诉 胸痛伴大汗 K 6.2 mmol/L lactate 3.4 dose 500 mg twice a day"


@pytest.mark.slow
def test_two_thousand_messages_are_searched_in_less_than_a_tenth_of_a_second() -> None:
    draw, conversation, index, words = random.Random(7), Conversation(), Index(), SENTENCE.split()
    for _ in range(1000):
        turn = conversation.ask(" ".join(draw.choices(words, k=200)))
        turn.raw, turn.state = " ".join(draw.choices(words, k=1100)), "whole"
        index.note_turn(conversation, turn)
    for query in ("胸痛", "K 6.2", "500mg", "absent", "pain arm dose", "a"):
        taken = []
        for _ in range(3):
            began = time.thread_time()
            hits = index.find(query)
            taken.append(time.thread_time() - began)
        assert bool(hits) == (query != "absent")
        assert min(taken) < 0.1, (query, taken)
