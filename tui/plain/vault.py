"""Line mode's lists of the chats that are kept: numbered, so that /open can name one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgemed.chat.conversation import Conversation
from edgemed.chat.visible import visible
from edgemed.clinical import Language
from edgemed.tui.strings.asking import asking_strings
from edgemed.tui.strings.vault import vault_strings

if TYPE_CHECKING:
    from edgemed.tui.kept import Kept


class PlainVault:
    """The chats of an open vault. Calls block."""

    def __init__(self, kept: Kept, language: Language) -> None:
        self._kept = kept
        self._words = asking_strings(language)
        self._audit_head = vault_strings(language).audit
        self._listed: list[str] = []  # the ids of the chats in the last list
        self._loaded = False

    def listed(self, name: str, argument: str) -> list[str]:
        """What the command `name` prints: "chats", "find" or "audit". Raises VaultError."""
        match name:
            case "find":
                return self.find(argument)
            case "audit":
                lines = map(visible, asyncio.run(self._kept.audit_lines()))
                return [*lines, self._audit_head.format(head=self._kept.audit_head())]
        return self.chats()

    def chats(self) -> list[str]:
        """A line for each chat, the one that was changed last first. Raises VaultError."""
        rows = self._kept.vault.do(lambda store: store.chats()).result()
        rows = sorted(rows, key=lambda row: row.changed, reverse=True)
        self._listed = [row.id for row in rows]
        return [
            self._words.listed.format(
                number=number,
                title=visible(row.title) or self._words.where_title,
                changed=f"{row.changed.astimezone():%Y-%m-%d %H:%M}",
                count=row.turns,
            )
            for number, row in enumerate(rows, 1)
        ] or [self._words.nothing_found]

    def find(self, text: str) -> list[str]:
        """A line for each text that matches. Raises VaultError."""
        if not text:
            return [self._words.find_plain]
        if not self._loaded:
            self._kept.index.load(self._kept.vault)
            self._loaded = True
        hits = [hit for hit in self._kept.index.find(text) if hit.found.chat_id is not None]
        self._listed = [str(hit.found.chat_id) for hit in hits]
        return [f"{number}. {visible(hit.line)}" for number, hit in enumerate(hits, 1)] or [self._words.nothing_found]

    def chosen(self, number: str) -> str | None:
        """The chat with this number in the last list; None if there is none."""
        place = int(number) if number.isascii() and number.isdecimal() else 0
        return self._listed[place - 1] if 1 <= place <= len(self._listed) else None

    def load(self, chat_id: str) -> Conversation:
        """A stored chat. Raises VaultError if it is gone."""
        return self._kept.vault.do(lambda store: store.load(chat_id)).result()
