"""Words planted in every place where a chat holds text are in no file that the vault writes, in no encoding."""

from __future__ import annotations

import array
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlcipher3 import dbapi2

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.vault import migrations
from edgemed.vault.database import _PRAGMAS
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.journal import Journal
from edgemed.vault.rows import Snapshot
from edgemed.vault.search import Index
from edgemed.vault.store import Store
from testing.fake_engine import PROMPT_DIGEST, FakeEngine
from tests.vault.conftest import CHEAP, PASSPHRASE

PLACES = "case", "header", "title", "system", "question", "answer", "edited", "draft", "queued", "note", "setting"
WORDS = {place: (f"PLANTED{place.upper()}WORD", f"胸痛{place}伴大汗") for place in PLACES}


def planted(place: str) -> str:
    return " ".join(WORDS[place])


def encodings(word: str) -> Iterator[bytes]:
    """The word as text, and as numbers of 32 bits, one for each character, as token ids are stored."""
    for name in ("utf-8", "utf-16-le", "utf-16-be"):
        yield word.encode(name)
    yield array.array("i", map(ord, word)).tobytes()


def words_in(folder: Path) -> set[str]:
    """The planted words that any file below this folder holds."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    words = [word for pair in WORDS.values() for word in pair] + [PROMPT_DIGEST]
    return {word for word in words if any(code in content for code in encodings(word) for content in contents)}


def export(vault: Vault, to: Path) -> None:
    """Write a copy of the database that is not encrypted."""

    def work(store: Store) -> None:
        store.connection.execute(f"ATTACH DATABASE '{to}' AS plain KEY ''")
        store.connection.execute("SELECT sqlcipher_export('plain')")
        store.connection.execute("DETACH DATABASE plain")

    vault.do(work).result()


def test_no_file_holds_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    vault, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    index = Index()
    journal = Journal(vault, index)
    case = vault.do(lambda store: store.new_case(planted("case"), planted("header"))).result()
    conversation = Conversation(case_id=case, title=planted("title"), system=planted("system"))
    engine = FakeEngine([planted("answer")], [planted("answer") * 1000])
    list(ask(engine, conversation, conversation.ask(planted("question")), hooks=[journal]))
    list(ask(engine, conversation, conversation.edit(conversation.turns[0], planted("edited")), hooks=[journal]))
    conversation.draft = planted("draft")
    conversation.queue(planted("queued"))
    journal.keep(conversation).result()

    def more(store: Store) -> None:
        store.note(conversation.turns[0].id, planted("note"))
        store.set_setting("test", planted("setting"))

    vault.do(more).result()
    index.load(vault)
    assert len(index.find("胸痛")) > 5
    files = {path.name for path in (tmp_path / "vault").iterdir()}
    assert {"vault.db", "vault.db-wal", "vault.db-shm"} <= files, "all are looked through"
    assert words_in(tmp_path) == set()

    vault.close()
    assert words_in(tmp_path) == set()
    vault = unlock(tmp_path / "vault", PASSPHRASE)
    assert words_in(tmp_path) == set()
    export(vault, tmp_path / "plain.db")
    vault.close()
    assert len(words_in(tmp_path)) == 2 * len(WORDS) + 1, "the same search finds every one of them in a plain copy"


@pytest.mark.parametrize("secure", [True, False])
def test_what_is_purged_is_overwritten_in_the_pages(tmp_path: Path, secure: bool) -> None:
    """On a database without encryption, which would hide what a purge leaves behind; the control leaves it."""
    connection = dbapi2.connect(tmp_path / "plain.db", isolation_level=None)
    for pragma in (*_PRAGMAS, "cipher_log_level = NONE", *(() if secure else ("secure_delete = OFF",))):
        connection.execute(f"PRAGMA {pragma}")
    for step in migrations.steps():
        step.run(connection)
        connection.execute("COMMIT")
    store = Store(connection)
    conversation = Conversation(draft=planted("draft") * 3000)
    turn = conversation.ask(planted("question") * 300)
    turn.raw, turn.state, turn.note = planted("answer") * 300, "whole", planted("note")
    store.keep(Snapshot.of(conversation))
    planted_words = {word for place in ("draft", "question", "answer", "note") for word in WORDS[place]}
    store.delete("chats", conversation.id)
    assert words_in(tmp_path) == planted_words
    assert store.purge(0) == 1
    assert (tmp_path / "plain.db-wal").stat().st_size == 0
    assert bool(words_in(tmp_path)) is not secure
    connection.close()
