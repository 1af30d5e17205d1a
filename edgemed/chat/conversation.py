"""A conversation as data: what was asked, what was answered, how each answer ended and where it came from.

Nothing here touches a disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Message, Sampling, StopReason

State = Literal["open", "whole", "stopped", "length", "context", "failed"]
"""How an answer ended: "open" while it is being written, "whole" at the model's own end, else why it was cut."""

ENDED: dict[StopReason, State] = {"end": "whole", "length": "length", "context": "context", "stopped": "stopped"}
"""The state of an answer that finished for this reason."""


def new_id() -> str:
    """128 random bits in hexadecimal: an id that no other turn has, in this process or another."""
    return os.urandom(16).hex()


@dataclass(slots=True, eq=False)
class Turn:
    """A question and its answer. `raw` is what the model wrote, to be given back to it; `reason` says why it failed.

    The other fields say how the answer was made. `id` names the turn, also to the engine. `sampling` is what was asked
    for; `seed` is the seed that was used, drawn where `sampling` has none. `weights_digest` is None for a model file
    without one. `prompt_digest` is the SHA-256 of the prompt's token ids (int32, little-endian), None until the engine
    has tokenised the prompt.
    """

    question: str
    raw: str = ""
    state: State = "open"
    reason: str = ""
    id: str = field(default_factory=new_id)
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    sampling: Sampling | None = None
    seed: int | None = None
    weights_digest: str | None = None
    engine_version: str | None = None
    prompt_digest: str | None = None

    @property
    def text(self) -> str:
        """The answer for people: nothing in it acts unseen."""
        return visible(self.raw)

    @property
    def cut(self) -> bool:
        """True where text is there but not all that the model had to say."""
        return bool(self.raw) and self.state not in ("open", "whole")


@dataclass(slots=True)
class Conversation:
    """Turns in order, below an optional system message.

    `queued` is the one question that waits for the current answer to end; `context_used` counts the tokens of the
    model's context that the last answer and its prompt filled.
    """

    turns: list[Turn] = field(default_factory=list)
    system: str | None = None
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
        """What the engine is asked: the system message, every turn that has an answer, then the open question.

        A turn that failed without a word is left out: two questions in a row would not fit the model's template.
        """
        messages = [] if self.system is None else [Message("system", self.system)]
        for turn in self.turns:
            if turn.raw or turn.state == "open":
                messages.append(Message("user", turn.question))
            if turn.raw:
                messages.append(Message("assistant", turn.raw))
        return messages
