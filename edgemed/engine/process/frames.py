"""The encoding of messages between the parent and the engine's process: length-prefixed JSON.

A frame is a 32-bit little-endian length and that many bytes of UTF-8 JSON: `[type, request, fields]`. `request` is the
id of the `Generate` it belongs to, or empty. Both ends check every field's type, so that a mistake on one side is an
error there and not a puzzle on the other.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import struct
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from edgemed.engine.process.messages import AnyMessage
from edgemed.errors import EngineError

MAX_FRAME_BYTES = 1 << 26
_LENGTH = struct.Struct("<I")
_BY_NAME: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(AnyMessage)}


def encode(message: AnyMessage, request: str = "") -> bytes:
    """The message as one frame. Raises EngineError if it is too large."""
    body = json.dumps([type(message).__name__, request, dataclasses.asdict(message)]).encode()
    if len(body) > MAX_FRAME_BYTES:
        raise EngineError(f"A message of {len(body) >> 20} MiB is too large for the engine; shorten the text.")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Decodes a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, AnyMessage]]:
        """Append `data` and yield (request, message) for every complete frame. Raises EngineError for garbled data."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise EngineError("The engine's messages are garbled; start it again.")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> tuple[str, AnyMessage]:
    try:
        name, request, fields = json.loads(body)
        message: AnyMessage = _build(_BY_NAME[name], fields)
        return _build(str, request), message
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"The engine's messages are garbled ({error}); start it again.") from None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, value: Any) -> Any:
    """Convert `value`, from JSON, to `kind`. Raises TypeError, KeyError or ValueError if it has another type."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        if not isinstance(value, dict) or value.keys() - hints.keys():
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        return kind(**{name: _build(hints[name], item) for name, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(_build(arguments[0], item) for item in value)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is not one of {arguments}")
        return value
    if origin is types.UnionType:
        if value is None and type(None) in arguments:
            return None
        return _build(next(each for each in arguments if each is not type(None)), value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value
