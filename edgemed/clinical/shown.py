"""Which red flags a case has shown already: each rule is shown once, and again only when it finds other words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from edgemed.clinical.flags.flag import Flag
from edgemed.clinical.mentioned import normal


@dataclass(slots=True)
class Shown:
    """Rule -> digests of the evidence that was shown, none of the evidence itself."""

    known: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, stored: str) -> Self:
        """What `dump` returned; nothing was shown, as far as any other text tells."""
        try:
            told = json.loads(stored or "{}")
            return cls({str(rule): set(map(str, evidence)) for rule, evidence in told.items()})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def dump(self) -> str:
        return json.dumps({rule: sorted(evidence) for rule, evidence in self.known.items()})

    def new(self, flags: Iterable[Flag]) -> list[Flag]:
        """The flags of which something has not been shown."""
        return [flag for flag in flags if not _digests(flag) <= self.known.get(flag.rule, set())]

    def add(self, flags: Iterable[Flag]) -> None:
        """These flags have been shown."""
        for flag in flags:
            self.known.setdefault(flag.rule, set()).update(_digests(flag))

    def join(self, other: Shown) -> None:
        """What `other` has shown was shown here as well."""
        for rule, evidence in other.known.items():
            self.known.setdefault(rule, set()).update(evidence)


def _digests(flag: Flag) -> set[str]:
    """One for each piece of evidence; one for the rule if it has none."""
    texts = {" ".join(normal(each).casefold().split()) for each in flag.evidence} or {""}
    return {hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts}
