"""A conversation as data: what was asked, what was answered, how each answer ended. Nothing here touches a disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgemed.clinical import Language, cut_off
from edgemed.tui.contract import Finished, Message
from edgemed.tui.strings import Strings
from edgemed.tui.visible import visible

State = Literal["open", "whole", "stopped", "length", "context", "failed"]
"""How an answer ended: "open" while it is being written, "whole" at the model's own end, else why it was cut."""


@dataclass(slots=True)
class Turn:
    """A question and its answer. `raw` is what the model wrote, to be given back to it; `reason` why it failed."""

    question: str
    raw: str = ""
    state: State = "open"
    reason: str = ""

    @property
    def text(self) -> str:
        """The answer for people: nothing in it acts unseen."""
        return visible(self.raw)

    @property
    def cut(self) -> bool:
        """True where text is there but not all that the model had to say."""
        return bool(self.raw) and self.state not in ("open", "whole")


def ending(turn: Turn, words: Strings, language: Language) -> str:
    """The line under an answer: empty for one that is open or whole."""
    reasons: dict[State, str] = {
        "stopped": words.stopped_by_you,
        "length": words.length_reached,
        "context": words.context_full,
        "failed": turn.reason,
    }
    reason = reasons.get(turn.state, "")
    return " · ".join(filter(None, (cut_off(language) if turn.cut else "", reason)))


def state_after(finished: Finished) -> State:
    """How an answer with this closing event ended."""
    match finished.stop_reason:
        case "end":
            return "whole"
        case "length":
            return "length"
        case "context":
            return "context"
        case _:
            return "stopped"


@dataclass(slots=True)
class Conversation:
    """Turns in order, the one question that waits for the current answer to end, and the tokens of the model's
    context that the last whole turn filled."""

    turns: list[Turn] = field(default_factory=list)
    queued: str = ""
    context_used: int = 0

    @property
    def open_turn(self) -> Turn | None:
        """The turn being answered."""
        return self.turns[-1] if self.turns and self.turns[-1].state == "open" else None

    def ask(self, question: str) -> Turn:
        """Open a turn. The previous one must have ended."""
        assert self.open_turn is None
        turn = Turn(question)
        self.turns.append(turn)
        return turn

    def queue(self, question: str) -> None:
        """Keep a question for later; a second one joins the first, so that nothing typed is lost."""
        self.queued = f"{self.queued}\n\n{question}" if self.queued else question

    def take_queued(self) -> str:
        """The waiting question, which then waits no more."""
        queued, self.queued = self.queued, ""
        return queued

    def messages(self) -> list[Message]:
        """What the engine is asked: every turn that has an answer, then the open question.

        A turn that failed without a word is left out: two questions in a row would not fit the model's template.
        """
        messages: list[Message] = []
        for turn in self.turns:
            if turn.raw or turn.state == "open":
                messages.append(Message("user", turn.question))
            if turn.raw:
                messages.append(Message("assistant", turn.raw))
        return messages
