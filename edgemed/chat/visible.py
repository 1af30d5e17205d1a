"""Makes invisible characters in a model's text visible: control, bidirectional and zero-width characters.

A right-to-left override can turn "10 mg" into "01 mg" on the screen. A terminal escape sequence can move the cursor. A
zero-width space can split a word, so that a search misses it. Each such character is shown as its code point, such as
⟨U+202E⟩. Newline and tab are kept. So are the zero-width joiner and non-joiner, which Indic and Persian words and emoji
need, and the variation selectors of emoji.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from edgemed.characters import UNSEEN

# Format characters with a visible shape (Arabic and Indic number signs) and the two joiners.
_KEPT = frozenset(
    "\n\t\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
# Categories: control, format, surrogate, private use, unassigned, line separator, paragraph separator.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character in UNSEEN or unicodedata.category(character) in _ACTING:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def visible(text: str) -> str:
    """`text` with every invisible character spelt out and CR LF as a newline. The function is idempotent."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


class VisibleStream:
    """`visible` for text that arrives in pieces. A CR at the end of a piece is held back until the next piece."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The visible form of `piece`, except a CR at its end."""
        text = self._held + piece
        self._held = "\r" if text.endswith("\r") else ""
        return visible(text.removesuffix("\r") if self._held else text)

    def close(self) -> str:
        """The visible form of what was held back."""
        held, self._held = self._held, ""
        return visible(held)
