"""What the vault keeps: cases, chats and drafts, as functions over one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection


class Store:
    """Used on the vault's thread only."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
