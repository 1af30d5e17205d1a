"""An open vault, as the chat uses it: where conversations come from, and what shows a hidden screen again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from edgemed import __version__
from edgemed.chat.conversation import Conversation
from edgemed.chat.visible import visible
from edgemed.clinical import Language
from edgemed.tui.chat_list import Row
from edgemed.tui.hiding.pin import digest_of, normal_pin
from edgemed.tui.strings.vault import VaultStrings
from edgemed.vault.notices import low_disk

if TYPE_CHECKING:
    from edgemed.tui.session import ChatSession
    from edgemed.vault.audit import Detail
    from edgemed.vault.folder import Vault
    from edgemed.vault.journal import Journal
    from edgemed.vault.recorder import Recorder
    from edgemed.vault.search import Index
    from edgemed.vault.store import Store

T = TypeVar("T")
AUDIT_SHOWN = 100
"""Rows of the audit that the chat shows."""
PIN = "pin"
MOST_FOUND = 60
"""Places that a search shows. Who sees so many types another letter."""


@dataclass(slots=True)
class Kept:
    """`passphrase` is a digest of what opened the vault, `pin` one of the PIN, None without one."""

    vault: Vault
    journal: Journal
    recorder: Recorder
    index: Index
    passphrase: str
    pin: str | None = None
    stale: int = 0
    """How many cases and chats were not touched for 30 days."""
    cases: dict[str, str] = field(default_factory=dict)
    """The titles of the cases, by id."""
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the texts to search are in memory, or will never be."""

    @classmethod
    async def open(cls, vault: Vault, secret: str, new_pin: str = "") -> Kept:
        """Prepare an unlocked vault. `new_pin` becomes its PIN. Raises VaultError."""
        from edgemed.vault.journal import Journal
        from edgemed.vault.recorder import Recorder
        from edgemed.vault.search import Index

        index = Index()
        digest = await asyncio.to_thread(digest_of, secret)
        kept = cls(vault, Journal(vault, index), Recorder(vault), index, digest)
        await kept.do(lambda store: store.recover())
        await kept.record(
            "opened", None, edgemed=__version__, **{notice.replace(" ", "_"): 1 for notice in vault.found}
        )
        if new_pin:
            await kept.set_pin(new_pin)
        else:
            kept.pin = await kept.do(lambda store: store.setting(PIN))
        await kept.refresh_titles()
        return kept

    async def prepare(self) -> None:
        """What can wait until the chat is on the screen: erase what was deleted long ago, load the texts to search,
        look for damage. Raises VaultError."""
        if purged := await self.do(lambda store: store.purge()):
            await self.record("purged", None, count=purged)
        self.stale = await self.do(lambda store: len(store.stale_cases()) + len(store.stale_chats()))
        await asyncio.to_thread(self.index.load, self.vault)
        self.loaded.set()
        await asyncio.wrap_future(self.vault.check())

    def joined_to(self, session: ChatSession) -> ChatSession:
        """The session with this vault: every answer goes into it."""
        return replace(session, kept=self, hooks=(*session.hooks, self.recorder, self.journal))

    async def do(self, work: Callable[[Store], T]) -> T:
        """Run `work` on the vault's thread. Raises VaultError."""
        return await asyncio.wrap_future(self.vault.do(work))

    async def set_pin(self, text: str) -> bool:
        """Set the PIN, or remove it if `text` is empty; False if `text` is no PIN."""
        digits = normal_pin(text)
        if text and digits is None:
            return False
        self.pin = await asyncio.to_thread(digest_of, digits) if digits else None
        await self.do(lambda store: store.set_setting(PIN, self.pin))
        return True

    @property
    def secrets(self) -> list[str]:
        """Digests of what shows a hidden screen again."""
        return [*filter(None, [self.pin]), self.passphrase]

    def low_disk(self, language: Language) -> str:
        """A warning if the disk is nearly full."""
        return low_disk(self.vault.folder, language) or ""

    def close(self) -> None:
        """Write what is not on the disk yet, and close the vault. Blocks."""
        self.journal.close()
        self.recorder.close()
        self.vault.close()

    # --- the audit ---

    async def record(self, event: str, conversation: Conversation | None, /, **details: Detail) -> None:
        """Record an event in the audit (`edgemed.vault.audit`), and wait until it is on the disk.

        `details` are names, ids and counts, never text; "turn", "chat" and "case" are ids. Of an unsaved chat only the
        event is recorded. Raises nothing: the screen shows `recorder.fault` like a failed save. To record without
        waiting, call `recorder.record`.
        """
        await asyncio.wrap_future(self.recorder.record(event, conversation, **details))

    async def audit_lines(self) -> list[str]:
        """What was recorded last, the newest first, as a table. Raises VaultError."""
        from edgemed.vault.audit_table import latest, table

        return table(await self.do(lambda store: latest(store, AUDIT_SHOWN)), narrow=True)

    def audit_head(self) -> str:
        """`SEQUENCE:MAC` of the last row that was written, to be printed on what leaves the vault."""
        return self.recorder.head

    # --- conversations ---

    async def last_conversation(self) -> Conversation:
        """The chat that was changed last, or an empty one."""
        rows = await self.do(lambda store: store.chats())
        if not rows:
            return Conversation()
        return await self.load(max(rows, key=lambda row: row.changed).id)

    async def load(self, chat_id: str) -> Conversation:
        """A stored chat. Raises VaultError if it is gone."""
        return await self.do(lambda store: store.load(chat_id))

    async def keep(self, conversation: Conversation) -> None:
        """Store the draft and the queued questions. Raises VaultError."""
        await asyncio.wrap_future(self.journal.keep(conversation))

    async def erase(self, chat_id: str, turn_id: str) -> None:
        """Erase a turn that was withdrawn. Raises VaultError."""
        await self.do(lambda store: store.delete_turn(turn_id))
        await self.record("question_taken_back", None, chat=chat_id, turn=turn_id)
        await self._learn_chat(chat_id)

    async def update(self, conversation: Conversation) -> bool:
        """Give a conversation the title and the case that it has in the vault; False if it was deleted there."""
        await self.refresh_titles()
        for row in await self.do(lambda store: store.chats()):
            if row.id == conversation.id:
                conversation.case_id = row.case_id
                conversation.header = (await self.load(row.id)).header
                if row.title != conversation.heading:
                    conversation.title = row.title
                return True
        return not conversation.turns or not conversation.saved

    async def set_header(self, conversation: Conversation, name: str, old_name: str) -> None:
        """Store the header of the conversation's case; it gets a case of this name if it has none. Raises VaultError.

        The case is renamed if it was called `old_name`.
        """
        stored, chat_id, case_id = conversation.header.dump(), conversation.id, conversation.case_id

        def change(store: Store) -> str:
            if case_id is None or case_id not in self.cases:
                made = store.new_case(name, stored)
                store.move(chat_id, made)
                return made
            store.set_header(case_id, stored)
            if self.cases[case_id] == old_name:
                store.rename("cases", case_id, name)
            return case_id

        await self.refresh_titles()
        conversation.case_id = await self.do(change)
        await self.keep(conversation)
        await self.refresh_titles()
        await asyncio.to_thread(self.index.changed, self.vault, "cases", conversation.case_id)

    async def refresh_titles(self) -> None:
        self.cases = {case.id: case.title for case in await self.do(lambda store: store.cases())}

    # --- the list ---

    async def rows(self, running: set[str], words: VaultStrings) -> list[Row]:
        """All chats, in no particular order. Deleted chats and cases are marked. `running`: where an answer grows."""
        await self.refresh_titles()

        def read(store: Store) -> list[Row]:
            stale = {case.id for case in store.stale_cases()} | {chat.id for chat in store.stale_chats()}
            rows = []
            for deleted in (False, True):
                for chat in store.chats(deleted=deleted):
                    marks = {
                        words.running: chat.id in running,
                        words.draft: chat.draft,
                        words.interrupted_mark: chat.state == "interrupted",
                    }
                    rows.append(
                        Row(
                            chat.id,
                            visible(chat.title),
                            chat.changed,
                            chat.case_id,
                            visible(self.cases.get(chat.case_id or "", "")),
                            pinned=chat.pinned,
                            deleted=deleted,
                            stale=(chat.case_id or chat.id) in stale,
                            mark=" · ".join(word for word, applies in marks.items() if applies),
                        )
                    )
            cases = store.cases(deleted=True)
            return rows + [Row("", words.all_of_it, case.changed, case.id, case.title, deleted=True) for case in cases]

        return await self.do(read)

    def find(self, query: str, rows: Sequence[Row]) -> list[Row]:
        """A row for each turn and each draft or title in which `query` was found. Not on the interface's thread."""
        known = {row.chat_id: row for row in rows if not row.deleted}
        found: dict[tuple[str, str | None], Row] = {}
        for hit in self.index.find(query, MOST_FOUND):
            chat_id, turn_id = hit.found.chat_id, hit.found.turn_id
            if chat_id is None:  # found in the case itself: all its chats
                about = [row for row in known.values() if row.case_id == hit.found.case_id]
            else:
                about = [known[chat_id]] if chat_id in known else []
            for row in about:
                told = replace(row, turn_id=turn_id, excerpt=visible(hit.line), query=query)
                found.setdefault((row.chat_id, turn_id), told)
        return list(found.values())

    async def delete(self, rows: Sequence[Row], *, deleted: bool) -> None:
        """Delete chats, and cases that would be left empty; or bring them back. Raises VaultError."""

        def change(store: Store) -> None:
            for row in rows:
                if deleted:
                    store.delete("chats", row.chat_id)
                    if row.case_id and not store.chats(row.case_id):
                        store.delete("cases", row.case_id)
                    continue
                if row.case_id:
                    store.undelete("cases", row.case_id)
                for chat_id in (
                    [row.chat_id] if row.chat_id else [chat.id for chat in store.chats(row.case_id, deleted=True)]
                ):
                    store.undelete("chats", chat_id)

        await self.do(change)
        for row in rows:
            ids = {"chat": row.chat_id} if row.chat_id else {}
            ids |= {"case": row.case_id} if row.case_id else {}
            self.recorder.record("deleted" if deleted else "undeleted", **ids)

    async def pin_chat(self, chat_id: str, pinned: bool) -> None:
        """Keep a chat, and so its case, at the top of the list, or no longer. Raises VaultError."""
        await self.do(lambda store: store.pin("chats", chat_id, pinned))

    async def rename(self, chat_id: str, title: str) -> None:
        """Raises VaultError."""
        await self.do(lambda store: store.rename("chats", chat_id, title))
        await self._learn_chat(chat_id)

    async def move(self, chat_id: str, case_id: str | None, new_case: str = "") -> None:
        """Put a chat into a case, or into none; into a new one if `new_case` is its title. Raises VaultError."""

        def change(store: Store) -> str:
            target = store.new_case(new_case) if new_case else case_id
            store.move(chat_id, target)
            return target or ""

        self.recorder.record("moved", chat=chat_id, case=await self.do(change))
        await self._learn_chat(chat_id)

    async def _learn(self, rows: Sequence[Row]) -> None:
        """Let the search know of what was changed."""
        for row in rows:
            if row.case_id:
                await asyncio.to_thread(self.index.changed, self.vault, "cases", row.case_id)
            else:
                await self._learn_chat(row.chat_id)

    async def _learn_chat(self, chat_id: str) -> None:
        await asyncio.to_thread(self.index.changed, self.vault, "chats", chat_id)
