"""The fictitious patients of the demonstration: cases and chats for its vault, written by us.

The texts are in demo_patients.json: a list of cases, each with the fields of its header and with chats of questions and
answers. `days_ago` says how long before the demonstration is opened a chat was held.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import edgemed
from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.case import CaseHeader
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store

PATIENTS = Path(edgemed.__file__).parent / "demo_patients.json"
_TURN_MINUTES = 6


def patients() -> list[dict[str, Any]]:
    """The cases of demo_patients.json."""
    found: list[dict[str, Any]] = json.loads(PATIENTS.read_text("utf-8"))
    return found


def fill(store: Store, cases: list[dict[str, Any]], now: datetime | None = None) -> None:
    """Put the cases with their chats into a vault, the chats held earlier first. Runs on the vault's thread."""
    now = now or datetime.fromtimestamp(time.time(), UTC)
    for case in cases:
        held = sorted(
            ((now - timedelta(days=chat["days_ago"]), chat) for chat in case["chats"]), key=lambda pair: pair[0]
        )
        # Stores with a clock of the past, so that the lists show when the chats were held.
        case_id = Store(store.connection, held[0][0].timestamp).new_case(
            case["case"], CaseHeader.of(case["header"]).dump()
        )
        for at, chat in held:
            Store(store.connection, at.timestamp).keep(Snapshot.of(_conversation(chat, case_id, at)))


def _conversation(chat: dict[str, Any], case_id: str, at: datetime) -> Conversation:
    turns: list[Turn] = []
    for number, told in enumerate(chat["turns"]):
        turns.append(
            Turn(
                question=told["question"],
                raw=told["answer"],
                state="whole",
                parent=turns[-1].id if turns else None,
                asked=at + timedelta(minutes=number * _TURN_MINUTES),
            )
        )
    return Conversation(case_id=case_id, title=chat["title"], turns=turns)
