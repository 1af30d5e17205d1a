"""An error on its way from a child process to its parent: the class's name and one sentence."""

from __future__ import annotations

import traceback
from pathlib import Path

from edgemed import errors
from edgemed.errors import EdgemedError, EngineError


def encode_failure(error: Exception) -> tuple[str, str]:
    """(class name, sentence) to send. An unforeseen error is named with its place but without its text, which may quote
    the conversation."""
    if isinstance(error, EdgemedError):
        return type(error).__name__, str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    return EngineError.__name__, f"The engine failed with an internal error ({where}); please report it."


def decode_failure(kind: str, sentence: str) -> EdgemedError:
    """The error that was sent. A class that is not one of ours becomes EngineError."""
    found = getattr(errors, kind, None)
    if not (isinstance(found, type) and issubclass(found, EdgemedError)):
        found = EngineError
    return found(sentence)
