"""`ask` sends a turn to an engine and updates the turn while the answer arrives.

    conversation = Conversation()
    turn = conversation.ask("What is a fever?")
    for event in ask(engine, conversation, turn):
        if isinstance(event, Piece):
            print(event.text, end="")

The screen, line mode and `edgemed generate` all use `ask`; nothing else calls `ChatEngine.generate`. Anything that must
happen for every answer (a journal, rules on the question, an audit) is a `Hook`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from edgemed.chat.conversation import Conversation, State, Turn
from edgemed.chat.engine import ChatEngine
from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import Event, Finished, Piece, PromptEncoded, Sampling, StopReason
from edgemed.errors import EdgemedError, EngineError

ENDED: dict[StopReason, State] = {"end": "whole", "length": "length", "context": "context", "stopped": "stopped"}
"""Stop reason -> the state of an answer that finished for it."""


class Hook:
    """Runs around every answer, on the thread that calls `ask` (on the screen, never the interface's)."""

    def before(self, conversation: Conversation, turn: Turn) -> None:
        """Called before anything is sent. The turn has its question, id, time, sampling, seed, weights and version.

        May still change what is sent (`conversation.system`). If it raises, nothing is sent and the turn fails.
        """

    def during(self, conversation: Conversation, turn: Turn) -> None:
        """Called after each event, when the turn has been updated and before the event is yielded.

        It must be quick. If it raises, the answer ends and the turn fails.
        """

    def after(self, conversation: Conversation, turn: Turn) -> None:
        """Called once the turn has ended, however it ended, but only if `before` returned.

        What it raises reaches the caller of `ask`; the turn keeps its text and state.
        """


def ask(
    engine: ChatEngine,
    conversation: Conversation,
    turn: Turn,
    sampling: Sampling | None = None,
    hooks: Sequence[Hook] = (),
) -> Iterator[Event]:
    """Answer `turn`, the open turn of `conversation`. Yields the engine's events, `Finished` last.

    The turn's text, state and prompt digest are updated before each event is yielded. The turn always ends: as "failed"
    with a reason if something raises, as "stopped" if the caller abandons the iterator. No one else may write to it
    until then. To end it early, call `engine.stop(turn.request)` from any thread.

    If the turn has text (`Conversation.resume`), the model continues it; raises EngineError if another model began it.

    `sampling` None means the model's defaults. The `before` methods of the hooks run in order, the `after` methods in
    reverse order. Raises what the engine and the hooks raise; if several raise, the last exception.
    """
    wanted = sampling or engine.info.defaults
    drawn = wanted.seeded()
    with ExitStack() as afterwards:
        try:
            if turn.raw and turn.weights_digest != engine.info.weights_digest:
                raise EngineError("Another model file began this answer; ask again instead of continuing it.")
            turn.sampling, turn.seed = wanted, drawn.seed
            turn.weights_digest, turn.engine_version = engine.info.weights_digest, engine.info.engine_version
            for hook in hooks:
                hook.before(conversation, turn)
                afterwards.callback(hook.after, conversation, turn)
            # An explicit seed promises the same numbers again, so the KV cache must not be reused.
            reuse = wanted.seed is None
            messages = conversation.messages(turn)
            for event in engine.generate(messages, drawn, turn.request, reuse=reuse, continued=turn.continued):
                _note(event, turn)
                for hook in hooks:
                    hook.during(conversation, turn)
                yield event
        except Exception as error:
            turn.state, turn.reason = "failed", failure_of(error)
            raise
        finally:
            if turn.state == "open":
                turn.state = "stopped"


def failure_of(error: Exception) -> str:
    """The sentence for the user. It leaves out the text of an unexpected error, which might quote the conversation."""
    if isinstance(error, EdgemedError):
        return visible(str(error))
    return f"The engine failed because of an error in edgemed ({type(error).__name__}); try again."


def _note(event: Event, turn: Turn) -> None:
    match event:
        case PromptEncoded(digest=digest):
            turn.prompt_digest = digest
        case Piece(text=text):
            turn.raw += text
        case Finished():
            turn.state = ENDED[event.stop_reason]
            if event.prompt_tokens:  # 0 if the answer was stopped before its prompt was tokenised
                turn.context_used = event.prompt_tokens + event.tokens
