"""Corrections to Textual's key parser.

Terminals without the newer keyboard protocol send Escape and a carriage return for Alt+Enter. Textual drops the Escape
and reports Enter, which would send a half-written question. An Escape inside a paste has the same effect. Textual also
misses the mark that ends a paste if a read ends in the middle of the mark; all keys after that are lost. It reports
Escape and a letter, which such a terminal sends for Alt and the letter, as a printable key: the box would take it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from textual import _ansi_sequences
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers import linux_driver
from textual.events import Key, Paste
from textual.keys import Keys
from textual.message import Message

_UNWANTED = dict.fromkeys(map(ord, "\0\x1b"))


def teach_keys() -> None:
    """Patch Textual so that Alt+Enter arrives as Ctrl+J (a new line) and a bracketed paste as one Paste event."""
    sequences = cast("dict[str, tuple[Keys, ...]]", _ansi_sequences.ANSI_SEQUENCES_KEYS)
    sequences["\x1b\r"] = sequences["\x1b\n"] = (Keys.ControlJ,)
    linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]


class PasteParser(XTermParser):
    """Collects a bracketed paste and passes it to Textual's parser only when it is complete."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._before = ""  # the end of the previous read, which may be the beginning of a mark
        self._pasted: str | None = None  # the text of an unfinished paste

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        for event in super()._sequence_to_key_events(sequence, alt):
            if alt:
                event.character = None  # a shortcut, not text
            yield event

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
