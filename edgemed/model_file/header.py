"""The header of a GGUF v3 file: key-value pairs and tensor descriptions, read once, in linear time.

The `gguf` package's reader maps the file and decodes every array. This one reads ahead in pieces, decodes an array only
when it is needed, and trusts nothing: every count, length and offset is checked against the file's size before it is
used. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import itertools
import os
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from edgemed.errors import ModelFileError
from edgemed.model_file import ggml_types
from edgemed.model_file.metadata import ARRAY, SCALARS, STRING, Field, Metadata
from edgemed.native import Xxh3
from edgemed.sizes import file_size

ggml_types.complete()

MAGIC = b"GGUF"
VERSION = 3
# Several times what the largest models have. A header of this size takes about 200 MiB of memory to read.
MAX_HEADER_BYTES = 1 << 26
MAX_TENSORS = 1 << 18
MAX_TEXT_BYTES = 1 << 24  # of one value: a chat template, or a plan with a type for every expert
MAX_STRINGS = 1 << 20  # of one array: a vocabulary or its merges
MAX_NUMBERS = 1 << 22
MAX_KEYS = 1 << 16
MAX_NAME_BYTES = 63
MAX_KEY_BYTES = 1 << 12
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 1 << 42
READ_AHEAD = 1 << 20
DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor's description. shape: in ggml's order, fastest dimension first; part: the file that holds it, of
    several; offset: from the start of that file."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    offset: int
    nbytes: int
    part: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


@dataclass(frozen=True, slots=True)
class Header:
    metadata: Metadata
    tensors: dict[str, TensorInfo]
    data_start: int
    alignment: int
    bytes: bytes
    """The file's bytes up to the end of the tensor descriptions."""
    size: int
    """Of the whole file, in bytes."""


def header_checksum(header: bytes, value_at: int) -> int:
    """XXH3-64 of a header's bytes, in which the eight bytes that store the checksum count as zeros."""
    state, view = Xxh3(), memoryview(header)
    for part in (view[:value_at], bytes(8), view[value_at + 8 :]):
        state.update(part)
    return state.digest()


def read_header(path: Path) -> Header:
    """Read the header of `path`. Raises ModelFileError if it is not a well-formed GGUF v3 file."""
    try:
        size = file_size(path)
        with path.open("rb") as file:
            return _parse(_Cursor(file.fileno(), size, path.name))
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file at {path}; check the path.") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path} is a folder; name a .gguf file (`edgemed convert` makes one).") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}; name a readable .gguf file.") from None


class _Cursor:
    """A position in a file. The bytes up to it, and some read ahead, are in `buffer`."""

    def __init__(self, fd: int, size: int, name: str) -> None:
        self.buffer = bytearray()
        self.at = 0
        self.size = size
        self.name = name
        self._fd = fd

    def take(self, count: int) -> int:
        """Advance by `count` bytes, reading them into `buffer`; return their start."""
        start, self.at = self.at, self.at + count
        if self.at > self.size:
            raise self.error("ends inside its header: it was cut short")
        if self.at > MAX_HEADER_BYTES:
            raise self.error(f"has a header of more than {MAX_HEADER_BYTES >> 20} MiB, which no model needs")
        while len(self.buffer) < self.at:
            piece = os.pread(self._fd, max(READ_AHEAD, self.at - len(self.buffer)), len(self.buffer))
            if not piece:
                raise self.error("ends inside its header: it was cut short")
            self.buffer += piece
        return start

    def u32(self) -> int:
        start = self.take(4)
        return int.from_bytes(self.buffer[start : start + 4], "little")

    def u64(self) -> int:
        start = self.take(8)
        return int.from_bytes(self.buffer[start : start + 8], "little")

    def text(self, limit: int, what: str) -> str:
        length = self.u64()
        if length > limit:
            raise self.error(f"has {what} of {length} bytes; at most {limit} are allowed")
        start = self.take(length)
        try:
            return self.buffer[start : start + length].decode()
        except UnicodeDecodeError:
            raise self.error(f"has {what} that is not UTF-8") from None

    def error(self, fault: str) -> ModelFileError:
        return ModelFileError(f"{self.name} is not a usable model file: it {fault}.")


