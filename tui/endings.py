"""The line under an answer that says how it ended."""

from __future__ import annotations

from edgemed.chat.conversation import State, Turn
from edgemed.clinical import Language, cut_off
from edgemed.tui.reasons import reason_in
from edgemed.tui.strings import Strings


def ending(turn: Turn, words: Strings, language: Language) -> str:
    """The line under an answer; empty if the answer is still open or is whole."""
    reasons: dict[State, str] = {
        "stopped": words.stopped_by_you,
        "length": words.length_reached,
        "context": words.context_full,
        "failed": reason_in(language, turn.reason),
        "interrupted": words.interrupted,
    }
    reason = reasons.get(turn.state, "")
    return " · ".join(filter(None, (cut_off(language) if turn.cut else "", reason)))
