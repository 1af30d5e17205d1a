"""The one way to ask: `ask` sends a turn to an engine and keeps the turn up to date while the answer arrives.

    conversation = Conversation()
    turn = conversation.ask("What is a fever?")
    for event in ask(engine, conversation, turn):
        if isinstance(event, Piece):
            print(event.text, end="")

The screen, the line mode and `edgemed generate` all ask here; nothing else calls `ChatEngine.generate`. What must
happen with every answer (a journal, rules on the question, an audit) is a `Hook`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

from edgemed.chat.conversation import ENDED, Conversation, Turn
from edgemed.chat.engine import ChatEngine
from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Event, Finished, Piece, PromptEncoded, Sampling
from edgemed.errors import EdgemedError


class Hook(Protocol):
    """Runs around every answer, on the thread that asks (never the interface's)."""

    def before(self, conversation: Conversation, turn: Turn) -> None:
        """Called before anything is sent. The turn has its question, id, time, sampling, seed, weights and version.

        May still change what is sent (`conversation.system`). When it raises, nothing is sent and the turn has failed.
        """

    def after(self, conversation: Conversation, turn: Turn) -> None:
        """Called once the turn has ended, however it ended, if `before` returned.

        What it raises reaches the caller of `ask`; the turn keeps its text and state.
        """


def ask(
    engine: ChatEngine,
    conversation: Conversation,
    turn: Turn,
    sampling: Sampling | None = None,
    hooks: Sequence[Hook] = (),
) -> Iterator[Event]:
    """Answer `turn`, the open one of `conversation`; yields the engine's events, `Finished` last.

    The turn is updated before each event is passed on: its text, its state, the digest of its prompt. It ends in every
    case: "failed" with a reason when something raises, "stopped" when the caller abandons the iterator. Nobody else
    may write to it in the meantime; to end it early, call `engine.stop(turn.id)` from any thread.

    `sampling` None means the model's own defaults. The `before` of each hook runs in order, the `after` in reverse
    order. Raises what the engine and the hooks raise, after noting it in the turn; where several raise, the last one.
    """
    wanted = sampling or engine.info.defaults
    drawn = wanted.seeded()
    turn.sampling, turn.seed = wanted, drawn.seed
    turn.weights_digest, turn.engine_version = engine.info.weights_digest, engine.info.engine_version
    with ExitStack() as afterwards:
        try:
            for hook in hooks:
                hook.before(conversation, turn)
                afterwards.callback(hook.after, conversation, turn)
            # A seed that the caller gave asks for the same numbers again, so nothing of the KV cache is reused.
            reuse = wanted.seed is None
            for event in engine.generate(conversation.messages(), drawn, turn.id, reuse=reuse):
                _note(event, conversation, turn)
                yield event
        except Exception as error:
            turn.state, turn.reason = "failed", failure_of(error)
            raise
        finally:
            if turn.state == "open":
                turn.state = "stopped"


def failure_of(error: Exception) -> str:
    """What to tell the user. The text of an unforeseen error is not shown: it might quote the conversation."""
    if isinstance(error, EdgemedError):
        return visible(str(error))
    return f"The engine failed in an unforeseen way ({type(error).__name__})."


def _note(event: Event, conversation: Conversation, turn: Turn) -> None:
    match event:
        case PromptEncoded(digest=digest):
            turn.prompt_digest = digest
        case Piece(text=text):
            turn.raw += text
        case Finished():
            turn.state = ENDED[event.stop_reason]
            if event.prompt_tokens:  # 0 when it was stopped before the prompt was tokenised
                conversation.context_used = event.prompt_tokens + event.tokens
