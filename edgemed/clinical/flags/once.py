"""A text that was read before is not read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """What `read` makes of a text, made once for each text, on any thread.

    It holds the texts: use one instance for each chat, and call `keep` to drop those that have left it.
    """

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read
        self._of: dict[str, T] = {}

    def of(self, text: str) -> T:
        """What was read in `text`."""
        known = self._of
        if (found := known.get(text)) is None:
            found = known[text] = self._read(text)
        return found

    def keep(self, texts: Iterable[str]) -> None:
        """Forget all other texts."""
        known = self._of
        self._of = {text: known[text] for text in texts if text in known}
