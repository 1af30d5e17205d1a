"""The journal: what is on the disk, and when, while an answer arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook, ask
from edgemed.engine.process.protocol import Event, Piece
from edgemed.errors import EngineDied, VaultError
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.journal import WRITE_SECONDS, Journal
from edgemed.vault.search import Index
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine, Hold
from testing.timing import soon
from tests.vault.conftest import CHEAP, PASSPHRASE


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def vault(place: Path) -> Iterator[Vault]:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    yield vault
    vault.close()


class Faulty:
    """A vault that refuses work while `fault` is set, and takes `seconds` longer for it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.fault = ""
        self.seconds = 0.0
        self.works = 0

    def do(self, work: Callable[[Store], Any]) -> Future[Any]:
        fault, seconds, self.works = self.fault, self.seconds, self.works + 1

        def harder(store: Store) -> Any:
            time.sleep(seconds)
            if fault:
                raise VaultError(fault)
            return work(store)

        return self._vault.do(harder)


FULL = "The disk with vault.db is full; free some space, then try again."


def stored(vault: Vault, conversation: Conversation) -> list[tuple[str, str, str]]:
    """Question, answer and state of every turn on the disk."""
    loaded = vault.do(lambda store: store.load(conversation.id)).result()
    return [(turn.question, turn.raw, turn.state) for turn in loaded.all_turns]


def begin(engine: FakeEngine, conversation: Conversation, question: str, journal: Journal) -> Iterator[Event]:
    """Ask, and return the events after the first piece of text."""
    events = ask(engine, conversation, conversation.ask(question), hooks=[journal])
    next(event for event in events if isinstance(event, Piece))
    return events


def test_the_question_is_on_the_disk_before_it_is_sent(vault: Vault) -> None:
    conversation = Conversation()
    engine = FakeEngine(["5 mg"])
    seen: list[list[tuple[str, str, str]]] = []

    class Watching(Hook):
        def before(self, conversation: Conversation, turn: Turn) -> None:
            assert engine.asked == []
            seen.append(stored(vault, conversation))

    turn = conversation.ask("How much?")
    list(ask(engine, conversation, turn, hooks=[Journal(vault), Watching()]))
    assert seen == [[("How much?", "", "open")]]
    assert stored(vault, conversation) == [("How much?", "5 mg", "whole")]
    loaded = vault.do(lambda store: store.load(conversation.id)).result().turns[0]
    for name in ("sampling", "seed", "weights_digest", "engine_version", "prompt_digest", "asked", "context_used"):
        assert getattr(loaded, name) == getattr(turn, name) is not None


def test_what_is_shown_is_on_the_disk_within_a_second_even_if_nothing_follows(vault: Vault) -> None:
    hold, conversation, journal = Hold(), Conversation(), Journal(vault)
    engine = FakeEngine(["Take 5", hold, " mg"])
    events = begin(engine, conversation, "How much?", journal)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, events)  # waits for the hold: no event wakes the journal
        shown = time.monotonic()
        assert soon(lambda: stored(vault, conversation)[0][1] == "Take 5")
        assert time.monotonic() - shown < 1
        assert stored(vault, conversation)[0][2] == "open"
        assert soon(lambda: journal.behind == 0)
        hold.release()
        rest.result()
    assert stored(vault, conversation)[0][1:] == ("Take 5 mg", "whole")


def test_an_unsaved_chat_never_reaches_the_vault(vault: Vault, place: Path) -> None:
    before = {path: path.read_bytes() for path in place.iterdir()}
    faulty, index = Faulty(vault), Index()
    conversation, journal = Conversation(saved=False, draft="a draft"), Journal(faulty, index)
    conversation.queue("next")
    list(ask(FakeEngine(["5 mg"]), conversation, conversation.ask("How much?"), hooks=[journal]))
    journal.keep(conversation).result()
    journal.close()
    assert (faulty.works, len(index)) == (0, 0)
    assert {path: path.read_bytes() for path in place.iterdir()} == before


