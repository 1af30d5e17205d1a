"""What is known about one answer, for an incident file: enough to compute it again, and no text unless it is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.region import ANSWERS_IN, DRUG_NAMES, UNITS, Region
from edgemed.engine.process.protocol import Message
from edgemed.errors import VaultError
from edgemed.vault.audit import MacKeys, sent
from edgemed.vault.audit_check import check_audit, each_row
from edgemed.vault.audit_table import EXPORTED, exported, known
from edgemed.vault.rows import answer_row
from edgemed.vault.store import Store

FORMAT = "edgemed incident report 1"
TOLD = ("length", "header", "units", "drug_names", "answers_in", "language", "resumed_at")
"""Details of "asked" that decide what the model was told."""

SAME_ANSWER = {
    True: "The seed was given, so nothing cached was used: the same model file, edgemed, threads, placement and type "
    "of processor give the same answer.",
    False: "The seed was drawn, and cached values of the same chat may have been used. They are rounded differently, "
    "so the same seed gives the same prompt digest, but perhaps another answer.",
}


def find_turn(store: Store, beginning: str | None) -> tuple[Conversation, Turn]:
    """The turn whose id begins so, or the one that was asked last. Raises VaultError if there is none, or several."""
    if beginning is None:
        rows = store._rows("SELECT id, chat_id FROM turns ORDER BY place DESC LIMIT 1")
    else:
        rows = store._rows(
            "SELECT id, chat_id FROM turns WHERE substr(id, 1, length(:start)) = :start LIMIT 2",
            {"start": beginning.lower()},
        )
    if not rows:
        raise VaultError(
            "There is no answer in this vault yet."
            if beginning is None
            else f"No answer in this vault has an id that begins with {beginning}; F9 in the chat shows the id."
        )
    if len(rows) > 1:
        raise VaultError(f"Several answers have an id that begins with {beginning}; give more of its digits.")
    chat = store.load(rows[0]["chat_id"])
    return chat, next(turn for turn in chat.all_turns if turn.id == rows[0]["id"])


def incident(store: Store, chat: Conversation, turn: Turn, *, with_text: bool) -> dict[str, Any]:
    """The report on one turn, as JSON values. `chat` gets the region of the time when the turn was asked."""
    events = list(each_row(store, "chat_id = :chat OR turn_id = :turn", {"chat": chat.id, "turn": turn.id}))
    asked = _last(events, "asked", turn.id)
    answered = _last(events, "answered", turn.id)
    details = known(asked["details"]) if asked else {}
    told = {name: details[name] for name in TOLD if name in details}
    if asked:
        chat.region = _region(details)
    messages = chat.messages(turn)
    checked = check_audit(store)
    return {
        "format": FORMAT,
        "turn": {
            "id": turn.id,
            "chat": chat.id,
            "case": chat.case_id,
            "parent": turn.parent,
            "asked": turn.asked.isoformat(),
            "state": turn.state,
            "reason": turn.reason,
            "length": turn.length,
            "resumed_at": turn.resumed_at,
            "context_used": turn.context_used,
        },
        "computed": _computed(turn),
        "engine": _engine(store, asked),
        "told": told | {"system_message": chat.system is not None, "messages": len(messages)},
        "unchanged_since": _unchanged(store, chat, turn, asked, answered),
        "same_answer": SAME_ANSWER[turn.sampling is not None and turn.sampling.seed is not None],
        "rules": asked["rules"] if asked else None,
        "switches": _before(store, "rules_switched", asked),
        "events": [exported(row) for row in events],
        "audit": {"rows": checked.rows, "head": checked.head, "whole": checked.whole},
        "text": _text(turn, messages) if with_text else None,
    }


def _region(details: Mapping[str, Any]) -> Region:
    """A row that was edited may hold anything."""
    units, names, answers, language = (details.get(each) for each in ("units", "drug_names", "answers_in", "language"))
    return Region(
        units if units in UNITS else None,
        names if names in DRUG_NAMES else None,
        answers if answers in ANSWERS_IN else None,
        "zh-CN" if language == "zh-CN" else "en",
    )


def _computed(turn: Turn) -> dict[str, Any]:
    sampling = answer_row(turn)["sampling"]
    return {
        "weights_digest": turn.weights_digest,
        "engine_version": turn.engine_version,
        "prompt_digest": turn.prompt_digest,
        "seed": turn.seed,
        "sampling": json.loads(sampling) if sampling else None,
    }


def _text(turn: Turn, messages: list[Message]) -> dict[str, Any]:
    """What was sent, and what came. The header's identity was in no prompt, so it is not here either."""
    return {
        "messages": [{"role": each.role, "content": each.content} for each in messages],
        "continued": turn.continued,
        "answer": turn.raw,
    }


def _unchanged(
    store: Store, chat: Conversation, turn: Turn, asked: Mapping[str, Any] | None, answered: Mapping[str, Any] | None
) -> dict[str, bool | None]:
    """Whether what the vault holds now is what was recorded then; None if nothing was recorded.

    "prompt" is False if the header, an earlier answer or the system message was changed since.
    """
    key = store.audit_key()
    if key is None or asked is None:
        return {"prompt": None, "question": None, "answer": None}
    keys = MacKeys(key)
    return {
        "prompt": keys.of_messages(sent(chat, turn)) == known(asked["details"]).get("sent"),
        "question": keys.of_text(turn.question) == asked["question"],
        "answer": keys.of_text(turn.raw) == answered["answer"] if answered else None,
    }


def _engine(store: Store, asked: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How the engine ran that answered; None if that was not recorded."""
    started = _before(store, "engine_started", asked)
    return started[-1].get("details") if started else None


def _before(store: Store, event: str, asked: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The rows of an event before the turn was asked."""
    if asked is None:
        return []
    where = "event = :event AND sequence < :sequence"
    rows = each_row(store, where, {"event": event, "sequence": asked["sequence"]})
    return [exported(row, [name for name in EXPORTED if name not in ("previous", "mac")]) for row in rows]


def _last(rows: list[dict[str, Any]], event: str, turn_id: str) -> dict[str, Any] | None:
    found = [row for row in rows if row["event"] == event and row["turn_id"] == turn_id]
    return found[-1] if found else None
