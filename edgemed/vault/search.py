"""Search over everything in the vault, in memory while it is unlocked.

There is no index on the disk. Scanning the folded texts of 2,000 messages takes a few milliseconds, and needs nothing
special for two Chinese characters or "K 6.2".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgemed.chat.conversation import Conversation, Turn
from edgemed.vault.folding import Needle, fold
from edgemed.vault.rows import Kind, Snapshot

if TYPE_CHECKING:
    from edgemed.vault.store import Store

Where = Literal["case", "header", "title", "draft", "question", "answer", "note"]

SHOWN_HITS = 200


class Vault(Protocol):
    """What the index and the journal need of `edgemed.vault.folder.Vault`."""

    def do(self, work: Callable[[Store], Any]) -> Future[Any]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A text and where it is. One in a case has no chat, a title or draft has no turn."""

    where: Where
    case_id: str | None
    chat_id: str | None
    turn_id: str | None
    time: datetime
    text: str

    @property
    def key(self) -> tuple[Where, str | None]:
        return self.where, self.turn_id or self.chat_id or self.case_id


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that matches. `line` is the part of it to show."""

    found: Found
    line: str


class Index:
    """The texts of all cases and chats that are not deleted. May be used from any thread."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Where, str | None], tuple[Found, str]] = {}  # with the folded text
        self._reading = threading.Lock()  # what is read later from the vault is also applied later

    def __len__(self) -> int:
        """How many texts can be found."""
        return len(self._texts)

    def load(self, vault: Vault) -> None:
        """Read everything, after unlocking. Takes a moment, so call it on a thread. Raises VaultError."""
        with self._reading:
            for found in vault.do(lambda store: store.texts()).result():
                self._texts.setdefault(found.key, (found, fold(found.text)))  # what the journal noted is newer

    def changed(self, vault: Vault, kind: Kind, id: str) -> None:
        """Read a case or a chat again, after it was renamed, moved, deleted or brought back. Raises VaultError."""
        with self._reading:
            fresh = vault.do(lambda store: store.texts(kind, id)).result()
            for key, (found, _) in list(self._texts.items()):
                if id in (found.chat_id, found.case_id):
                    self._texts.pop(key, None)
            self._note(fresh)

    def note_chat(self, chat: Snapshot) -> None:
        """Learn a chat's title and draft."""
        now = datetime.now(UTC)
        self._note(
            [
                Found("title", chat.case_id, chat.id, None, now, chat.title),
                Found("draft", chat.case_id, chat.id, None, now, chat.draft),
            ]
        )

    def note_turn(self, chat: Conversation, turn: Turn) -> None:
        """Learn a turn's question, answer and note."""
        self._note(
            [
                Found("question", chat.case_id, chat.id, turn.id, turn.asked, turn.question),
                Found("answer", chat.case_id, chat.id, turn.id, turn.asked, turn.raw),
                Found("note", chat.case_id, chat.id, turn.id, turn.asked, turn.note),
            ]
        )

    def forget_turn(self, turn: Turn) -> None:
        """Forget a turn that was withdrawn."""
        for where in ("question", "answer", "note"):
            self._texts.pop((where, turn.id), None)

    def find(self, query: str, limit: int = SHOWN_HITS) -> list[Hit]:
        """The texts that match, those with the exact phrase first, then by time, newest first."""
        needle = Needle(query)
        if not needle.phrase:
            return []
        texts = list(self._texts.values())
        matches = [(rank, *text) for text in texts if (rank := needle.matches(text[1]))]
        matches.sort(key=lambda match: (match[0], match[1].time), reverse=True)
        return [Hit(found, needle.line_of(found.text, folded)) for _, found, folded in matches[:limit]]

    def clear(self) -> None:
        """Forget everything."""
        self._texts.clear()

    def _note(self, texts: Iterable[Found]) -> None:
        for found in texts:
            if found.text:
                self._texts[found.key] = (found, fold(found.text))
            else:
                self._texts.pop(found.key, None)