def test_a_full_disk_is_said_and_does_not_end_the_answer(vault: Vault) -> None:
    faulty, hold, conversation = Faulty(vault), Hold(), Conversation()
    journal = Journal(faulty)
    events = begin(FakeEngine(["Take 5", hold, " mg", " daily"]), conversation, "How much?", journal)
    faulty.fault = FULL
    assert soon(lambda: journal.fault == FULL)
    assert journal.behind > 0
    hold.release()
    with pytest.raises(VaultError, match=r"^The disk with vault\.db is full"):
        list(events)
    turn = conversation.turns[0]
    assert (turn.raw, turn.state, turn.reason) == ("Take 5 mg daily", "whole", "")
    assert stored(vault, conversation) == [("How much?", "", "open")]
    faulty.fault = ""
    assert soon(lambda: journal.fault == "")
    assert stored(vault, conversation) == [("How much?", "Take 5 mg daily", "whole")]
    assert soon(lambda: journal.behind == 0)


def test_a_question_that_cannot_be_kept_is_not_sent_and_its_successor_keeps_both(vault: Vault) -> None:
    faulty, conversation = Faulty(vault), Conversation()
    journal = Journal(faulty)
    faulty.fault = FULL
    engine = FakeEngine(["5 mg"])
    turn = conversation.ask("one")
    with pytest.raises(VaultError, match="free some space"):
        list(ask(engine, conversation, turn, hooks=[journal]))
    assert (turn.state, turn.reason, engine.asked) == ("failed", FULL, [])
    faulty.fault = ""
    list(ask(engine, conversation, conversation.ask("two"), hooks=[journal]))
    assert stored(vault, conversation) == [("one", "", "failed"), ("two", "5 mg", "whole")]


def test_a_slow_disk_is_noticed_and_slows_no_answer(vault: Vault) -> None:
    faulty, conversation = Faulty(vault), Conversation()
    journal = Journal(faulty)
    holds = [Hold() for _ in range(20)]
    script = [step for number, hold in enumerate(holds) for step in (f"{number} ", hold)]
    events = begin(FakeEngine(script), conversation, "How much?", journal)
    faulty.seconds = 3
    assert soon(lambda: journal.behind > 1)
    began = time.monotonic()
    for hold in holds[:-1]:
        hold.release()
        next(events)
    assert time.monotonic() - began < 1, "nineteen pieces beside a write of 3 s"
    faulty.seconds = 0
    holds[-1].release()
    list(events)
    assert soon(lambda: journal.behind == 0)
    assert stored(vault, conversation)[0][1] == conversation.turns[0].raw


def test_what_is_open_when_the_program_ends_can_be_resumed_in_the_next(vault: Vault, place: Path) -> None:
    conversation = Conversation()
    journal = Journal(vault)
    events = begin(FakeEngine(["Take 5", Hold()]), conversation, "How much?", journal)
    journal.close()
    vault.close()
    later = unlock(place, PASSPHRASE)
    try:
        (row,) = later.do(lambda store: store.chats()).result()
        assert row.state == "interrupted"
        assert conversation.open_turn, "the first program did not end the answer itself"
        loaded = later.do(lambda store: store.load(row.id)).result()
        engine = FakeEngine([" mg."])
        list(ask(engine, loaded, loaded.resume(loaded.turns[0]), hooks=[Journal(later)]))
        assert engine.continued == ["Take 5"]
        assert stored(later, loaded) == [("How much?", "Take 5 mg.", "whole")]
    finally:
        later.close()
    began = time.monotonic()
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 1, "an answer that ends after the vault waits for nothing"


