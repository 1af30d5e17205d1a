"""A conversation as data: the questions, the answers, how each answer ended, and its provenance.

Nothing here writes to a disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Message, Sampling, StopReason

State = Literal["open", "whole", "stopped", "length", "context", "failed"]
"""How an answer ended: "open" while it is being written, "whole" if the model ended it, otherwise why it was cut."""

ENDED: dict[StopReason, State] = {"end": "whole", "length": "length", "context": "context", "stopped": "stopped"}
"""Stop reason -> the state of an answer that finished for it."""


def new_id() -> str:
    """A unique id: 128 random bits in hexadecimal."""
    return os.urandom(16).hex()


@dataclass(slots=True, eq=False)
class Turn:
    """A question and its answer.

    `raw` is the model's text, unchanged, as later prompts repeat it. `reason` says why a failed answer failed.

    The other fields are the answer's provenance. `id` names the turn and is also the engine's request id. `asked` is a
    time in UTC. `sampling` is what was requested; `seed` is the seed that was used, drawn if `sampling` has none.
    `weights_digest` is None for a model file without checksums. `prompt_digest` is the SHA-256 of the prompt's token
    ids (int32, little-endian), None until the engine has tokenised the prompt.
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
        """The answer as shown to people, with invisible characters spelt out (see `visible`)."""
        return visible(self.raw)

    @property
    def cut(self) -> bool:
        """True if there is text but the model did not finish it."""
        return bool(self.raw) and self.state not in ("open", "whole")


@dataclass(slots=True)
class Conversation:
    """The turns in order, after an optional system message.

    `queued` is the question that waits for the current answer to end. `context_used` is the number of context tokens
    that the last prompt and its answer filled.
    """

    turns: list[Turn] = field(default_factory=list)
    system: str | None = None
    queued: str = ""
    context_used: int = 0

    @property
    def open_turn(self) -> Turn | None:
        """The turn that is being answered, if any."""
        return self.turns[-1] if self.turns and self.turns[-1].state == "open" else None

    def ask(self, question: str) -> Turn:
        """Open a turn. The previous one must have ended."""
        assert self.open_turn is None
        turn = Turn(question)
        self.turns.append(turn)
        return turn

    def queue(self, question: str) -> None:
        """Queue a question. A second one is appended to the first, so that nothing typed is lost."""
        self.queued = f"{self.queued}\n\n{question}" if self.queued else question

    def take_queued(self) -> str:
        """Remove and return the queued question; empty if there is none."""
        queued, self.queued = self.queued, ""
        return queued

    def messages(self) -> list[Message]:
        """The messages to send: the system message, every turn that has an answer, then the open question.

        A turn that ended without an answer is left out, because chat templates reject two questions in a row.
        """
        messages = [] if self.system is None else [Message("system", self.system)]
        for turn in self.turns:
            if turn.raw or turn.state == "open":
                messages.append(Message("user", turn.question))
            if turn.raw:
                messages.append(Message("assistant", turn.raw))
        return messages
