"""Forms of a text that are easier to match and have the same offsets as the text itself."""

from __future__ import annotations

import unicodedata

_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
_QUOTES = dict.fromkeys("\u2018\u2019\u02bc\uff07", "'")


def folded(text: str) -> str:
    """`text` with full-width and other compatibility characters, dashes and apostrophes in their plain form."""
    return text.translate({ord(each): plain for each in set(text) if (plain := _plain(each)) != each})


def lowered(text: str) -> str:
    """A folded text in lower case."""
    return text.translate({ord(each): each.lower() for each in set(text) if len(each.lower()) == 1})


def _plain(character: str) -> str:
    if character in _DASHES or character in _QUOTES:
        return _DASHES.get(character, "'")
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character
