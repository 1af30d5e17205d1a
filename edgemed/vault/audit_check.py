"""Checks the audit's chain, and whether the stored texts are those that were recorded.

`edgemed.vault.audit` says what this proves and what it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from edgemed.errors import UsageError
from edgemed.vault.audit import MAC_DIGITS, Audit, MacKeys, head_of

_HEAD = re.compile(rf"([1-9][0-9]*):([0-9a-f]{{{MAC_DIGITS}}})")

_LAST_OF_TURNS = """WITH last AS (
    SELECT max(sequence), event, turn_id, question AS question_mac, answer AS answer_mac
    FROM audit WHERE event IN ('asked', 'answered') AND turn_id IS NOT NULL GROUP BY turn_id)
SELECT turn_id, question_mac, answer_mac, question, answer
FROM last JOIN turns ON turns.id = turn_id JOIN answers USING (place) WHERE event = 'answered'"""

Fault = Literal["changed", "not after the one before", "missing before", "head is missing", "head is another"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A place where the chain does not hold. `sequence` is that of the row, or of the head that was given."""

    sequence: int
    fault: Fault


@dataclass(slots=True)
class Checked:
    """The result of a check. `texts` counts the stored answers that were compared; `altered` names their turns."""

    rows: int = 0
    head: str = ""
    broken: list[Broken] = field(default_factory=list)
    texts: int = 0
    altered: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.broken and not self.altered


def parsed_head(text: str) -> tuple[int, str]:
    """The sequence and the MAC of a printed head. Raises UsageError."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(
            f"{text} is not a head of the audit; give SEQUENCE:MAC as printed, {MAC_DIGITS} digits after the colon."
        )
    return int(match[1]), match[2]


def check_audit(store: Audit, head: tuple[int, str] | None = None) -> Checked:
    """Check every row. `head` is one that was printed earlier. Reads the rows one by one, on the vault's thread."""
    checked = Checked()
    key = store.audit_key()
    keys = MacKeys(key) if key else None
    previous, expected = "", 1
    found_head: str | None = None
    for row in each_row(store):
        sequence = row["sequence"]
        if sequence != expected:
            checked.broken.append(Broken(sequence, "missing before"))
        elif row["previous"] != previous:
            checked.broken.append(Broken(sequence, "not after the one before"))
        if keys is None or row["mac"] != keys.of_row(row):
            checked.broken.append(Broken(sequence, "changed"))
        if head is not None and sequence == head[0]:
            found_head = row["mac"]
        previous, expected = row["mac"], sequence + 1
        checked.rows += 1
        checked.head = head_of(row)
    if head is not None and found_head != head[1]:
        checked.broken.append(Broken(head[0], "head is missing" if found_head is None else "head is another"))
    if keys is not None:
        _compare_texts(store, keys, checked)
    return checked


def each_row(store: Audit, where: str = "", values: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """The rows in order, those for which the SQL condition `where` holds. No transaction may be begun meanwhile."""
    condition = f"WHERE {where}" if where else ""
    cursor = store.connection.execute(f"SELECT * FROM audit {condition} ORDER BY sequence", values or {})
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _compare_texts(store: Audit, keys: MacKeys, checked: Checked) -> None:
    """A turn without a last row "answered" is not compared: the program ended while it was written."""
    for turn_id, question_mac, answer_mac, question, answer in store.connection.execute(_LAST_OF_TURNS):
        checked.texts += 1
        if (keys.of_text(question), keys.of_text(answer)) != (question_mac, answer_mac):
            checked.altered.append(turn_id)
