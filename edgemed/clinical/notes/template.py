"""One template: its title, what it asks the model to write, and the letter around what the model writes.

    # Lines that begin with a hash are for people.
    Referral letter
    Write the body of a referral letter ...
    ---
    Re: {patient}, born {born}, number {number}

    {note}

{note} is where the model's text goes. The other placeholders stay in the note as they are while it is edited and
stored; they are filled from the case header on the way out (`filled`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

from edgemed.clinical.case import CaseHeader

NOTE = "{note}"
PLACEHOLDERS = {"{patient}": "initials", "{born}": "born", "{number}": "number"}
"""Placeholder -> the field of the case header that fills it."""
BLANK = "______"
"""Stands for a field that is not given."""

_RULE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_BRACED = re.compile(r"\{[^{}\n]*\}")

Why = Literal["unreadable", "no_title", "no_instruction", "no_letter", "no_note", "placeholder", "placeholder_told"]
"""Why a template cannot be used."""


class TemplateError(ValueError):
    """A template that cannot be used; `detail` is the placeholder that is wrong, if one is."""

    def __init__(self, why: Why, detail: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Template:
    """`name` is that of the file. `instruction` goes to the model; `letter` has {note} once."""

    name: str
    title: str
    instruction: str
    letter: str

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Raises TemplateError."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        above, rule, letter = _parted("\n".join(line for line in lines if not line.startswith("#")))
        title, _, instruction = above.strip().partition("\n")
        if not title.strip():
            raise TemplateError("no_title")
        if not instruction.strip():
            raise TemplateError("no_instruction")
        if not rule:
            raise TemplateError("no_letter")
        if told := _BRACED.search(above):
            raise TemplateError("placeholder_told", told[0])
        if letter.count(NOTE) != 1:
            raise TemplateError("no_note")
        for found in _BRACED.findall(letter):
            if found != NOTE and found not in PLACEHOLDERS:
                raise TemplateError("placeholder", found)
        return cls(name, title.strip(), instruction.strip(), letter.strip())

    def around(self, written: str) -> str:
        """The note as it is edited: the letter with the model's text in it, and placeholders for the identity."""
        before, _, after = self.letter.partition(NOTE)
        return f"{before}{written.strip()}{after}"


def _parted(text: str) -> tuple[str, str, str]:
    """What stands above the first rule, the rule, and what stands below it."""
    rule = _RULE.search(text)
    return (text[: rule.start()], rule[0], text[rule.end() :]) if rule else (text, "", "")


def filled(note: str, header: CaseHeader) -> str:
    """The note with the identity in place of the placeholders. What is filled in is not looked at again."""
    values = header.values
    return re.sub("|".join(map(re.escape, PLACEHOLDERS)), lambda found: values[PLACEHOLDERS[found[0]]] or BLANK, note)
