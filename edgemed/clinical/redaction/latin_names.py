"""Names in English text: labelled, titled, in salutations and signatures, of relatives, and known given names."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from edgemed.clinical.redaction.words import (
    CREDENTIALS,
    EPONYMOUS,
    EPONYMS,
    GIVEN,
    MEDICAL_ENDS,
    ORDINARY,
    STOP,
)

_LOWER = "a-z\u00df-\u00f6\u00f8-\u00ff\u0100-\u017f"
_UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de"
_W = (
    rf"(?:[{_UPPER}](?:'[{_UPPER}])?[{_LOWER}]{{1,25}}(?:[{_UPPER}][{_LOWER}]{{1,20}})?"
    rf"(?:[-'][{_UPPER}]?[{_LOWER}]{{1,20}}){{0,2}}"
    rf"|[{_UPPER}]{{2,20}}(?:[-'][{_UPPER}]{{1,20}})?)"
)
_JOIN = r"[ \t]{1,2}(?:(?:de|da|dos|van|von|der|den|bin|bint|ibn|al|el|la|le|ter|di|del|O'|St\.?) ?){0,3}"
_PARTICLES = "(?:(?:van|von|der|den|de|la|le|da|dos|du|di|al|el|bin) ){0,2}"
_NAME = rf"(?:(?:[{_UPPER}]\.? ?){{0,3}}{_PARTICLES}{_W}(?:{_JOIN}(?:[{_UPPER}]\.? )?{_W}){{0,3}})"
_TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Master|Mister|Dr|Doctor|Prof|Professor|Sir|Dame|Lady|Lord|Rev|Reverend|Nurse|Sister"
    r"|MR|MRS|DR|MISS|PROF|mr|mrs)"
)
_RELATIVE = (
    "mother|father|mum|mom|dad|wife|husband|spouse|partner|son|daughter|brother|sister|uncle|aunt|cousin"
    "|grandmother|grandfather"
    "|grandson|granddaughter|nephew|niece|carer|caregiver|guardian|friend|neighbour|neighbor|girlfriend|boyfriend"
    "|fiance|fiancee"
    "|twin|stepmother|stepfather|grandma|grandad|nan"
)
_PEOPLE = (
    "consultant|gp|registrar|surgeon|nurse|doctor|physician|clinician|author|signed|signature|dictated by|seen by"
    "|reviewed by"
    "|reported by|referred by|requested by|examined by|prepared by|prescriber|prescribed by|attending|anaesthetist"
    "|midwife|cc|attn"
    "|from|to|patient|pt|re|contact|emergency contact|informant|interpreter|next of kin|nok|social worker|key"
    " worker|pharmacist"
    f"|referrer|referring physician|pcp|primary care physician|operator|assistant|witness|{_RELATIVE}"
)
_TITLED = re.compile(rf"{_TITLE}\b\.?[ \t]{{1,2}}(?P<n>{_NAME}|(?:(?<=mr )|(?<=rs ))[a-z]{{3,20}})")
_NAME_LABEL = re.compile(r"(?:names?|surname|forenames?|next of kin|nok)[ \t]{0,2}(?P<sign>[:=]|is\b)[ \t]{0,3}")
_AFTER_LABEL = re.compile(
    rf"(?:{_TITLE}\b\.? )?(?P<n>[^\W\d_](?:\.|[\w'-]{{0,25}})(?:(?:, (?=[{_UPPER}])| )[^\W\d_](?:\."
    rf"|[\w'-]{{0,25}})){{0,4}})"
)
_OTHER_LABELS = re.compile(
    r"(?<![a-z])(?:drug|generic|brand|trade|medicine|medication|file|test|product|device|study|procedure|hospital"
    r"|ward|company|user"
    r"|organism|strain|department|practice|surgery|pharmacy|the|model|insurer|plan|manufacturer|vaccine|disease) $"
)
_WHOSE = re.compile(r"(?:my|his|her|their|patient's|full|first|last) $")
_NEXT_FIELD = re.compile(
    r"[ ,]{1,3}(?:dob|d\.o\.b|date|mrn|nhs|age|aged|sex|gender|male|female|hospital|ward|tel|phone|address|number"
    r"|no|unit|born"
    r"|relationship|forenames?|surname|first|last|middle|name|and|is|was|who|with|but|from|on|a|m|f)(?![\w']).*$",
    re.I,
)
_ROLE_LABEL = re.compile(rf"(?:{_PEOPLE})[ \t]{{0,2}}[:][ \t]{{0,3}}")
_CAPITAL = re.compile(rf"(?:{_TITLE}\b\.?[ \t])?(?P<n>{_W}, {_W}|{_NAME})")
_BY = re.compile(
    r"(?:seen|reviewed|examined|signed|dictated|referred|accompanied|assessed|prepared|typed|reported|verified"
    r"|authori[sz]ed"
    r"|requested|witnessed|performed|written|transcribed|operated|escorted|brought in|discussed|treated|admitted|called"
    rf")(?: on| in)? (?:by|with)(?: (?:his|her|their) (?:{_RELATIVE}),?)? "
)
_SALUTATION = re.compile(
    rf"^[ \t]*(?:Dear|Hi|Hello|Hey|Good (?:morning|afternoon|evening)),?[ \t](?:{_TITLE}\b\.? )?(?P<n>{_NAME})", re.M
)
_SIGNATURE = re.compile(
    r"(?:Yours (?:sincerely|faithfully|truly)|(?:[Kk]ind|[Bb]est|[Ww]arm) (?:regards|wishes)|Regards|Sincerely"
    r"|Signed|Many thanks"
    rf"|With thanks|Best)[,.:]?[ \t]*\n\s{{0,20}}(?:{_TITLE}\b\.? )?(?P<n>{_NAME})"
)
_CREDENTIAL = re.compile(rf"(?P<n>{_W}[ ](?:[{_UPPER}]\. ?)?{_W}),? (?:{CREDENTIALS})(?![A-Za-z])")
_RELATIVES = re.compile(rf"(?:{_RELATIVE})(?:,? (?:is |called |named |is called )?| \()(?P<n>{_NAME})")
_CALLED = re.compile(
    r"(?:man|woman|boy|girl|patient|gentleman|lady|baby|child|infant|son|daughter|person|colleague|teacher|doctor"
    r"|who is|he is|she is"
    rf"|known),? (?:called|named|as|known as) (?P<n>{_NAME})|(?:[Mm]y name is|[Mm]y name's|I am Dr\.?|I'm Dr\.?"
    rf"|[Tt]his is Dr\.?|name was) (?P<m>{_NAME})"
)
_PATIENT = re.compile(
    rf"(?:[Pp]atient|Pt|pt),? (?P<n>{_W} (?:[{_UPPER}]\.? )?{_W})(?=,| \(| (?:is|was|has|had|presented|attended"
    rf"|came|DOB|MRN|NHS)\b)"
)
_INITIALS = re.compile(rf"[A-Z]\. ?(?:[A-Z]\. ?)?(?P<w>{_W})")
_EPONYM_AFTER = re.compile(rf"(?:'?s?'?)?(?:(?:-| and | ){_W}(?:'s)?){{0,2}}[ -](?:{EPONYMOUS})(?![a-z])")
_EPONYMOUS = re.compile(rf"[ -](?:{EPONYMOUS})(?![a-z])")
_NEAR = 80
"""Between a name and the word behind it are at most so many characters."""
_WORDS = re.compile(_W)
_TITLED_STOP = ORDINARY | EPONYMS


@dataclass(frozen=True, slots=True)
class Found:
    """A name at [start, end). `sure`: its words are looked for in the rest of the text."""

    start: int
    end: int
    sure: bool


class LatinNames:
    """The names in a folded text."""

    def __init__(self, text: str, low: str) -> None:
        self._text = text
        self._low = low

    def found(self) -> list[Found]:
        """Every name, in no order. They may overlap."""
        return [*self._titled(), *self._labelled(), *self._cued(), *self._given()]

    # --- by what stands before it ---

    def _titled(self) -> Iterator[Found]:
        for match in _TITLED.finditer(self._text):
            upper = match[0].split()[0].rstrip(".") in ("MR", "DR")
            if not self._inside(match.start()):
                yield from self._name(
                    *match.span("n"),
                    sure=True,
                    single=not (upper and match["n"].isupper() and match[0][0] == "M"),
                    titled=True,
                )

    def _labelled(self) -> Iterator[Found]:
        for label in _NAME_LABEL.finditer(self._low):
            said_is, before = label["sign"] == "is", self._low[max(0, label.start() - 20) : label.start()]
            if before[-1:].isalpha() or _OTHER_LABELS.search(before) or (said_is and not _WHOSE.search(before)):
                continue
            match = _AFTER_LABEL.match(self._text, label.end())
            if match and not (said_is and not match["n"][0].isupper()):
                value = _NEXT_FIELD.sub("", match["n"]).rstrip(" .,-'")
                words = re.findall(r"[^\W\d_]+", value.casefold())
                if words and not all(word in STOP for word in words):
                    yield Found(match.start("n"), match.start("n") + len(value), sure=True)
        for pattern, single in ((_ROLE_LABEL, False), (_BY, False)):
            for label in pattern.finditer(self._low):
                if not (label.start() and self._low[label.start() - 1].isalpha()) and (
                    match := _CAPITAL.match(self._text, label.end())
                ):
                    yield from self._name(*match.span("n"), sure=True, single=single)

    def _cued(self) -> Iterator[Found]:
        for pattern in (_SALUTATION, _SIGNATURE, _PATIENT):
            for match in pattern.finditer(self._text):
                yield from self._name(*match.span("n"), sure=True, single=True)
        for match in _CREDENTIAL.finditer(self._text):
            yield from self._name(*match.span("n"), sure=True, single=False)
        for match in _CALLED.finditer(self._text):
            yield from self._name(*match.span("n" if match["n"] else "m"), sure=True, single=True)
        for match in _RELATIVES.finditer(self._text):
            if not self._inside(match.start()):
                yield from self._name(*match.span("n"), sure=True, single=True, mixed=True)
        for match in _INITIALS.finditer(self._text):
            if not self._inside(match.start()):
                word = match["w"].casefold()
                if word not in STOP and word not in EPONYMS and len(word) > 2 and not self._eponym(match.end()):
                    yield Found(match.start(), match.end(), sure=False)

    # --- by itself ---

    @cached_property
    def words(self) -> list[tuple[int, int, str]]:
        """Every capitalised word: start, end, in lower case."""
        return [(match.start(), match.end(), match[0].casefold()) for match in _WORDS.finditer(self._text)]

    def _given(self) -> Iterator[Found]:
        """Given names, with the capitalised words beside them."""
        for place, (start, end, word) in enumerate(self.words):
            if word.partition("-")[0].removesuffix("'s") not in GIVEN or self._inside(start):
                continue
            if (start and self._text[start - 1] in "-'") or self._text[max(0, start - 4) : start] in (
                "St. ",
                " St ",
                "Saint ",
            ):
                continue
            last = place
            while (
                last + 1 < len(self.words)
                and last - place < 3
                and self._beside(last)
                and self._part(self.words[last + 1][2])
            ):
                last += 1
            first = start
            if (
                place
                and self._text[self.words[place - 1][1] : start] == ", "
                and self._part(self.words[place - 1][2])
                and self.words[place - 1][2] not in GIVEN
            ):
                first = self.words[place - 1][0]
            stop = self.words[last][1]
            if (
                not self._eponym(end)
                and not self._eponym(stop)
                and not (last == place and self._text[stop : stop + 1] == "-")
            ):
                yield Found(first, stop - 2 * self._text[first:stop].endswith("'s"), sure=last > place or first < start)

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
    ) -> Iterator[Found]:
        """[start, end) without the words at its end that belong to no name. `single`: one word is enough.

        `mixed`: a word in capitals, such as T2DM or COPD, is no name.
        """
        words = list(re.finditer(r"[^\s,]+", self._text[start:end]))
        kept = 0
        for word in words:
            bare = word[0].casefold().strip(".").removesuffix("'s")
            if (
                (bare in STOP and not (titled and not kept and bare in _TITLED_STOP))
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
        yield Found(start, start + len(whole) - 2 * whole.endswith("'s"), sure)

    def _after_title(self, start: int) -> bool:
        return bool(re.search(rf"{_TITLE}\.? $", self._text[max(0, start - 12) : start]))

    def _eponym(self, end: int) -> bool:
        end -= 2 * self._text.endswith("'s", 0, end)
        place = bisect_left(self._eponymous, end)
        near = place < len(self._eponymous) and self._eponymous[place] - end < _NEAR
        return near and bool(_EPONYM_AFTER.match(self._text, end))

    @cached_property
    def _eponymous(self) -> list[int]:
        return [match.start() for match in _EPONYMOUS.finditer(self._text)]

    def _inside(self, start: int) -> bool:
        """Whether a match begins within a word."""
        return start > 0 and (self._text[start - 1].isalnum() and self._text[start - 1].isascii())

    def again(self, names: list[Found]) -> Iterator[Found]:
        """The other places at which a word of a sure name stands alone."""
        wanted = set()
        for name in names:
            if name.sure:
                wanted |= {
                    word.casefold() for word in re.findall(r"[^\W\d_][\w'-]{2,}", self._text[name.start : name.end])
                }
        wanted -= STOP | EPONYMS | ORDINARY
        for start, end, word in self.words if wanted else ():
            own = word.endswith("'s")
            if word.removesuffix("'s") in wanted and not self._inside(start) and not self._eponym(end):
                yield Found(start, end - 2 * own, sure=False)
