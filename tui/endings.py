"""The line under an answer that says how it ended, and how to continue it."""

from __future__ import annotations

from edgemed.chat.conversation import State, Turn
from edgemed.clinical import Language, cut_off
from edgemed.tui.reasons import reason_in
from edgemed.tui.strings import Strings

RESUMABLE = frozenset({"stopped", "length", "failed", "interrupted"})


def ending(turn: Turn, words: Strings, language: Language) -> str:
    """The line under an answer; empty if the answer is still open or is whole."""
    reasons: dict[State, str] = {
        "stopped": words.stopped_by_you,
        "length": words.length_reached,
        "context": words.context_full,
        "interrupted": words.interrupted,
        "failed": reason_in(language, turn.reason).rstrip(".。"),
    }
    reason = reasons.get(turn.state, "")
    resume = words.resume if turn.cut and turn.state in RESUMABLE else ""
    return " · ".join(filter(None, (cut_off(language) if turn.cut else "", reason, resume)))
