"""Repair the header checksum of a model file whose header was changed on purpose."""

from __future__ import annotations

from edgemed.model_file import keys
from edgemed.model_file.header import header_checksum


def resealed(content: bytes, header_size: int) -> bytes:
    """Return `content` with a new checksum of its header, the first `header_size` bytes."""
    key = keys.HEADER_CHECKSUM.encode()
    at = content.rindex(key, 0, header_size) + len(key) + 4
    return content[:at] + header_checksum(content[:header_size], at).to_bytes(8, "little") + content[at + 8 :]
