"""A text cut into sentences and clauses of words; Chinese words are runs of characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from edgemed.clinical.folded import Folded
from edgemed.clinical.numbers import vocabulary

CUES = frozenset({"xno", "xnot", "xden", "xback", "xout"})
"""What words.toml makes of the words that negate."""
SIDES = ("left", "right", "bilateral")

_TOKEN = re.compile(
    r"(?P<quantity>#(?P<index>\d+)#)|(?P<word>[a-z][a-z0-9]*(?:'s)?)|(?P<han>[\u4e00-\u9fff]+)"
    r"|(?P<end>[.;!?\n。](?!\d)|\btherefore\b)|(?P<comma>[,，、/(){}\[\]|:+>])"
)
_JOINS = {"and", "or", "but", "then", "with", "plus", "while", "whereas", "who", "which", "because", "until"}
_STOP_HAN = re.compile(
    r"患者|病人|明显|任何|出现|发现|目前|现|曾|有|过|史|等|的|了|为|约|给予|予|口服|静滴|静脉滴注|服用|使用|应用|剂量|情况|可|见|均|年龄|左右|时|至今|入院|自诉|诉|余|共|是|在|于|近|已|其|该|及|后|前|伴|发作|发生|症状|表现|病史|征象|迹象|提示|显示|示|查|检查|试验|改为|增加|减量"
)
_NOT_A_SIDE_AFTER = re.compile(
    r"\s*(?:the|a|his|her|their|hospital|ama|against|untreated|work|home|without|over|alone|school|us)\b"
)
_NOT_A_SIDE_BEFORE = re.compile(r"\b(?:had|has|have|who|she|he|they|patient|then) +$")


Word = tuple[str, int, int]
"""A word in canonical form, and where it stands in the folded text."""


@dataclass(slots=True)
class Clause:
    """`before`: what separates it from the clause before it. `items`: words and indices of quantities, in order.

    `stops`: for each quantity that is not soft, how many words stand before it.
    """

    before: str
    words: list[Word] = field(default_factory=list)
    items: list[str | int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The words alone."""
        return [word for word, _, _ in self.words]


def sentences(folded: Folded, soft: list[bool]) -> Iterator[list[Clause]]:
    """The sentences of a text in which #3# stands for the fourth quantity; soft[3]: whether that is a soft one."""
    sentence = [Clause("")]
    text = folded.text
    fixed = vocabulary.canonical_words()
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "end":
            yield sentence
            sentence = [Clause("")]
        elif kind == "comma":
            if match[0] != ":":
                sentence.append(Clause(match[0]))
        elif kind == "index" or kind == "quantity":
            index = int(match["index"])
            sentence[-1].items.append(index)
            if not soft[index]:
                sentence[-1].stops.append(len(sentence[-1].words))
        elif kind == "han":
            for run, at in _han_runs(match[0], match.start()):
                _add(sentence[-1], run, at, at + len(run))
        else:
            word = match[0].removesuffix("'s")
            if word in _JOINS:
                sentence.append(Clause(word))
            elif word == "left" and not _is_left(text, match):
                continue
            else:
                _add(sentence[-1], word if word in fixed else stem(word), match.start(), match.end())
    yield sentence


def _add(clause: Clause, word: str, start: int, end: int) -> None:
    clause.words.append((word, start, end))
    clause.items.append(word)


def _is_left(text: str, match: re.Match[str]) -> bool:
    """Whether "left" is a side, and not "he left the ward"."""
    i, j = match.span()
    return not (_NOT_A_SIDE_AFTER.match(text, j) or _NOT_A_SIDE_BEFORE.search(text, max(0, i - 12), i))


def _han_runs(run: str, at: int) -> Iterator[tuple[str, int]]:
    last = 0
    for match in _STOP_HAN.finditer(run):
        if match.start() > last:
            yield run[last : match.start()], at + last
        last = match.end()
    if last < len(run):
        yield run[last:], at + last


def stem(word: str) -> str:
    """Plural, British spelling and the commonest endings away: replaced and replacement are the same."""
    if len(word) > 4:
        if "ae" in word or "oe" in word:
            word = word.replace("ae", "e").replace("oe", "e")
        if word.endswith("ies"):
            return word[:-3] + "y"
        if word[-1] == "s" and word[-2] not in "sui":
            word = word[:-1]
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) > 3:
                return word[: -len(ending)]
    return word


_ENDINGS = ("ement", "ment", "ings", "ing", "ation", "ated", "ions", "ion", "ed", "al", "ly", "e")


def content(words: list[str]) -> frozenset[str]:
    """The words that carry meaning; Chinese runs as pairs of characters."""
    found: set[str] = set()
    plain = _plain()
    for word in words:
        if word[0] >= "\u4e00":
            found.update(word[i : i + 2] for i in range(len(word) - 1)) if len(word) > 1 else found.add(word)
        elif word not in plain and word not in CUES and len(word) > 1:
            found.add(word)
    return frozenset(found)


@cache
def _plain() -> frozenset[str]:
    """The words that carry none, and their stems."""
    words = vocabulary.listed("plain")
    return words | {stem(word) for word in words}