def test_a_resumed_answer_is_open_on_the_disk_again(vault: Vault) -> None:
    faulty, conversation = Faulty(vault), Conversation()
    journal = Journal(faulty)
    turn = conversation.ask("How much?")
    faulty_end = [EngineDied("It died.")]
    with pytest.raises(EngineDied):
        list(ask(FakeEngine(["Take 5", *faulty_end]), conversation, turn, hooks=[journal]))
    assert stored(vault, conversation) == [("How much?", "Take 5", "failed")]
    hold = Hold()
    events = ask(FakeEngine([hold, " mg"]), conversation, conversation.resume(turn), hooks=[journal])
    next(events)
    assert stored(vault, conversation) == [("How much?", "Take 5", "open")]
    hold.release()
    list(events)
    assert stored(vault, conversation) == [("How much?", "Take 5 mg", "whole")]


def test_an_answer_that_is_resumed_while_its_end_is_still_to_be_written(vault: Vault) -> None:
    faulty, conversation = Faulty(vault), Conversation()
    journal = Journal(faulty)
    events = begin(FakeEngine(["Take 5", EngineDied("It died.")]), conversation, "How much?", journal)
    faulty.fault = FULL
    with pytest.raises((EngineDied, VaultError)):
        list(events)
    faulty.fault = ""
    turn = conversation.turns[0]
    list(ask(FakeEngine([" mg"]), conversation, conversation.resume(turn), hooks=[journal]))
    assert stored(vault, conversation) == [("How much?", "Take 5 mg", "whole")]
    time.sleep(2 * WRITE_SECONDS)
    assert stored(vault, conversation) == [("How much?", "Take 5 mg", "whole")], "no older writer comes late"


def test_drafts_queued_questions_and_the_branch_survive(vault: Vault, place: Path) -> None:
    journal, conversation = Journal(vault), Conversation()
    list(ask(FakeEngine(["A"]), conversation, conversation.ask("one"), hooks=[journal]))
    list(ask(FakeEngine(["B"]), conversation, conversation.edit(conversation.turns[0], "uno"), hooks=[journal]))
    conversation.show(conversation.all_turns[0])
    conversation.queue("Patient B")
    conversation.queue("Patient C", "brief")
    conversation.draft = "half a"
    journal.keep(conversation).result()
    vault.close()
    later = unlock(place, PASSPHRASE)
    loaded = later.do(lambda store: store.load(conversation.id)).result()
    later.close()
    assert (loaded.draft, loaded.queued) == ("half a", conversation.queued)
    assert [turn.question for turn in loaded.turns] == ["one"]
    assert [turn.question for turn in loaded.siblings(loaded.turns[0])] == ["one", "uno"]


def test_a_long_answer_does_not_write_its_long_question_again(vault: Vault, place: Path) -> None:
    question = "case " * 100_000
    conversation, journal, hold = Conversation(), Journal(vault), Hold()
    events = begin(FakeEngine(["Take 5", hold, " mg"]), conversation, question, journal)
    assert soon(lambda: stored(vault, conversation)[0][1] == "Take 5")
    wal = place / "vault.db-wal"
    vault.do(lambda store: store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()).result()
    hold.release()
    list(events)
    assert stored(vault, conversation)[0][1] == "Take 5 mg"
    assert 0 < wal.stat().st_size < 100_000


def test_an_error_of_the_program_itself_is_heard_of(vault: Vault) -> None:
    class Broken(Faulty):
        def do(self, work: Callable[[Store], Any]) -> Future[Any]:
            if self.fault:
                raise ValueError("Mrs Miller")
            return super().do(work)

    broken, conversation = Broken(vault), Conversation()
    journal = Journal(broken)
    events = begin(FakeEngine(["Take 5", Hold()]), conversation, "How much?", journal)
    broken.fault = "yes"
    assert soon(lambda: bool(journal.fault))
    assert "ValueError" in journal.fault
    assert "Miller" not in journal.fault
    broken.fault = ""
    assert soon(lambda: not journal.fault)
    assert isinstance(conversation.turns[0], Turn)
    events.close()  # type: ignore[attr-defined]
