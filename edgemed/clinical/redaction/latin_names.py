"""Names in English text: labelled, titled, in salutations and signatures, of relatives, and known given names."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from edgemed.clinical.redaction import latin_patterns as patterns
from edgemed.clinical.redaction import latin_roles as roles
from edgemed.clinical.redaction.identifier import Name
from edgemed.clinical.redaction.words import EPONYMS, GIVEN, MEDICAL_ENDS, ORDINARY, STOP


class LatinNames:
    """The names in a folded text."""

    def __init__(self, text: str, low: str) -> None:
        self._text = text
        self._low = low

    def found(self) -> list[Name]:
        """Every name, in no order. They may overlap."""
        return [*self._titled(), *self._labelled(), *self._cued(), *self._beside_roles(), *self._given()]

    # --- by what stands before it ---

    def _titled(self) -> Iterator[Name]:
        for match in patterns.TITLED.finditer(self._text):
            upper = match[0].split()[0].rstrip(".") in ("MR", "DR")
            if not self._inside(match.start()):
                yield from self._name(
                    *match.span("n"),
                    sure=True,
                    single=not (upper and match["n"].isupper() and match[0][0] == "M"),
                    titled=True,
                )

    def _labelled(self) -> Iterator[Name]:
        for label in patterns.NAME_LABEL.finditer(self._low):
            said_is, before = label["sign"] == "is", self._low[max(0, label.start() - 20) : label.start()]
            whose = not said_is or patterns.WHOSE.search(before)
            if before[-1:].isalpha() or patterns.OTHER_LABELS.search(before) or not whose:
                continue
            match = patterns.AFTER_LABEL.match(self._text, label.end())
            if match and not (said_is and not match["n"][0].isupper()):
                value = patterns.NEXT_FIELD.sub("", match["n"]).rstrip(" .,-'")
                words = re.findall(r"[^\W\d_]+", value.casefold())
                if words and not all(word in STOP for word in words):
                    yield Name(match.start("n"), match.start("n") + len(value), sure=True)
        for pattern, single in ((patterns.ROLE_LABEL, False), (patterns.BY, False)):
            for label in pattern.finditer(self._low):
                if not (label.start() and self._low[label.start() - 1].isalpha()) and (
                    match := patterns.CAPITAL.match(self._text, label.end())
                ):
                    yield from self._name(*match.span("n"), sure=True, single=single)

    def _cued(self) -> Iterator[Name]:
        for pattern in (patterns.SALUTATION, patterns.SIGNATURE, patterns.PATIENT):
            for match in pattern.finditer(self._text):
                yield from self._name(*match.span("n"), sure=True, single=True)
        for match in patterns.CREDENTIAL.finditer(self._text):
            yield from self._name(*match.span("n"), sure=True, single=False)
        for match in patterns.CALLED.finditer(self._text):
            yield from self._name(*match.span("n" if match["n"] else "m"), sure=True, single=True)
        for match in patterns.AGED.finditer(self._text):
            yield from self._name(*match.span("n"), sure=True, single=True, mixed=True)
        for match in patterns.GREETING.finditer(self._low):
            if match["n"] in GIVEN and not self._inside(match.start()):
                yield Name(*match.span("n"), sure=True)
        for match in patterns.RELATIVES.finditer(self._text):
            if not self._inside(match.start()):
                yield from self._name(*match.span("n"), sure=True, single=True, mixed=True)
        for match in patterns.INITIALS.finditer(self._text):
            measured = (
                self._text[max(0, match.start() - 3) : match.start()] in ("mm ", "cm ")
                or self._text[match.start() - 1 : match.start()] == "/"
                or (match.start() > 1 and self._text[match.start() - 2].isdigit())
            )
            if not self._inside(match.start()) and not measured:
                word = match["w"].casefold()
                if word not in STOP and word not in EPONYMS and len(word) > 2 and not self._eponym(match.end()):
                    yield Name(match.start(), match.end(), sure=False)

    def _beside_roles(self) -> Iterator[Name]:
        for role in roles.BESIDE.finditer(self._text):
            if role["role"].casefold() in roles.PERSON and (match := roles.AFTER.match(self._text, role.end())):
                for group in ("n", "m"):
                    if match[group] and (group == "n" or (self._plausible(match["n"]) and len(match["m"]) > 2)):
                        yield from self._name(*match.span(group), sure=True, single=True, mixed=True)
        for pattern in roles.SUBJECTS:
            for match in pattern.finditer(self._text):
                if self._plausible(match["n"]):
                    yield from self._name(*match.span("n"), sure=True, single=False, mixed=True)
        for match in roles.CLOSING.finditer(self._text):
            yield from self._name(*match.span("n"), sure=True, single=True)
        for pattern in (roles.PHRASE, roles.MAYBE, *((roles.HANDOVER,) if "handover" in self._low else ())):
            for match in pattern.finditer(self._text):
                yield from self._name(*match.span("n"), sure=True, single=True, mixed=True)
        for pattern in (roles.SCANNED, roles.CODED):
            yield from (Name(*match.span("n"), sure=False) for match in pattern.finditer(self._text))

    def _plausible(self, name: str) -> bool:
        """Whether every word of `name` may be part of a name."""
        return all(self._part(word) for word in re.findall(r"[^\W\d_][\w'-]*", name.casefold()))

    # --- by itself ---

    @cached_property
    def words(self) -> list[tuple[int, int, str]]:
        """Every capitalised word: start, end, in lower case."""
        return [(match.start(), match.end(), match[0].casefold()) for match in patterns.WORDS.finditer(self._text)]

    def _given(self) -> Iterator[Name]:
        """Given names, with the capitalised words beside them."""
        for place, (start, end, word) in enumerate(self.words):
            if word.partition("-")[0].removesuffix("'s") in GIVEN and not self._inside(start) and self._alone(place):
                last = place
                while last < place + 3 and self._continues(last):
                    last += 1
                first = place - self._follows_surname(place)
                begins, stop = self.words[first][0], self.words[last][1]
                hyphen = last == place and self._text[stop : stop + 1] == "-"
                if not (self._eponym(end) or self._eponym(stop) or hyphen):
                    own = self._text.endswith("'s", begins, stop)
                    yield Name(begins, stop - 2 * own, sure=first < last)

    def _alone(self, place: int) -> bool:
        """Whether a given name is no part of another word, no saint, and no abbreviation such as ANA or ALI."""
        start, end, _ = self.words[place]
        if (start and self._text[start - 1] in "-'") or self._text.endswith(("St. ", " St ", "Saint "), 0, start):
            return False
        if end - start > 4 or not self._text[start:end].isupper():
            return True
        beside = [near for near in (place - 1, place + 1) if 0 <= near < len(self.words)]
        return any(self._capitals_beside(place, near) for near in beside)

    def _capitals_beside(self, place: int, near: int) -> bool:
        """Whether the word at `near` is in capitals, too, and may be part of the same name."""
        first, second = sorted((place, near))
        start, end, word = self.words[near]
        between = self._text[self.words[first][1] : self.words[second][0]]
        return between in (" ", ", ") and end - start > 2 and self._text[start:end].isupper() and self._part(word)

    def _continues(self, last: int) -> bool:
        """Whether the word after `last` is part of the name."""
        more = last + 1 < len(self.words) and not self.words[last][2].endswith("'s")
        return more and self._beside(last) and self._part(self.words[last + 1][2])

    def _follows_surname(self, place: int) -> bool:
        """Whether the name is written as Smith, John."""
        if not place or self._text[self.words[place - 1][1] : self.words[place][0]] != ", ":
            return False
        before = self.words[place - 1][2]
        return self._part(before) and before not in GIVEN

    def _beside(self, place: int) -> bool:
        between = self._text[self.words[place][1] : self.words[place + 1][0]]
        return between in (" ", "  ") or bool(
            re.fullmatch(r" [A-Z]\.? | (?:de|da|van|von|der|bin|al|el|O') ?", between)
        )

    def _part(self, word: str) -> bool:
        """Whether a word may be part of a name that stands beside a given name."""
        word = word.removesuffix("'s")
        return word not in STOP and not word.endswith(MEDICAL_ENDS)

    # --- what all of them check ---

    def _name(
        self, start: int, end: int, *, sure: bool, single: bool, mixed: bool = False, titled: bool = False
    ) -> Iterator[Name]:
        """[start, end) without the words at its end that belong to no name. `single`: one word is enough.

        `mixed`: a word in capitals, such as T2DM or COPD, is no name.
        """
        words = list(re.finditer(r"[^\s,]+", self._text[start:end]))
        kept = 0
        for word in words:
            bare = word[0].casefold().strip(".").removesuffix("'s")
            if (
                (bare in STOP and not (titled and not kept and bare in patterns.TITLED_STOP))
                or bare.endswith(MEDICAL_ENDS)
                or (mixed and word[0].isupper() and len(bare) > 1)
            ):
                break
            kept += 1
        while kept and len(words[kept - 1][0].strip(".")) == 1:  # an initial at the end
            kept -= 1
        if not kept:
            return
        stop = start + words[kept - 1].end()
        whole = self._text[start:stop].rstrip(",")
        longer = [word[0] for word in words[:kept] if len(word[0].strip(".,")) > 1]
        alone = len(longer) == 1 and longer[0].casefold() not in GIVEN
        if (alone and not single) or (self._eponym(stop) and not self._after_title(start)):
            return
        if mixed and alone and longer[0].casefold().removesuffix("'s") in EPONYMS:
            return
        yield Name(start, start + len(whole) - 2 * whole.endswith("'s"), sure)

    def _after_title(self, start: int) -> bool:
        return bool(re.search(rf"{patterns.TITLE}\.? $", self._text[max(0, start - 12) : start]))

    def _eponym(self, end: int) -> bool:
        end -= 2 * self._text.endswith("'s", 0, end)
        place = bisect_left(self._eponymous, end)
        near = place < len(self._eponymous) and self._eponymous[place] - end < patterns.NEAR
        return near and bool(patterns.EPONYM_AFTER.match(self._text, end))

    @cached_property
    def _eponymous(self) -> list[int]:
        return [match.start() for match in patterns.EPONYM_WORDS.finditer(self._text)]

    def _inside(self, start: int) -> bool:
        """Whether a match begins within a word."""
        return start > 0 and (self._text[start - 1].isalnum() and self._text[start - 1].isascii())

    def again(self, names: list[Name]) -> Iterator[Name]:
        """The other places at which a word of a sure name stands alone."""
        wanted = set()
        for name in names:
            if name.sure:
                wanted |= {
                    word.casefold() for word in re.findall(r"[^\W\d_][\w'-]{2,}", self._text[name.start : name.end])
                }
        wanted -= STOP | EPONYMS | ORDINARY
        given = wanted & GIVEN
        if given and any(self._text[name.start].islower() for name in names if name.sure):  # a transcript
            for match in re.finditer("|".join(sorted(given)), self._low):
                if not self._inside(match.start()) and not self._low[match.end() : match.end() + 1].isalpha():
                    yield Name(*match.span(), sure=False)
        for start, end, word in self.words if wanted else ():
            own = word.endswith("'s")
            if word.removesuffix("'s") in wanted and not self._inside(start) and not self._eponym(end):
                yield Name(start, end - 2 * own, sure=False)
