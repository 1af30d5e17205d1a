"""A model file whose header was changed on purpose, with a checksum that agrees again."""

from __future__ import annotations

from edgemed.model_file import keys
from edgemed.model_file.header import header_checksum


def resealed(content: bytes, header_size: int) -> bytes:
    """`content`, its first `header_size` bytes being the header, with that header's checksum in its place."""
    key = keys.HEADER_CHECKSUM.encode()
    at = content.rindex(key, 0, header_size) + len(key) + 4
    return content[:at] + header_checksum(content[:header_size], at).to_bytes(8, "little") + content[at + 8 :]
