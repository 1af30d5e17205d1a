"""What Textual's parser of keys does not know.

Terminals without the newer keyboard protocol send Escape and a carriage return for Alt+Enter; Textual drops the Escape
and reports a plain Enter, which would send a half-written question. An Escape inside a paste has the same effect, and
the mark at a paste's end is missed when a read ends in the middle of it: all that is typed from then on is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from textual import _ansi_sequences
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers import linux_driver
from textual.events import Paste
from textual.keys import Keys
from textual.message import Message

_UNWANTED = dict.fromkeys(map(ord, "\0\x1b"))


def teach_keys() -> None:
    """From now on Alt+Enter arrives as Ctrl+J, which starts a new line, and a bracketed paste as one paste."""
    sequences = cast("dict[str, tuple[Keys, ...]]", _ansi_sequences.ANSI_SEQUENCES_KEYS)
    sequences["\x1b\r"] = sequences["\x1b\n"] = (Keys.ControlJ,)
    linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]


class PasteParser(XTermParser):
    """Keeps what is between the marks of a paste from Textual's parser until it is complete."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._before = ""  # as much of what was read before as may be the beginning of a mark
        self._pasted: str | None = None  # within a paste

    def feed(self, data: str) -> Iterable[Message]:
        if self._pasted is None:
            known = len(self._before)
            before, start, rest = (self._before + data).partition(BRACKETED_PASTE_START)
            self._before = "" if start else before[1 - len(BRACKETED_PASTE_START) :]
            yield from super().feed((before + start)[known:])
            if start:
                self._pasted = ""
                yield from self.feed(rest)
            return
        pasted, end, rest = (self._pasted + data).partition(BRACKETED_PASTE_END)
        if not end:
            self._pasted = pasted
            return
        self._pasted = None
        text = pasted.translate(_UNWANTED)
        for event in super().feed(BRACKETED_PASTE_START + text + BRACKETED_PASTE_END):
            yield Paste(text) if isinstance(event, Paste) else event
        if rest:
            yield from self.feed(rest)
