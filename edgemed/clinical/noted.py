"""What is noted of a chat: which red flags it has shown, and the SpO2 scale that the user chose for its patient.

A rule is shown once per case, and again only when it finds other words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

from edgemed.clinical.flags.flag import Flag
from edgemed.clinical.mentioned import normal

Scale = Literal[1, 2]


@dataclass(slots=True)
class Noted:
    """`shown`: rule -> digests of the evidence that was shown, not the evidence itself. `scale`: None until chosen."""

    shown: dict[str, set[str]] = field(default_factory=dict)
    scale: Scale | None = None

    @classmethod
    def load(cls, stored: str) -> Self:
        """What `dump` returned; nothing is noted, as far as any other text tells."""
        try:
            told = json.loads(stored or "{}")
            shown = {str(rule): set(map(str, evidence)) for rule, evidence in told.get("shown", {}).items()}
            return cls(shown, told["scale"] if told.get("scale") in (1, 2) else None)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def dump(self) -> str:
        return json.dumps({"shown": {rule: sorted(each) for rule, each in self.shown.items()}, "scale": self.scale})

    def new(self, flags: Iterable[Flag]) -> list[Flag]:
        """The flags of which something has not been shown."""
        return [flag for flag in flags if not _digests(flag) <= self.shown.get(flag.rule, set())]

    def add(self, flags: Iterable[Flag]) -> None:
        """These flags have been shown."""
        for flag in flags:
            self.shown.setdefault(flag.rule, set()).update(_digests(flag))

    def join(self, other: Noted) -> None:
        """Take over what another chat of the case has shown, and its scale if this one has none."""
        for rule, evidence in other.shown.items():
            self.shown.setdefault(rule, set()).update(evidence)
        self.scale = self.scale or other.scale


def _digests(flag: Flag) -> set[str]:
    """One for each piece of evidence; one for the rule if it has none."""
    texts = {" ".join(normal(each).casefold().split()) for each in flag.evidence} or {""}
    return {hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts}
