"""The audit: what happened, as rows that are only ever appended, each with a MAC over itself and the row before it.

A row names an event, its time, who, which case, chat and turn, and the digests of what was computed. It holds no text:
of a question and an answer it has HMACs. Of an unsaved chat a row holds the time, the event and the version of the
rules, and nothing else.

MACs are HMAC-SHA-256, cut to 128 bits, under keys that are derived from a random key of this vault. That key lies in
the encrypted database, so the chain outlasts a new passphrase, a new data key, a backup and its restore.

What a whole chain shows (`edgemed.vault.audit_check`): no row was changed, inserted, moved or deleted in the middle by
anything that did not compute the MACs anew, such as a damaged page, an older page that was put back, or an edit with a
database tool. What it cannot show: that rows are missing at the end, or that an older copy of the vault was put back.
A head (`SEQUENCE:MAC`) that was printed or noted elsewhere shows both.

It proves nothing against a person who has the passphrase: who can open the vault can read the key, and write all rows
anew. For that reason the key does not ratchet. A key that is replaced after each row protects earlier rows only if its
first value is kept where the computer cannot reach it; here the vault must be able to check itself. Only a head that
was printed before contradicts such a rewriting.
"""

from __future__ import annotations

import hmac
import json
import os
import pwd
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from edgemed.chat.conversation import Conversation, Turn
from edgemed.engine.process.protocol import Message
from edgemed.vault.access import Access
from edgemed.vault.rows import answer_row, storable

CLINICIAN = "clinician"
"""The setting with the name behind "Reviewed by"."""
KEY = "audit key"
MAC_DIGITS = 32
"""Hexadecimal digits of a MAC: 128 bits, short enough to be typed from paper."""
ID_SHOWN = 8
"""Characters of an id that people are shown."""
MOST_CHARACTERS = 200
"""Longer details are cut: they are names and counts, and no place for text."""

COLUMNS = (
    "time",
    "event",
    "rules",
    "who",
    "case_id",
    "chat_id",
    "turn_id",
    "weights_digest",
    "prompt_digest",
    "engine_version",
    "seed",
    "sampling",
    "question",
    "answer",
    "details",
)
"""What a row says. `sequence`, `previous` and `mac` come on top."""
_OF_TURN = ("weights_digest", "prompt_digest", "engine_version", "seed", "sampling")

