"""A text that was read before is not read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """What `read` makes of a text, made once for each text. It holds the texts: one for each chat, and `keep` them."""

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read
        self._of: dict[str, T] = {}

    def of(self, text: str) -> T:
        """What was read in `text`."""
        if text not in self._of:
            self._of[text] = self._read(text)
        return self._of[text]

    def keep(self, texts: Iterable[str]) -> None:
        """Forget all other texts."""
        self._of = {text: self._of[text] for text in texts if text in self._of}
