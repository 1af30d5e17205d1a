"""The one place that knows every group of rules: what the program looks for in a case, and what is switched off.

Rules read what the user wrote, never what the model wrote; the two that read an answer only compare it with the case.
Nothing found does not mean that there is nothing to find. NOT CLINICALLY REVIEWED.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags.flag import Flag, Text


@dataclass(frozen=True, slots=True)
class Switches:
    """Which groups are on. `guard` is the question whether a text is about another patient."""

    phrases: bool = True
    values: bool = True
    news2: bool = True
    missing: bool = True
    allergies: bool = True
    numbers: bool = True
    guard: bool = True

    @classmethod
    def load(cls, stored: str) -> Self:
        """What `dump` returned. A group that it does not name, or that it gives in any other form, is on."""
        try:
            off = json.loads(stored) if stored else []
        except (ValueError, RecursionError):
            off = []
        return cls(**{name: False for name in GROUPS if isinstance(off, list) and name in off})

    def dump(self) -> str:
        """The groups that are off, as JSON."""
        return json.dumps([name for name in GROUPS if not getattr(self, name)])

    def turned(self, group: str, on: bool) -> Self:
        """With a group on or off."""
        return replace(self, **{group: on})


GROUPS = tuple(each.name for each in fields(Switches))


def none_found(*read: object) -> list[Flag]:
    """A group without rules."""
    return []


@dataclass(frozen=True, slots=True)
class Rules:
    """A function for each group."""

    phrases: Callable[[Sequence[Text]], list[Flag]] = none_found
    values: Callable[[Sequence[Text], CaseHeader], list[Flag]] = none_found


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in the texts of a case. `failed` names the groups that ended with an error: their rules were not
    all applied, and the user must be told."""

    flags: tuple[Flag, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """The rules. A rule may take as long as its text is long: call from a thread that is not the interface's."""

    rules: Rules = field(default_factory=Rules)

    def read(self, texts: Sequence[Text], header: CaseHeader, switches: Switches) -> Seen:
        """Red flags in `texts`, which hold the question and the earlier ones; the header is read as well."""
        failed: list[str] = []
        told = header.prompt("en")
        whole = [*texts, Text(told, "header")] if told else list(texts)
        rules: dict[str, Callable[[], list[Flag]]] = {
            "phrases": lambda: self.rules.phrases(whole),
            "values": lambda: self.rules.values(whole, header),
        }
        flags: list[Flag] = []
        for group, find in rules.items():
            if not getattr(switches, group):
                continue
            try:
                flags += find()
            except (
                Exception
            ):  # a fault in one group must neither silence the others nor keep a question from being sent
                failed.append(group)
        return Seen(tuple(flags), tuple(failed))
