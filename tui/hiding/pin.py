"""What shows a hidden screen again: a PIN, or the passphrase that opened the vault.

The digests are not what protects the vault, whose key is in memory while the screen is hidden. They only keep the
secrets themselves out of memory and out of the database. scrypt takes about 15 ms and 4 MiB.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata

TRIES = 5
"""Wrong entries after which the chat locks."""


def normal_pin(text: str) -> str | None:
    """The digits of a PIN as ASCII, None if `text` is no PIN. An input method's full-width digits count."""
    digits = unicodedata.normalize("NFKC", text).strip()
    if not digits.isascii() or not digits.isdigit() or not 4 <= len(digits) <= 8 or len(set(digits)) == 1:
        return None
    return digits


def digest_of(secret: str) -> str:
    """A salted digest, as text. The secret is normalised as the vault normalises passphrases."""
    salt = os.urandom(16)
    return f"{salt.hex()}:{_scrypt(secret, salt).hex()}"


def matches(secret: str, digest: str) -> bool:
    """Whether `secret` has this digest. Releases the GIL."""
    salt, _, known = digest.partition(":")
    return hmac.compare_digest(_scrypt(secret, bytes.fromhex(salt)), bytes.fromhex(known))


def _scrypt(secret: str, salt: bytes) -> bytes:
    normal = " ".join(unicodedata.normalize("NFKC", secret).split()).encode(errors="replace")
    return hashlib.scrypt(normal, salt=salt, n=1 << 12, r=8, p=1, dklen=32)
