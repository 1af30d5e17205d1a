"""Words that a test plants in a chat, and the search for them in files and in the memory of processes.

They are looked for as UTF-8, UTF-16 and UTF-32, as Python, terminals and SQLite hold text, and as token ids of 32 bits,
as the engine holds it. All words of a language begin alike, with letters that no other text has.
"""

from __future__ import annotations

import array
import functools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgemed.demo import checkpoint_path
from testing.handles import Handle

PLACES = ("question", "second", "queued", "edited", "draft", "title", "case", "note", "deleted", "search")
_CHINESE = dict(zip(PLACES, "甲乙丙丁戊己庚辛壬癸", strict=True))
WORDS = {place: (f"qzvexo{place}", f"鲸鹤骨{_CHINESE[place]}") for place in PLACES}
"""Where a word is planted -> one English and one Chinese word."""


def planted(*places: str) -> str:
    """Both words of these places, between spaces, so that their token ids do not depend on what is beside them."""
    return " ".join(word for place in places for word in WORDS[place])


class Search:
    """Finds planted words. What is found is named by place and encoding: `draft utf-8`."""

    def __init__(self, secret: str) -> None:
        """`secret`: another text to look for, such as a passphrase, with the place `secret`."""
        self._kinds: list[tuple[bytes, dict[bytes, str]]] = []
        """What all words of one language have in common in one encoding, and their codes."""
        for language in (0, 1):
            words = {place: pair[language] for place, pair in WORDS.items()}
            for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "tokens"):
                codes = {encoded(word, encoding): f"{place} {encoding}" for place, word in words.items()}
                self._kinds.append((beginning(list(codes)), codes))
        self._kinds.append((secret.encode(), {secret.encode(): "secret utf-8"}))
        assert min(len(common) for common, _ in self._kinds) > 5, "longer is faster to look for"

    def in_memory(self, pid: int) -> set[str]:
        """What is in the memory of a process. Needs root's rights; raises OSError."""
        with Path(f"/proc/{pid}/mem").open("rb") as memory, Path(f"/proc/{pid}/maps").open("rb") as regions:
            pieces = Handle(memory.fileno(), regions.fileno()).pieces()
            return {name for piece in pieces for name in self._in(piece)}

    def in_files(self, paths: Iterable[Path]) -> set[str]:
        """What is in the files, and in all files of the folders, each with the file's name."""
        found = set()
        for path in paths:
            for file in [path] if path.is_file() else path.rglob("*"):
                with suppress(OSError):  # it was deleted, or it is a folder
                    found |= {f"{name} in {file.name}" for name in self._in(file.read_bytes())}
        return found

    def _in(self, data: bytes) -> Iterator[str]:
        for common, codes in self._kinds:
            if common in data:
                yield from (name for code, name in codes.items() if code in data)


def beginning(codes: list[bytes]) -> bytes:
    """What all codes begin with."""
    first, last = min(codes), max(codes)
    return next((first[:n] for n in range(len(first)) if first[n] != last[n]), first)


def encoded(word: str, encoding: str) -> bytes:
    """The word in an encoding of Python's, or as the 32-bit token ids that the demonstration model has for it."""
    if encoding != "tokens":
        return word.encode(encoding)
    ids = _tokenizer().encode(f" {word}", add_special_tokens=False).ids
    return array.array("i", ids).tobytes()


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(checkpoint_path() / "tokenizer.json"))
