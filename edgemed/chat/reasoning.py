"""Separates a model's reasoning from its answer.

Reasoning models write their deliberation first, between tags such as `<think>` and `</think>`. It holds doses and
diagnoses that the model then rejected, so it is folded on the screen and never copied.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NAMES = "think|thinking|thought|reasoning|reason|analysis"
_OPENED = re.compile(rf"\s*<({_NAMES})>", re.IGNORECASE)
# Some chat templates end the prompt with the opening tag, so that only the closing one is in the answer.
_CLOSED = re.compile(rf"</({_NAMES})>", re.IGNORECASE)


class Parts(NamedTuple):
    """An answer's reasoning, empty if there is none, and what it says to the reader."""

    reasoning: str
    answer: str


def parts(text: str) -> Parts:
    """`text` without its tags, in two parts. Reasoning that is not closed yet reaches to the end of the text.

    A tag anywhere but at the beginning is part of the answer.
    """
    opened = _OPENED.match(text)
    if opened is None:
        closed = _CLOSED.search(text)
        if closed is None or "<" + closed[1] + ">" in text[: closed.start()]:
            return Parts("", text)
        return Parts(text[: closed.start()].strip(), text[closed.end() :].lstrip("\n"))
    closing = re.compile(rf"</{opened[1]}>", re.IGNORECASE).search(text, opened.end())
    if closing is None:
        return Parts(text[opened.end() :].strip(), "")
    return Parts(text[opened.end() : closing.start()].strip(), text[closing.end() :].lstrip("\n"))


_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+(?:['’.,-][^\W\u3400-\u9fff]+)*")


def count_words(text: str) -> int:
    """The number of words; every Chinese character counts as one."""
    return sum(1 for _ in _WORD.finditer(text))