def _parse(cursor: _Cursor) -> Header:
    start = cursor.take(4)
    if cursor.buffer[start : start + 4] != MAGIC:
        raise cursor.error("does not begin with the letters GGUF")
    version = cursor.u32()
    if version != VERSION:
        raise cursor.error(f"is GGUF version {version}; only version {VERSION} is supported")
    n_tensors, n_keys = cursor.u64(), cursor.u64()
    if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
        raise cursor.error(f"claims {n_tensors} tensors and {n_keys} keys, more than any model has")
    fields = _read_fields(cursor, n_keys)
    described = [_read_tensor(cursor) for _ in range(n_tensors)]

    header = bytes(memoryview(cursor.buffer)[: cursor.at])
    metadata = Metadata(header, fields)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 8 or alignment > 1 << 24 or alignment & (alignment - 1):
        raise cursor.error(f"has an alignment of {alignment!r}, which is not a power of two of at least 8")
    data_start = -(-cursor.at // alignment) * alignment
    tensors = {info[0]: _place(cursor, info, data_start, alignment) for info in described}
    if len(tensors) != n_tensors:
        raise cursor.error("describes the same tensor twice")
    _refuse_overlap(cursor, tensors)
    return Header(metadata, tensors, data_start, alignment, header, cursor.size)


def _read_fields(cursor: _Cursor, count: int) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for _ in range(count):
        start = cursor.at
        key = cursor.text(MAX_KEY_BYTES, "a key")
        kind = cursor.u32()
        value_at = cursor.at
        _skip(cursor, kind)
        if key in fields:
            raise cursor.error(f"has the key {key} twice")
        fields[key] = Field(start, cursor.at, kind, value_at)
    return fields


def _skip(cursor: _Cursor, kind: int) -> None:
    if kind in SCALARS:
        cursor.take(struct.calcsize(SCALARS[kind]))
    elif kind == STRING:
        _skip_text(cursor)
    elif kind == ARRAY:
        item, count = cursor.u32(), cursor.u64()
        if count > (MAX_STRINGS if item == STRING else MAX_NUMBERS):
            raise cursor.error(f"claims an array of {count} values, more than any model has")
        if item in SCALARS:
            cursor.take(struct.calcsize(SCALARS[item]) * count)
        elif item == STRING:
            for _ in range(count):
                _skip_text(cursor)
        else:
            raise cursor.error(f"has an array of the unknown type {item}")
    else:
        raise cursor.error(f"has a value of the unknown type {kind}")


def _skip_text(cursor: _Cursor) -> None:
    length = cursor.u64()
    if length > MAX_TEXT_BYTES:
        raise cursor.error(f"claims a text of {length} bytes, more than any model has")
    cursor.take(length)


def _read_tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text(MAX_NAME_BYTES, "a tensor name")
    n_dims = cursor.u32()
    if not 1 <= n_dims <= MAX_DIMENSIONS:
        raise cursor.error(f"gives {name} {n_dims} dimensions, but at most {MAX_DIMENSIONS} are allowed")
    shape = tuple(cursor.u64() for _ in range(n_dims))
    if 0 in shape or max(shape) > MAX_ELEMENTS or prod(shape) > MAX_ELEMENTS:
        raise cursor.error(f"gives {name} the impossible shape {shape}")
    return name, shape, cursor.u32(), cursor.u64()


def _place(
    cursor: _Cursor, described: tuple[str, tuple[int, ...], int, int], data_start: int, alignment: int
) -> TensorInfo:
    name, shape, type_id, offset = described
    try:
        kind = GGMLQuantizationType(type_id)
        block, block_bytes = GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise cursor.error(f"stores {name} in the unknown type {type_id}") from None
    if shape[0] % block:
        raise cursor.error(f"stores {name} as {kind.name}, whose blocks of {block} do not divide rows of {shape[0]}")
    if offset % alignment:
        raise cursor.error(f"places {name} at {offset}, which is not a multiple of its alignment {alignment}")
    info = TensorInfo(name, shape, kind, data_start + offset, prod(shape) // block * block_bytes)
    if info.end > cursor.size:
        raise cursor.error(f"ends before {name} does: it was cut short")
    return info


def _refuse_overlap(cursor: _Cursor, tensors: dict[str, TensorInfo]) -> None:
    in_order = sorted(tensors.values(), key=lambda info: info.offset)
    for one, next_one in itertools.pairwise(in_order):
        if one.end > next_one.offset:
            raise cursor.error(f"stores {one.name} and {next_one.name} in overlapping bytes")
