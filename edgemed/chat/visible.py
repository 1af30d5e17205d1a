"""Make what would act unseen visible: control, bidirectional and zero-width characters in a model's text.

A right-to-left override can turn "10 mg" into "01 mg" on the screen, a terminal escape sequence can move the cursor,
a zero-width space can split a word that a search then misses. Each such character is shown by its number, as in
⟨U+202E⟩. Newline and tab stay, and so do the zero-width joiner and non-joiner, which Indic and Persian words and emoji
are spelt with, and the variation selectors of emoji.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Format characters with a visible shape (Arabic and Indic number signs) and the two joiners.
_KEPT = frozenset(
    "\n\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
# Letters, marks and symbols that have no shape of their own and no category that gives them away.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0x180B, 0x1810))))
# Control, format, surrogate, private, unassigned; line and paragraph separators.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character in _UNSEEN or unicodedata.category(character) in _ACTING:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def visible(text: str) -> str:
    """`text` with every unseen character spelt out, CR LF as a plain newline. Applying it twice changes nothing."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


class VisibleStream:
    """`visible` for text that arrives in pieces: a CR at a piece's end waits for its LF."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The visible form of what is settled by now."""
        text = self._held + piece
        self._held = "\r" if text.endswith("\r") else ""
        return visible(text.removesuffix("\r") if self._held else text)

    def close(self) -> str:
        """The visible form of what was still held back."""
        held, self._held = self._held, ""
        return visible(held)
