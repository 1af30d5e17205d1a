"""The header of one safetensors file: names, dtypes, shapes and offsets of its tensors, all checked before use.

Format: the length of the header in eight little-endian bytes, the header as JSON, then the data. Offsets in the JSON
count from the first byte of the data. https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edgemed.errors import CheckpointError
from edgemed.sizes import file_size

MAX_HEADER_BYTES = 100_000_000
CONVERTED = ("BF16", "F16", "F32", "F8_E4M3")
"""The dtypes that can be converted. A checkpoint may hold tensors of any other that no model needs."""
_DTYPE_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_LFS_POINTER = b"version https://git-lfs."


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a shard. `shape` is in torch's order (out, in); `offset` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """A shard's tensors by name, its size in bytes, and the SHA-256 of its header."""

    tensors: dict[str, StoredTensor]
    size_bytes: int
    digest: str


def read_header(path: Path) -> ShardHeader:
    """The header of `path`. Raises CheckpointError if it is damaged or truncated."""
    try:
        size = file_size(path)
        with path.open("rb") as file:
            refuse_pointer(path, os.pread(file.fileno(), len(_LFS_POINTER), 0))
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise _damaged(path, f"it claims a header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed")
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"The shard {path.name} cannot be read: {error.strerror}.") from None
    if size < 8 or len(text) < length:
        raise _damaged(path, "it ends inside its header")
    document = _parse(path, text)
    document.pop("__metadata__", None)
    data_start = 8 + length
    tensors = {name: _tensor(path, name, entry, data_start, size) for name, entry in document.items()}
    return ShardHeader(tensors, size, hashlib.sha256(text).hexdigest())


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("duplicate name")
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not valid JSON ({type(error).__name__})") from None
    if not isinstance(document, dict):
        raise _damaged(path, "its header is not a JSON object")
    return document


def _tensor(path: Path, name: str, entry: Any, data_start: int, size: int) -> StoredTensor:
    if not isinstance(entry, dict):
        raise _damaged(path, f"its header entry for {name!r} is not an object")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str):
        raise _damaged(path, f"its header gives {name} no dtype")
    shape, offsets = _whole_numbers(entry.get("shape")), _whole_numbers(entry.get("data_offsets"))
    if shape is None:
        raise _damaged(path, f"its header gives {name} an impossible shape")
    bits = _DTYPE_BITS.get(dtype)
    if (
        offsets is None
        or len(offsets) != 2
        or offsets[0] > offsets[1]
        or (bits is not None and 8 * (offsets[1] - offsets[0]) != prod(shape) * bits)
    ):
        raise _damaged(path, f"its header gives {name} offsets that do not match its shape")
    if data_start + offsets[1] > size:
        raise _damaged(path, f"it ends before {name} does")
    return StoredTensor(name, dtype, tuple(shape), data_start + offsets[0], offsets[1] - offsets[0])


def refuse_pointer(path: Path, start: bytes) -> None:
    """Raise CheckpointError for a file that `git clone` leaves in place of a large one."""
    if start.startswith(_LFS_POINTER):
        raise CheckpointError(
            f"{path.name} is a Git LFS pointer and not the file itself; run `git lfs pull` in the checkpoint's folder."
        )


def _whole_numbers(value: Any) -> list[int] | None:
    return value if isinstance(value, list) and all(type(number) is int and number >= 0 for number in value) else None


def _damaged(path: Path, fault: str) -> CheckpointError:
    return CheckpointError(f"The shard {path.name} is damaged or cut short: {fault}; download it again.")
