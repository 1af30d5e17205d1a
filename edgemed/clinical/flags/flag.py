"""What the rules read, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["question", "earlier", "header"]
Group = Literal["phrases", "values", "news2"]
"""A group of rules can be switched off as a whole."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the case: the new question (or paste, or attachment), an earlier question, or the case header."""

    body: str
    where: Where = "question"


@dataclass(frozen=True, slots=True)
class Flag:
    """A rule that matched.

    `rule` is its id, such as "ACS-1". `evidence` holds the words that matched, as the texts have them, in the order of
    the texts. `source` names the publication and its edition. `asks_unit`: a value has no unit, and would be dangerous
    in one of two plausible ones; the flag asks which. `new`: part of the evidence stands in the new question.
    """

    rule: str
    group: Group
    evidence: tuple[str, ...]
    source: str
    asks_unit: bool = False
    new: bool = True
