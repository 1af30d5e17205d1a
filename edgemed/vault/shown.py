"""Where the vault remembers which red flags a case has shown: a setting for each of its chats, erased with the chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemed.vault.store import Store

FLAGS = "flags "
"""The setting's name begins with this; the chat's id follows."""


def flags_of_case(chat_id: str, case_id: str | None) -> Callable[[Store], list[str]]:
    """What was stored for a chat and for the other chats of its case, to be run on the vault's thread."""

    def read(store: Store) -> list[str]:
        chats = {chat_id, *(chat.id for chat in store.chats(case_id) if case_id is not None)}
        return [stored for each in sorted(chats) if (stored := store.setting(FLAGS + each)) is not None]

    return read
