"""No planted word is in any file that the real chat writes, nor, once it is locked, in the memory of its processes.

One chat on the demonstration model: words as questions, title, case, note, draft and search, in English and Chinese. As
root, the test reads the memory of every process, which the kernel refuses to other users. What the same search finds
before the lock proves that it would find them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.vault.folder import unlock
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.planted import PLACES, WORDS, Search, planted
from testing.real_chat import CTRL_E, CTRL_O, CTRL_Q, ENTER, ESCAPE, F4, F9, F12, PASSPHRASE, Place, RealChat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of other processes"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

TRACED = """
import os, sys
inner = "import sys; from edgemed.cli import main; sys.exit(main({words!r}))"
strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=open,openat,creat", "-e", "signal=none"]
os.execvp("strace", [*strace, "-o", os.environ["STRACE_LOG"], sys.executable, "-c", inner])
"""
_OPENED = re.compile(r'(?:openat\(AT_FDCWD, |open\(|creat\()"([^"]+)", ([A-Z_|]+).* = \d+$')
DIGESTS = "SELECT prompt_digest FROM answers WHERE prompt_digest IS NOT NULL"
PROMPTED = ("question", "second", "queued", "edited")
"""What the model was asked."""


def fill(store: Store) -> None:
    """A chat with words in its case, its note and a deleted chat beside it."""
    case = store.new_case(planted("case"))
    for place, words in (("deleted", planted("deleted")), ("kept", "Which dose?")):
        chat = Conversation(case_id=case)
        turn = chat.ask(words)
        turn.raw, turn.state = "None.", "whole"
        store.keep(Snapshot.of(chat))
        store.note(turn.id, planted("note"))
        if place == "deleted":
            store.delete("chats", chat.id)


def work(chat: RealChat) -> list[str]:
    """Leave words everywhere. Returns the digests that the page "what the model saw" showed."""
    for words in ("question", "second", "queued"):
        chat.type(planted(words))
        chat.send(ENTER)
    chat.answered()
    digests = [seen(chat)]
    chat.send(F4)
    chat.until("▌" + WORDS["queued"][0])
    chat.type(" " + planted("edited"))
    chat.send(ENTER)
    chat.answered()
    digests.append(seen(chat))
    chat.send(CTRL_O)
    chat.until("Find a chat")
    chat.type(planted("search"))
    chat.until("Nothing found")
    chat.send(ESCAPE)
    chat.until("Find a chat")
    chat.send(CTRL_E)
    chat.until("Enter: save")
    chat.type(planted("title") + " ")
    chat.send(ENTER)
    chat.until("Find a chat", WORDS["title"][0])
    chat.send(ESCAPE)
    chat.until("Type a question")
    chat.type(planted("draft"))
    chat.read_for(1.0)
    return digests


def seen(chat: RealChat) -> str:
    chat.send(F9)
    shown = chat.until("What the model saw", "This is what was sent for the answer")
    chat.send(ESCAPE)
    chat.until("Enter: send", gone="Esc closes")
    found = re.search(r"\b[0-9a-f]{64}\b", shown)
    assert found, shown
    return found[0]


def opened_for_writing(log: Path) -> set[Path]:
    lines = log.read_text(errors="replace").splitlines()
    calls = [call for line in lines if (call := _OPENED.search(line))]
    return {Path(call[1]) for call in calls if re.search(r"WRONLY|RDWR|CREAT", call[2])}


def test_no_word_in_files_nor_in_memory(
    with_vault: Callable[[Callable[[Store], Any]], Place], demonstration: Path, tmp_path: Path
) -> None:
    place, search, log = with_vault(fill), Search(PASSPHRASE), tmp_path / "strace"
    with RealChat(place, demonstration, code=TRACED, STRACE_LOG=str(log)) as chat:
        chat.unlock()
        chat.engine_ready()
        digests = work(chat)
        before = {part: pid for part, pid in chat.processes().items() if "template" not in part}
        held = {part: search.in_memory(pid) for part, pid in before.items()}
        assert search.in_files([place.home]) == set()
        assert {path.name for path in place.vault.iterdir()} >= {"vault.db", "vault.db-wal", "vault.db-shm"}

        chat.send(F12)
        chat.until("Hidden")
        seen_before = len(chat.output)
        assert not [word for pair in WORDS.values() for word in pair if word in chat.shown()]
        chat.send(F12)
        chat.until("recovery words")
        assert not [word for pair in WORDS.values() for word in pair if word in chat.output[seen_before:]]
        after = chat.processes()
        assert set(after) == {"supervisor", "screen", "desktop", "desktop waits"}
        assert after["screen"] != before["screen"]
        assert {part: search.in_memory(pid) for part, pid in after.items()} == {part: set() for part in after}
        assert search.in_files([place.home]) == set()
        for part in ("screen", "engine"):
            assert not Path(f"/proc/{before[part]}").exists()

        chat.send(PASSPHRASE + ENTER)
        chat.until(WORDS["draft"][1], WORDS["title"][0])
        chat.send(CTRL_Q)
        assert chat.status() == 0

    # The same search found what each process had to hold, and nothing in those that hold none.
    assert {name.split()[0] for name in held.pop("screen")} >= {*PLACES, "secret"} - {"deleted"}
    in_engine = held.pop("engine")
    assert {f"{words} {encoding}" for words in PROMPTED for encoding in ("utf-8", "tokens")} <= in_engine
    assert not {"case", "note", "title", "search", "secret"} & {name.split()[0] for name in in_engine}
    assert held == {part: set() for part in ("supervisor", "desktop", "desktop waits", "engine waits")}

    written = opened_for_writing(log)
    assert place.vault / "vault.db-wal" in written
    ours = [path for path in written if path.is_relative_to(place.home)]
    others = {str(path) for path in written} - {str(path) for path in ours}
    assert {name for name in others if not name.startswith(("/dev/", "/proc/"))} == set()
    assert search.in_files([place.home, *written]) == set()

    vault = unlock(place.vault, PASSPHRASE)
    kept = vault.do(lambda store: store.connection.execute(DIGESTS).fetchall()).result()
    vault.close()
    assert {(digest,) for digest in digests} <= set(kept)
    assert len(set(kept)) == 4