Detail = str | int


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Something that happened. `values` are columns; `texts` are column -> text, of which the row gets a MAC.

    `sent` are the messages that go to the model; the row's details get a MAC of them. `anonymous`: of an unsaved chat.
    """

    event: str
    rules: str
    anonymous: bool = False
    values: Mapping[str, str | None] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    sent: Sequence[Message] = ()
    details: Mapping[str, Detail] = field(default_factory=dict)

    @classmethod
    def of(cls, event: str, conversation: Conversation | None, rules: str, details: Mapping[str, Detail]) -> Self:
        """`details` named "case", "chat" and "turn" are ids, and become columns."""
        if conversation is not None and not conversation.saved:
            return cls(event, rules, anonymous=True)
        ids: dict[str, str | None] = {}
        if conversation is not None:
            ids = {"case_id": conversation.case_id, "chat_id": conversation.id}
        ids |= {f"{name}_id": str(details[name]) or None for name in ("case", "chat", "turn") if name in details}
        others = {name: value for name, value in details.items() if f"{name}_id" not in ids}
        return cls(event, rules, values=ids, details=others)

    @classmethod
    def asked(cls, conversation: Conversation, turn: Turn, rules: str) -> Self:
        """A turn is about to be sent."""
        if not conversation.saved:
            return cls("asked", rules, anonymous=True)
        region, header = conversation.region, conversation.header.values
        told: dict[str, Detail | None] = {
            "length": turn.length,
            "header": " ".join(name for name, value in header.items() if value),
            "units": region.units,
            "drug_names": region.drug_names,
            "answers_in": region.answers_in,
            "language": region.language,
            "resumed_at": turn.resumed_at,
        }
        return cls(
            "asked",
            rules,
            values=_columns(conversation, turn),
            texts={"question": turn.question},
            sent=sent(conversation, turn),
            details={name: value for name, value in told.items() if value},
        )

    @classmethod
    def answered(cls, conversation: Conversation, turn: Turn, rules: str) -> Self:
        """A turn has ended, in whichever way."""
        if not conversation.saved:
            return cls("answered", rules, anonymous=True)
        return cls(
            "answered",
            rules,
            values=_columns(conversation, turn),
            texts={"question": turn.question, "answer": turn.raw},
            details={"state": turn.state, "context_used": turn.context_used},
        )


class Audit(Access):
    """The audit's rows, on the vault's thread."""

    def record(self, entry: Entry, time: int | None = None) -> str:
        """Append a row, in a transaction of its own; return the head. `time`: microseconds since 1970, UTC."""
        with self._transaction():
            keys = MacKeys(self.audit_key() or self._new_key())
            last = self._rows("SELECT sequence, mac FROM audit ORDER BY sequence DESC LIMIT 1")
            sequence, previous = (last[0]["sequence"] + 1, last[0]["mac"]) if last else (1, "")
            row = self._row(entry, self._now() if time is None else time, keys)
            row |= {"sequence": sequence, "previous": previous}
            row["mac"] = keys.of_row(row)
            self._write(f"INSERT INTO audit ({', '.join(row)}) VALUES (:{', :'.join(row)})", row)
        return head_of(row)

    def audit_head(self) -> str:
        """`SEQUENCE:MAC` of the last row; empty if there is none."""
        rows = self._rows("SELECT sequence, mac FROM audit ORDER BY sequence DESC LIMIT 1")
        return head_of(rows[0]) if rows else ""

    def _row(self, entry: Entry, time: int, keys: MacKeys) -> dict[str, Any]:
        row: dict[str, Any] = {"time": time, "event": entry.event, "rules": entry.rules}
        if entry.anonymous:
            return row
        details = {name: _short(value) for name, value in entry.details.items()}
        if entry.sent:
            details["sent"] = keys.of_messages(entry.sent)
        return (
            row
            | {"who": self._who()}
            | dict(entry.values)
            | {name: keys.of_text(text) for name, text in entry.texts.items()}
            | {"details": json.dumps(details, ensure_ascii=False) if details else None}
        )

    def _who(self) -> str:
        """The clinician's name, or else that of the account on this computer. Neither was checked."""
        rows = self._rows("SELECT value FROM settings WHERE name = ?", (CLINICIAN,))
        return str(rows[0]["value"]) if rows else account()

    def audit_key(self) -> bytes | None:
        """The random key; None if there is none, or none that can be used."""
        for row in self._rows("SELECT value FROM settings WHERE name = ?", (KEY,)):
            with suppress(ValueError):
                return bytes.fromhex(row["value"])
        return None

    def _new_key(self) -> bytes:
        """Made for the first row. If the key was lost, the rows before will not fit, and `check_audit` says so."""
        key = secrets.token_bytes(32)
        self._write(
            "INSERT OR REPLACE INTO settings (name, value) VALUES (:name, :key)", {"name": KEY, "key": key.hex()}
        )
        return key


class MacKeys:
    """Keys for the two purposes, derived from the vault's audit key."""

    def __init__(self, key: bytes) -> None:
        self._chain = hmac.digest(key, b"edgemed audit chain", "sha256")
        self._text = hmac.digest(key, b"edgemed audit text", "sha256")

    def of_row(self, row: Mapping[str, Any]) -> str:
        """The MAC of a row: over its sequence, the MAC of the row before, and every column that is not NULL."""
        said = {name: value for name, value in row.items() if value is not None and name != "mac"}
        return _mac(self._chain, json.dumps(said, sort_keys=True, separators=(",", ":")))

    def of_text(self, text: str) -> str:
        """The MAC of a text as it is stored."""
        return _mac(self._text, storable(text))

    def of_messages(self, messages: Sequence[Message]) -> str:
        return self.of_text(json.dumps([[each.role, each.content] for each in messages]))


def sent(conversation: Conversation, turn: Turn) -> list[Message]:
    """What goes to the model for a turn. The answer so far, which a resumed answer continues, comes last."""
    return [*conversation.messages(turn), Message("assistant", turn.continued)]


def head_of(row: Mapping[str, Any]) -> str:
    return f"{row['sequence']}:{row['mac']}"


def account() -> str:
    """The name of the user's account on this computer."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _columns(conversation: Conversation, turn: Turn) -> dict[str, str | None]:
    stored = answer_row(turn)
    ids = {"case_id": conversation.case_id, "chat_id": conversation.id, "turn_id": turn.id}
    return ids | {name: stored[name] for name in _OF_TURN}


def _short(value: Detail) -> Detail:
    return storable(value)[:MOST_CHARACTERS] if isinstance(value, str) else value


def _mac(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()[:MAC_DIGITS]
