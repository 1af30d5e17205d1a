"""Writes answers into the vault while they arrive.

A question is on the disk before it is sent. The text of its answer follows twice a second, so that a program that is
killed loses less than a second of it. The answer never waits for the disk, and a disk that is full does not end it: the
text stays in memory, and the journal tries again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook, failure_of
from edgemed.vault.rows import Snapshot, answer_row
from edgemed.vault.search import Index, Vault
from edgemed.vault.store import Store

WRITE_SECONDS = 0.5
"""The time between two writes of a growing answer."""
LAST_WRITE_SECONDS = 5.0
"""How long the end of an answer waits for the disk."""


class Journal(Hook):
    """A hook for `chat.service.ask`. Ignores conversations that are not saved.

    `index`, if given, learns each question and answer.
    """

    def __init__(self, vault: Vault, index: Index | None = None) -> None:
        self._vault = vault
        self._index = index
        self._writers: dict[str, _Writer] = {}  # by turn id; of answers that are not completely on the disk

    @property
    def behind(self) -> float:
        """For how many seconds there has been text that is not on the disk; 0 if there is none."""
        return max((writer.behind for writer in list(self._writers.values())), default=0.0)

    @property
    def fault(self) -> str:
        """Why the last write failed; empty after one that worked."""
        return next((writer.fault for writer in list(self._writers.values()) if writer.fault), "")

    def keep(self, conversation: Conversation) -> Future[None]:
        """Store the draft, the queued questions and the shown branch. Returns at once; stores nothing of unsaved chats.

        Call it when one of them has changed; while someone types, about once a second. The future raises VaultError.
        """
        if not conversation.saved:
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        chat, index = Snapshot.of(conversation), self._index

        def work(store: Store) -> None:
            if index is not None:
                index.note_chat(chat)  # here, because folding a long draft takes a moment
            store.keep(chat)

        return self._vault.do(work)

    def withdraw(self, conversation: Conversation, turn: Turn) -> str:
        """`Conversation.withdraw`, and erase the stored turn. Returns the question at once."""
        question = conversation.withdraw(turn)
        if conversation.saved:
            self._vault.do(lambda store: store.delete_turn(turn.id))
            self.keep(conversation)
            if self._index is not None:
                self._index.forget_turn(turn)
        return question

    def before(self, conversation: Conversation, turn: Turn) -> None:
        """Commit the question and its open answer. Raises VaultError; then nothing is sent."""
        if not conversation.saved:
            return
        if writer := self._writers.pop(turn.id, None):  # the turn is resumed before its cut answer could be stored
            writer.close()
        chat, answer = Snapshot.of(conversation), answer_row(turn)
        self._vault.do(lambda store: store.begin(chat, answer)).result()
        if self._index is not None:
            self._index.note_turn(conversation, turn)
        self._writers[turn.id] = _Writer(self._vault, turn, written=answer, forget=self._forget)

    def during(self, conversation: Conversation, turn: Turn) -> None:
        """Note when text came. The writer's thread stores it."""
        if writer := self._writers.get(turn.id):
            writer.note()

    def after(self, conversation: Conversation, turn: Turn) -> None:
        """Store how the answer ended. Raises VaultError if that failed; the journal goes on trying."""
        writer = self._writers.get(turn.id)
        if writer is None:
            return
        if self._index is not None:
            self._index.note_turn(conversation, turn)
        writer.finish()

    def close(self) -> None:
        """Try once more to store what is not on the disk, and stop. Call it before the vault is closed."""
        for writer in list(self._writers.values()):
            writer.close()

    def _forget(self, turn: Turn) -> None:
        self._writers.pop(turn.id, None)


class _Writer:
    """Stores one answer as it grows, from a thread that may wait for the disk."""

    def __init__(self, vault: Vault, turn: Turn, written: Mapping[str, Any], forget: Callable[[Turn], None]) -> None:
        self._vault = vault
        self._turn = turn
        self._written = written
        self._forget = forget
        self._lock = threading.Lock()  # guards _since and _written
        self._since: float | None = None  # when the oldest text arrived that is not on the disk
        self._wake = threading.Event()
        self._ending = self._closing = False
        self._tried = threading.Event()  # to store the ended answer
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def behind(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def fault(self) -> str:
        error = self._error
        return "" if error is None else failure_of(error)

    def note(self) -> None:
        """Text may have come."""
        with self._lock:
            if self._since is None and self._turn.raw != self._written["answer"]:
                self._since = time.monotonic()

    def finish(self) -> None:
        """The answer has ended. Waits until that is stored, but not for ever; raises what kept it from being stored."""
        self._ending = True
        self._wake.set()
        self._tried.wait(LAST_WRITE_SECONDS)
        if (error := self._error) is not None:
            raise error

    def close(self) -> None:
        """Store what there is, if that works, and stop."""
        self._closing = True
        self._wake.set()
        self._thread.join(LAST_WRITE_SECONDS)

    def _run(self) -> None:
        stored = False
        while not stored and not self._closing:
            self._wake.wait(WRITE_SECONDS)
            self._wake.clear()
            ending = self._ending  # read first: what is written after this is how the answer ended
            stored = self._write() and ending
            if stored:
                self._forget(self._turn)
            if ending:
                self._tried.set()
        self._tried.set()

    def _write(self) -> bool:
        """Store the answer as it is now, if it has changed. Returns whether that worked."""
        began, answer = time.monotonic(), answer_row(self._turn)
        if answer != self._written:
            try:
                self._vault.do(lambda store: store.write_answer(answer)).result()
            except Exception as error:
                self._error = error
                return False
        self._error = None
        with self._lock:
            self._written = answer
            self._since = None if self._turn.raw == answer["answer"] else began
        return True
