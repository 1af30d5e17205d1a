"""One question and its answer as data, how the answer ended, its provenance, and the note that was made of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from edgemed.chat.lengths import Length, with_instruction
from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Sampling

State = Literal["open", "whole", "stopped", "length", "context", "failed", "interrupted"]
"""How an answer ended: "open" while it is being written, "whole" if the model ended it, otherwise why it was cut.

"interrupted": the program ended while the answer was open."""


def new_id() -> str:
    """A unique id: 128 random bits in hexadecimal."""
    return os.urandom(16).hex()


@dataclass(slots=True, eq=False)
class Turn:
    """A question and its answer.

    `raw` is the model's text, unchanged, as later prompts repeat it. `reason` says why a failed answer failed. `parent`
    is the id of the turn before it, None for a first turn. `length` is the length that was asked for; `instruction` is
    what the template named `template` tells the model below the question. `note` is what the user made of the answer,
    reviewed by `reviewed_by` at `reviewed`. `context_used` is the number of context tokens of prompt and answer.

    The other fields are the answer's provenance. `id` names the turn; `request` names what is sent to the engine and
    differs each time the turn is resumed. `asked` is a time in UTC. `sampling` is what was requested; `seed` is the
    seed that was used, drawn if `sampling` has none. `weights_digest` is None for a model file without checksums.
    `prompt_digest` is the SHA-256 of the prompt's token ids (int32, little-endian), None until the engine has tokenised
    the prompt. For a resumed answer, seed, sampling, version and prompt are those of its last part, which begins at the
    character `resumed_at` of `raw`.
    """

    question: str
    raw: str = ""
    state: State = "open"
    reason: str = ""
    id: str = field(default_factory=new_id)
    parent: str | None = None
    length: Length = "standard"
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    sampling: Sampling | None = None
    seed: int | None = None
    weights_digest: str | None = None
    engine_version: str | None = None
    prompt_digest: str | None = None
    context_used: int = 0
    resumed_at: int = 0
    template: str = ""
    instruction: str = ""
    note: str = ""
    reviewed_by: str = ""
    reviewed: datetime | None = None
    request: str = field(default_factory=new_id)

    @property
    def text(self) -> str:
        """The answer as shown to people, with invisible characters spelt out (see `visible`)."""
        return visible(self.raw)

    @property
    def told(self) -> str:
        """The question as the model gets it, with the template's instruction and that about the length."""
        return with_instruction("\n\n".join(filter(None, (self.question, self.instruction))), self.length)

    @property
    def continued(self) -> str:
        """The part of the answer that the last request continued; empty if the answer was never resumed."""
        return self.raw[: self.resumed_at]

    @property
    def cut(self) -> bool:
        """True if there is text but the model did not finish it."""
        return bool(self.raw) and self.state not in ("open", "whole")
