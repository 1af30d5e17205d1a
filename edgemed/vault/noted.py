"""Where the vault keeps what is noted of a chat (`edgemed.clinical.noted`): a setting for each, erased with the chat.

The functions return work for the vault's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgemed.clinical.noted import Noted, Scale

if TYPE_CHECKING:
    from edgemed.vault.store import Store

NOTED = "noted "
"""The setting's name begins with this; the chat's id follows."""


def read_noted(chat_id: str, case_id: str | None) -> Callable[[Store], Noted]:
    """What is noted of a chat, with what its case's other chats have shown."""

    def read(store: Store) -> Noted:
        noted = Noted.load(store.setting(NOTED + chat_id) or "")
        for other in _of_case(store, chat_id, case_id):
            noted.join(Noted.load(store.setting(NOTED + other) or ""))
        return noted

    return read


def write_noted(chat_id: str, noted: Noted) -> Callable[[Store], None]:
    """Note this of a chat."""
    return lambda store: store.set_setting(NOTED + chat_id, noted.dump())


def write_scale(chat_id: str, case_id: str | None, scale: Scale) -> Callable[[Store], None]:
    """Note the scale of a chat and of its case's other chats."""

    def write(store: Store) -> None:
        for each in (chat_id, *_of_case(store, chat_id, case_id)):
            noted = Noted.load(store.setting(NOTED + each) or "")
            noted.scale = scale
            store.set_setting(NOTED + each, noted.dump())

    return write


def _of_case(store: Store, chat_id: str, case_id: str | None) -> list[str]:
    if case_id is None:
        return []
    return [chat.id for chat in store.chats(case_id) if chat.id != chat_id]
