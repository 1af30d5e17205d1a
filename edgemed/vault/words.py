"""What a person types to open a vault: a passphrase, or the 24 recovery words that were printed for it."""

from __future__ import annotations

import re
import secrets
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from edgemed.errors import VaultError

if TYPE_CHECKING:
    from mnemonic import Mnemonic

RECOVERY_WORDS = 24
SUGGESTED_WORDS = 5
SHORTEST = 12
"""Characters of a passphrase. A Chinese character counts as two, since it is one of thousands."""
_FEWEST_DIFFERENT = 6
_LONGEST = 1024
_LOOKS_LIKE_RECOVERY = 18
"""So many words of the list mean that someone typed recovery words, with mistakes."""


def suggest_passphrase() -> str:
    """Five random words of the BIP 39 list: 55 bits. With Argon2id at the default cost that is out of reach."""
    return " ".join(secrets.choice(_list().wordlist) for _ in range(SUGGESTED_WORDS))


def new_recovery_words() -> list[str]:
    """24 words for 256 random bits. The last word holds a checksum (BIP 39)."""
    phrase: str = _list().to_mnemonic(secrets.token_bytes(32))
    return phrase.split()


def passphrase_bytes(text: str) -> bytes:
    """A passphrase as bytes for the key derivation.

    It is normalised (NFKC), so that full-width letters of an input method equal ordinary ones, and blanks around and
    between words count once. Raises VaultError for text that is empty, too long or not UTF-8.
    """
    try:
        normal = " ".join(unicodedata.normalize("NFKC", text).split()).encode()
    except UnicodeEncodeError:
        raise VaultError("The passphrase is not UTF-8 text; check the terminal's encoding.") from None
    if not normal:
        raise VaultError("The passphrase is empty; type it again.")
    if len(normal) > _LONGEST:
        raise VaultError(f"The passphrase is longer than {_LONGEST} bytes; choose a shorter one.")
    return normal


def refuse_weak(passphrase: str) -> None:
    """Raise VaultError for a new passphrase that is too short or has no letters."""
    text = passphrase_bytes(passphrase).decode()
    length = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    if length < SHORTEST or len(set(text)) < _FEWEST_DIFFERENT:
        raise VaultError(
            f"The passphrase is too short; use at least {SHORTEST} characters, {_FEWEST_DIFFERENT} of them different, "
            "for example five random words."
        )
    if not any(character.isalpha() for character in text):
        raise VaultError("A passphrase needs letters, since numbers are found by trying; use for example five words.")


def recovery_entropy(text: str) -> bytes | None:
    """The 256 bits of 24 recovery words; None if `text` is something else or has a typing error.

    Case, blanks, and the numbers and punctuation of a printed list do not matter.
    """
    words = _words(text)
    if len(words) != RECOVERY_WORDS or not _list().check(" ".join(words)):
        return None
    return bytes(_list().to_entropy(words))


def typing_error(text: str) -> str | None:
    """A sentence about a mistake in what seems to be recovery words. It depends on `text` alone, not on a vault."""
    words = _words(text)
    known = set(_list().wordlist)
    if sum(word in known for word in words) < _LOOKS_LIKE_RECOVERY:
        return None
    if len(words) != RECOVERY_WORDS:
        return f"There are {RECOVERY_WORDS} recovery words, and {len(words)} were typed; compare them with the paper."
    for number, word in enumerate(words, 1):
        if word not in known:
            return f"Recovery word {number} is not on the list; compare it with the paper."
    if recovery_entropy(text) is None:
        return "The recovery words have a typing error, their checksum is wrong; compare them with the paper."
    return None


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", unicodedata.normalize("NFKC", text).lower())


@cache
def _list() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")
