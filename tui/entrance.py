"""What the chat knows before a vault is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.clinical import Language, Place, header_lines
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.vault import VaultStrings, vault_strings

if TYPE_CHECKING:
    from edgemed.settings import Settings


@dataclass(frozen=True, slots=True)
class Entrance:
    """The vault to open or to make, and what follows.

    `open_session` reads the metadata of the model file that the settings name, and prepares to load it; it raises
    EdgemedError. `remember` changes settings, given as keywords, and returns all of them; it raises SetupError.
    `suggested_ram`: in bytes, None if the first run need not ask for the memory. `demonstration`: the sentence that
    tells the secrets of the demonstration's vault. `passphrase` opens the vault without a question.
    """

    folder: Path
    settings: Settings
    open_session: Callable[[Settings], ChatSession]
    remember: Callable[..., Settings]
    suggested_ram: int | None = None
    language: Language = "en"
    place: Place = "offline"
    demonstration: str = ""
    passphrase: str = field(default="", repr=False)

    @property
    def words(self) -> VaultStrings:
        return vault_strings(self.language)

    @property
    def header(self) -> str:
        lines = header_lines("", place=self.place, language=self.language, fictitious=bool(self.demonstration))
        return lines[1].rpartition(" | ")[0]
