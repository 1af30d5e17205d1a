"""The language in which phrases are written, turned into regular expressions.

A phrase is text in lower case. A space stands for a space or a hyphen, `*` for the rest of a word, ` ... ` for at most
40 characters of the same sentence that begin and end with whole words, `..` for at most 8 characters of the same clause
without a Chinese negation, `{name}` for the phrases of that name, `(a|b)` for alternatives, and `?` makes the character
or group before it optional. Character classes such as `\\d` and `[0-9]` are regular expressions as usual; other
quantifiers are not allowed, so no phrase can take quadratic time. Latin phrases match whole words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice

from edgemed.clinical.flags.reading import Reading

_GAP = r"(?![a-z])[^.;!?。\n]{0,40}?(?<![a-z])(?!(?<=[\d.])\d)"
_SHORT_GAP = r"[^.,;!?。、无未否没不排\n]{0,8}?"
_HAN = re.compile(r"[\u3400-\u9fff]")
_NAME = re.compile(r"\{([a-z_0-9]+)\}")
_TOKEN = re.compile(r" ?\.\.\.? ?|\\.|\[[^\]]*\]|\(\?[=!<:][=!]?|.")
_MOST_PLACES = 3000
"""Places of the text at which one phrase is tried; more than a long record has, and a bound for hostile texts."""
_DIGITS = re.compile(r"\\d|\[[\d-]+\]|\d")


class PhraseError(ValueError):
    """A rule file does not follow its format."""


class _Phrase:
    """One phrase: how a match of it begins, words one of which it contains, and its pattern."""

    def __init__(self, full: str) -> None:
        self._source = _bounded(full)
        self._beginnings = beginnings(full)
        self._needed = literals(full)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self._source)

    def spans(self, reading: Reading) -> Iterator[tuple[int, int]]:
        if not self.possible(reading):
            return
        if self._beginnings is None:
            yield from (match.span() for match in self._pattern.finditer(reading.lower))
            return
        places = chain.from_iterable(reading.starting(beginning) for beginning in self._beginnings)
        for place in islice(places, _MOST_PLACES):
            if match := self._pattern.match(reading.lower, place):
                yield match.span()

    def possible(self, reading: Reading) -> bool:
        """Whether the text has one of the words that every match contains."""
        return self._needed is None or any(reading.holds(word) for word in self._needed)


class Phrases:
    """Phrases of one name. `spans(reading)` are the places where one of them stands."""

    def __init__(self, phrases: Sequence[str], named: Mapping[str, Sequence[str]]) -> None:
        self._phrases = [_Phrase(expanded(phrase, named)) for phrase in phrases]

    def possible(self, reading: Reading) -> bool:
        """Whether the text has the words that one of the phrases needs."""
        return any(phrase.possible(reading) for phrase in self._phrases)

    def spans(self, reading: Reading) -> list[tuple[int, int]]:
        return sorted({span for phrase in self._phrases for span in phrase.spans(reading)})


def expanded(phrase: str, named: Mapping[str, Sequence[str]], depth: int = 0) -> str:
    """The phrase with `{name}` replaced by the alternatives of that name."""

    def alternatives(match: re.Match[str]) -> str:
        if match[1] not in named or depth > 3:
            raise PhraseError(f"No phrases are named {match[1]!r}; add them to [words]")
        return "(" + "|".join(expanded(each, named, depth + 1) for each in named[match[1]]) + ")"

    return _NAME.sub(alternatives, phrase)


def _bounded(phrase: str) -> str:
    source = regex(phrase)
    if _HAN.search(phrase):
        return f"(?:{source})"
    before = r"(?<![\d.])" if phrase[0].isdigit() or phrase.startswith(("\\d", "[")) else r"(?<![a-z])"
    after = r"(?!\d)" if phrase[-1].isdigit() or phrase.endswith("\\d") else r"(?![a-z])"
    return f"{before}(?:{source}){after}"


def regex(phrase: str) -> str:
    """The regular expression of a phrase whose names are expanded."""
    parts: list[str] = []
    gaps = 0
    for token in _TOKEN.findall(phrase):
        if "..." in token:
            gaps += 1
            parts.append(_GAP)
        elif ".." in token:
            parts.append(_SHORT_GAP)
        elif token == "*":
            parts.append("[a-z]{0,12}")
        elif token == " ":
            parts.append("[ -]")
        elif token == "(":
            parts.append("(?:")
        elif token in ("+", "{", "}", "^", "$"):
            raise PhraseError(f"{token!r} is not allowed in the phrase {phrase!r}; write the words out")
        else:
            parts.append(re.escape(token) if token in ".-&#'" else token)
    if gaps > 1 and "|" not in phrase:
        raise PhraseError(f"The phrase {phrase!r} has more than one gap; make it two elements of the rule")
    source = "".join(parts)
    try:
        re.compile(source)
    except re.error as error:
        raise PhraseError(f"The phrase {phrase!r} is no pattern ({error}); correct it") from None
    return source


def literals(phrase: str) -> frozenset[str] | None:
    """Words one of which stands in every text that the phrase matches; None if there are no such words.

    A space before a word says that it begins where a word of the text does.
    """
    tokens = _TOKEN.findall(phrase)
    found, _ = _alternatives(tokens, 0, starts=not _HAN.search(phrase))
    return found


def _alternatives(tokens: Sequence[str], at: int, *, starts: bool) -> tuple[frozenset[str] | None, int]:
    """The words of a list of alternatives that begins at a token, and the place of its closing bracket.

    starts: a match of the list begins where a word does.
    """
    options: list[frozenset[str] | None] = []
    while True:
        option, at = _sequence(tokens, at, starts=starts)
        options.append(option)
        if at >= len(tokens) or tokens[at] == ")":
            break
        at += 1
    if None in options:
        return None, at
    return frozenset().union(*(option for option in options if option)), at


def _sequence(tokens: Sequence[str], at: int, *, starts: bool) -> tuple[frozenset[str] | None, int]:
    """The most telling words of one alternative: the set whose shortest word is the longest."""
    sets: list[frozenset[str]] = []
    run = ""
    while at < len(tokens) and tokens[at] not in ("|", ")"):
        token = tokens[at]
        optional = at + 1 < len(tokens) and tokens[at + 1] == "?"
        if token.isalpha() and len(token) == 1 and not optional:
            run = run or (" " if starts and token.isascii() else "")
            run += token
        else:
            sets.append(frozenset((run,)))
            run = ""
        if token.startswith("("):
            inner, at = _alternatives(tokens, at + 1, starts=starts and token == "(")
            optional = at + 1 < len(tokens) and tokens[at + 1] == "?"
            if inner is not None and not optional and token == "(":
                sets.append(inner)
        starts = token in (" ", " ... ") and not optional
        at += 1
    sets.append(frozenset((run,)))
    best = max(sets, key=lambda words: (min(map(_letters, words)), -len(words)), default=frozenset(("",)))
    shortest = min(best, key=_letters)
    return (best, at) if _letters(shortest) >= 2 or (shortest and _HAN.search(shortest)) else (None, at)


def _letters(word: str) -> int:
    return len(word.lstrip())


def beginnings(phrase: str) -> frozenset[str] | None:
    """What a match of the phrase begins with: letters, or one other character, or "0" for a digit; None if anything."""
    found, _ = _first_of(_TOKEN.findall(phrase), 0)
    return None if found is None or "" in found else found


def _first_of(tokens: Sequence[str], at: int) -> tuple[frozenset[str] | None, int]:
    """The beginnings of a list of alternatives that starts at a token, and the place of its closing bracket."""
    options: list[frozenset[str] | None] = []
    while True:
        option, at = _first(tokens, at)
        options.append(option)
        if at >= len(tokens) or tokens[at] == ")":
            break
        at += 1
    return (None, at) if None in options else (frozenset().union(*filter(None, options)), at)


def _first(tokens: Sequence[str], at: int) -> tuple[frozenset[str] | None, int]:
    """The beginnings of one alternative; "" if it can be empty."""
    found: set[str] = set()
    run, open_, unknown = "", True, False
    while at < len(tokens) and tokens[at] not in ("|", ")"):
        token = tokens[at]
        options: frozenset[str] | None = frozenset((token,))
        if token.startswith("("):
            options, at = _first_of(tokens, at + 1)
            if token != "(":
                options = frozenset(("",))
        elif _DIGITS.fullmatch(token):
            options = frozenset("0")
        elif token[0] == "\\":
            options = frozenset((token[1:],)) if not token[1:].isalnum() else None
        elif token.startswith("[") or token == "*" or "..." in token:
            options = None
        at += 1
        optional = at < len(tokens) and tokens[at] == "?"
        at += optional
        if not open_:
            continue
        if run and (optional or len(token) > 1 or not token.isalpha()):
            found.add(run)
            open_ = False
        elif run or (not optional and len(token) == 1 and token.isalpha()):
            run += token
        elif options is None:
            unknown, open_ = True, False
        else:
            found |= options - {""}
            open_ = optional or "" in options
    if open_:
        found.add(run)
    return (None if unknown else frozenset(found)), at
