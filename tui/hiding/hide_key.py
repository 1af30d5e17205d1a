"""Finds the keys that hide the screen, F12 and Ctrl+L, in the terminal's input as it is read.

Textual handles input in order, so a key that follows a long paste waits until the paste has been inserted. The thread
that reads the terminal therefore looks for these keys first. Pure logic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

from textual.events import Key, Paste
from textual.message import Message

from edgemed.tui.keys import PasteParser

# Legacy and kitty encodings. The kitty protocol adds modifiers, of which Caps Lock and Num Lock do not matter.
_TOKEN = re.compile(
    r"(?P<start>\x1b\[200~)|(?P<end>\x1b\[201~)"
    r"|(?P<f12>\x1b\[24(?:;(?P<f12_modifiers>\d+)(?::1)?)?~)"
    r"|(?P<l>\x1b\[108(?::\d*)*;(?P<l_modifiers>\d+)(?::1)?u)"
    r"|(?P<form_feed>\x0c)"
)
_WITHOUT_ESCAPE = re.compile(r"\[24(;\d+)?~|\[108[:\d]*;\d+u")
"""What is left of a hide key in a paste once `PasteParser` has removed the Escape."""

_LONGEST = 24
_CHORD, _CTRL = 0b1111, 0b0100
"""The bits of Shift, Alt, Ctrl and Super in the kitty protocol's modifiers, less one; and that of Ctrl."""


Found = Literal["", "key", "in paste"]


class HideKeyFinder:
    """Searches successive reads of the terminal. A key may be split between two reads."""

    def __init__(self) -> None:
        self._tail = ""
        self._in_paste = False

    def find(self, data: str) -> Found:
        """Whether a hide key ends in `data`, and whether in the middle of a paste. A pasted form feed is text."""
        known = len(self._tail)
        text = self._tail + data
        found: Found = ""
        for token in _TOKEN.finditer(text):
            if token.end() <= known:
                continue  # seen in an earlier read
            if token["start"] or token["end"]:
                self._in_paste = bool(token["start"])
            elif not self._in_paste and (token["form_feed"] or _is_hide_key(token)):
                found = found or "key"
            elif self._in_paste and not token["form_feed"] and _is_hide_key(token):
                found = "in paste"
        self._tail = text[-_LONGEST:]
        return found


def _is_hide_key(token: re.Match[str]) -> bool:
    if token["f12"]:
        return (int(token["f12_modifiers"] or 1) - 1) & _CHORD == 0
    return (int(token["l_modifiers"]) - 1) & _CHORD == _CTRL


class EarlierPaste(Paste):
    """A paste in the middle of which the screen was hidden. It belongs to the screen below."""


class HidingParser(PasteParser):
    """Calls `blank` as soon as a hide key is read, before the events of that read are delivered.

    The key itself arrives as an ordinary event. If it was read in the middle of a paste, it arrives before the paste.
    """

    def __init__(self, blank: Callable[[], None], debug: bool = False) -> None:
        super().__init__(debug)
        self._blank = blank
        self._finder = HideKeyFinder()
        self._hidden_in_paste = False

    def feed(self, data: str) -> Iterable[Message]:
        found = self._finder.find(data)
        if found:
            self._blank()
        if found == "in paste":
            self._hidden_in_paste = True
            yield Key("f12", None)
        for event in super().feed(data):
            if self._hidden_in_paste and isinstance(event, Paste):
                self._hidden_in_paste = False
                yield EarlierPaste(_WITHOUT_ESCAPE.sub("", event.text))
            else:
                yield event
