"""How conversations and turns become rows, and what the lists of cases and chats show."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from edgemed.chat.conversation import Conversation, Queued, State, Turn
from edgemed.engine.process.protocol import Sampling

Kind = Literal["cases", "chats"]
"""What can be renamed, pinned and deleted; also the name of its table."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case in a list. `changed` is the last change of the case or of one of its chats. `chats` counts these."""

    id: str
    title: str
    header: str
    pinned: bool
    changed: datetime
    chats: int


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat in a list.

    `title` is the given title, or the first line of the first question or draft. `turns` counts the questions of all
    branches, `queued` those that wait. `state` is that of the answer asked last, None if nothing was asked.
    """

    id: str
    case_id: str | None
    title: str
    pinned: bool
    changed: datetime
    turns: int
    queued: int
    draft: bool
    state: State | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation as the store writes it, taken on the thread that changes the conversation."""

    id: str
    case_id: str | None
    title: str
    system: str | None
    draft: str
    queued: tuple[Queued, ...]
    turns: tuple[Turn, ...]
    shown: frozenset[str]

    @classmethod
    def of(cls, conversation: Conversation) -> Self:
        """The conversation now. Its turns are not copied: the store reads only those that it has not got yet."""
        assert conversation.saved
        return cls(
            conversation.id,
            conversation.case_id,
            conversation.title,
            conversation.system,
            conversation.draft,
            tuple(conversation.queued),
            tuple(conversation.all_turns),
            frozenset(conversation.shown_ids),
        )


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (time - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The time, in UTC, of `microseconds`."""
    return _EPOCH + value * _MICROSECOND


def storable(text: str) -> str:
    """The text with "?" for each lone surrogate, which UTF-8 cannot hold. The engine refuses such a text anyway."""
    return text.encode(errors="replace").decode()


def question_row(turn: Turn, chat_id: str) -> dict[str, Any]:
    """The columns of `turns`. Only those of the note change (`Store.note`)."""
    return {
        "id": turn.id,
        "chat_id": chat_id,
        "parent": turn.parent,
        "asked": microseconds(turn.asked),
        "length": turn.length,
        "question": storable(turn.question),
        "template": storable(turn.template),
        "instruction": storable(turn.instruction),
        "note": storable(turn.note),
        "reviewed_by": storable(turn.reviewed_by),
        "reviewed": None if turn.reviewed is None else microseconds(turn.reviewed),
    }


def answer_row(turn: Turn) -> dict[str, Any]:
    """The columns of `answers` as they are now, and the turn's id."""
    return {
        "id": turn.id,
        "state": turn.state,
        "reason": storable(turn.reason),
        "sampling": None if turn.sampling is None else json.dumps(dataclasses.asdict(turn.sampling)),
        "seed": None if turn.seed is None else str(turn.seed),
        "weights_digest": turn.weights_digest,
        "engine_version": turn.engine_version,
        "prompt_digest": turn.prompt_digest,
        "context_used": turn.context_used,
        "resumed_at": turn.resumed_at,
        "answer": storable(turn.raw),
    }


def turn_of(row: Mapping[str, Any]) -> Turn:
    """The turn of a row that has the columns of `turns` and `answers`."""
    return Turn(
        question=row["question"],
        raw=row["answer"],
        state=row["state"],
        reason=row["reason"],
        id=row["id"],
        parent=row["parent"],
        length=row["length"],
        asked=moment(row["asked"]),
        template=row["template"],
        instruction=row["instruction"],
        note=row["note"],
        reviewed_by=row["reviewed_by"],
        reviewed=None if row["reviewed"] is None else moment(row["reviewed"]),
        sampling=None if row["sampling"] is None else Sampling(**json.loads(row["sampling"])),
        seed=None if row["seed"] is None else int(row["seed"]),
        weights_digest=row["weights_digest"],
        engine_version=row["engine_version"],
        prompt_digest=row["prompt_digest"],
        context_used=row["context_used"],
        resumed_at=row["resumed_at"],
    )
