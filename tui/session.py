"""The fixed settings of one run of the chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.chat.engine import StartEngine
from edgemed.chat.lengths import Length
from edgemed.chat.service import Hook
from edgemed.chat.visible import visible
from edgemed.clinical import Language, Place, header_lines, notice
from edgemed.clinical.region import Region
from edgemed.clinical.watch import Watch
from edgemed.tui.strings import Strings, strings

if TYPE_CHECKING:
    from edgemed.tui.kept import Kept


@dataclass(frozen=True, slots=True)
class ChatSession:
    """What the chat needs before the engine has loaded the model.

    `weights_digest` (None for a file without checksums) and `intended_use` come from the model file and decide the
    notices. `introduction` is shown above the first question; `hooks` run around every answer. `length` is that of
    answers until the user chooses another. `theme` is the name of the theme to start with, `on_theme` is told of
    another one; `region` and `on_region`, `emergency` (the number that the user typed) and `on_emergency` likewise.
    `watch` are the rules on what the user writes. `kept` is the open vault, None for a chat of which nothing is kept.
    `demonstration` is the sentence that tells the secrets of the demonstration's vault. `templates` is the folder of
    the user's own templates of notes, None for shipped ones only.
    """

    start_engine: StartEngine
    model_name: str
    weights_digest: str | None
    intended_use: str
    language: Language = "en"
    place: Place = "offline"
    introduction: str = ""
    hooks: Sequence[Hook] = ()
    length: Length = "brief"
    theme: str | None = None
    on_theme: Callable[[str], object] = lambda name: None
    kept: Kept | None = None
    region: Region = field(default_factory=Region)
    on_region: Callable[[Region], object] = lambda region: None
    emergency: str = ""
    on_emergency: Callable[[str], object] = lambda number: None
    watch: Watch = field(default_factory=Watch)
    demonstration: str = ""
    templates: Path | None = None

    @property
    def words(self) -> Strings:
        return strings(self.language)

    @property
    def header(self) -> str:
        """The header line in full; `headers` has the wordings for narrow terminals as well."""
        return self.headers[0]

    @property
    def headers(self) -> tuple[str, ...]:
        fictitious = bool(self.demonstration)
        lines = header_lines(self.weights_digest, place=self.place, language=self.language, fictitious=fictitious)
        return tuple(map(visible, lines))

    @property
    def notice(self) -> str | None:
        return notice(self.intended_use, self.language)
