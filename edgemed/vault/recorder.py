"""Records what happens in a chat: every answer, as a hook, and whatever the screens and commands tell."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook, failure_of
from edgemed.clinical.flags.rules import rules_version
from edgemed.engine.process.protocol import EngineInfo
from edgemed.errors import VaultError
from edgemed.vault.audit import Detail, Entry
from edgemed.vault.search import Vault
from edgemed.vault.store import Store


class Recorder(Hook):
    """Writes the audit's rows on the vault's thread. May be used from any thread.

    `rules` is the version of the red-flag rules, by default that of the installed ones. `head` is the last row's;
    `fault` says why the last row could not be written, and is empty if it was. What could not be written waits for the
    next row, so a disk that was full costs rows only if the program ends before there is space.

    In `hooks` it stands before the journal: "answered" is recorded when the answer is stored.
    """

    def __init__(self, vault: Vault, rules: str | None = None) -> None:
        self._vault = vault
        self._rules = rules_version() if rules is None else rules
        self._waiting: deque[tuple[Entry, int]] = deque()
        self.head = ""
        self.fault = ""

    def record(self, event: str, conversation: Conversation | None = None, /, **details: Detail) -> Future[None]:
        """Record an event. Returns at once; the future ends when the row is on the disk or could not be written.

        The details are names, ids and counts, never text. Of an unsaved chat none of them is recorded.
        """
        return self._add(Entry.of(event, conversation, self._rules, details))

    def engine_started(self, info: EngineInfo) -> Future[None]:
        """Record what a later report needs to know about the engine."""
        return self.record(
            "engine_started",
            weights=info.weights_digest or "",
            engine=info.engine_version,
            n_ctx=info.n_ctx,
            threads=info.threads,
            ram_bytes=info.ram_bytes,
            placement=info.placement,
        )

    def before(self, conversation: Conversation, turn: Turn) -> None:
        """Record the question before it is sent. Raises VaultError; then nothing is sent. No unsaved chat waits."""
        entry = Entry.asked(conversation, turn, self._rules)
        if not conversation.saved:
            self._add(entry)
            return
        waiting = entry, _now()
        self._waiting.append(waiting)
        try:
            self._vault.do(self._write).result()
        except Exception:
            with suppress(ValueError):  # it was written a moment later, with another row
                self._waiting.remove(waiting)
            raise

    def after(self, conversation: Conversation, turn: Turn) -> None:
        """Record how the answer ended. Does not wait."""
        self._add(Entry.answered(conversation, turn, self._rules))

    def close(self) -> None:
        """Try once more to write what waits. Call it before the vault is closed."""
        if self._waiting:
            self._submit().result()

    def _add(self, entry: Entry) -> Future[None]:
        self._waiting.append((entry, _now()))
        return self._submit()

    def _submit(self) -> Future[None]:
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # a caller that waits may be cancelled; the row is written anyway

        def learn(written: Future[None]) -> None:
            if isinstance(error := written.exception(), Exception):
                self.fault = failure_of(error)
            done.set_result(None)

        try:
            self._vault.do(self._write).add_done_callback(learn)
        except VaultError as error:  # it is closed
            self.fault = str(error)
            done.set_result(None)
        return done

    def _write(self, store: Store) -> None:
        """Runs on the vault's thread."""
        while self._waiting:
            with suppress(IndexError):  # `before` took the last one back
                waiting = self._waiting.popleft()
                try:
                    self.head = store.record(*waiting)
                except BaseException:
                    self._waiting.appendleft(waiting)
                    raise
        self.head = self.head or store.audit_head()
        self.fault = ""


def _now() -> int:
    return time.time_ns() // 1000
