"""The fixed settings of one run of the chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemed.chat.engine import StartEngine
from edgemed.chat.service import Hook
from edgemed.clinical import Language, Place, header_lines, notice
from edgemed.tui.strings import Strings, strings


@dataclass(frozen=True, slots=True)
class ChatSession:
    """What the chat needs before the engine has loaded the model.

    `weights_digest` (None for a file without checksums) and `intended_use` come from the model file and decide the
    notices. `introduction` is shown above the first question; `hooks` run around every answer.
    """

    start_engine: StartEngine
    model_name: str
    weights_digest: str | None
    intended_use: str
    language: Language = "en"
    place: Place = "offline"
    introduction: str = ""
    hooks: Sequence[Hook] = ()

    @property
    def words(self) -> Strings:
        return strings(self.language)

    @property
    def header(self) -> str:
        """The header line in full; `headers` has the wordings for narrow terminals as well."""
        return self.headers[0]

    @property
    def headers(self) -> tuple[str, ...]:
        return header_lines(self.weights_digest, place=self.place, language=self.language)

    @property
    def notice(self) -> str | None:
        return notice(self.intended_use, self.language)
