"""The name behind "Reviewed by": a setting of the vault, which the audit uses too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemed.tui.kept import Kept

SETTING = "clinician"


class Clinician:
    """Without a vault the name is kept in memory."""

    def __init__(self, kept: Kept | None) -> None:
        self._kept = kept
        self._name = ""

    async def name(self) -> str:
        """Empty until the user has given it. Raises VaultError."""
        if not self._name and self._kept is not None:
            self._name = await self._kept.do(lambda store: store.setting(SETTING) or "")
        return self._name

    async def set_name(self, name: str) -> None:
        """Raises VaultError; the name holds until the program ends."""
        self._name = name
        if self._kept is not None:
            await self._kept.do(lambda store: store.set_setting(SETTING, name))
