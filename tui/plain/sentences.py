"""Cuts text that arrives in pieces into whole sentences, for speech and braille. Pure logic."""

from __future__ import annotations

import re

# A full stop within a number, such as 2.5 mg, is followed by no space. A numbered item, such as "1. Rest", is not cut.
_END = re.compile(r"(?:(?<!\d)[.!?][\"')\]]*[ \t]+|\d[.!?] (?=[A-Z])|[。！？；][”’）]*|\n)")
_ITEM = re.compile(r"(?:^|\n)\s*\d{1,3}[.)] $")


class Sentences:
    """Holds text back until a sentence or a line is complete."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The complete sentences, with what was held back before them; empty if none is complete."""
        self._held += piece
        ends = [match.end() for match in _END.finditer(self._held) if not _ITEM.search(self._held[: match.end()])]
        cut = ends[-1] if ends else 0
        whole, self._held = self._held[:cut], self._held[cut:]
        return whole

    def close(self) -> str:
        """What is left."""
        held, self._held = self._held, ""
        return held
