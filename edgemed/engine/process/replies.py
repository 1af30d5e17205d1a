"""What the client checks before it sends text, and how it waits for replies that are no answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgemed.engine.process.child import Child, Ended
from edgemed.engine.process.failures import decode_failure
from edgemed.engine.process.messages import Failed, Progress, Ready
from edgemed.engine.process.protocol import EngineInfo, Preview
from edgemed.errors import EngineDied, EngineError, UsageError

OnProgress = Callable[[str, float], None]


def require_text(texts: Sequence[str]) -> None:
    """Raise UsageError for a text that cannot be encoded as UTF-8.

    Python turns bytes that are not UTF-8, on the command line and standard input, into lone surrogates. Dropping them
    would drop the µ of a dose in Latin-1 text.
    """
    try:
        "\n".join(texts).encode()
    except UnicodeEncodeError:
        raise UsageError("The question is not UTF-8 text; convert it to UTF-8 and ask again.") from None


def wait_until_ready(child: Child, on_progress: OnProgress | None) -> EngineInfo:
    """Wait until the model is loaded. Raises what loading raised in the engine, or EngineDied."""
    while True:
        match child.events.get()[1]:
            case Progress(stage, fraction):
                if on_progress is not None:
                    on_progress(stage, fraction)
            case Ready(info):
                return info
            case Failed() as failed:
                raise decode_failure(failed.kind, failed.message)
            case Ended():
                raise EngineDied(child.death)
            case message:
                raise EngineError(f"The engine sent {type(message).__name__} before it was ready; start it again.")


def wait_for_preview(child: Child, request: str) -> Preview:
    """Wait for the reply to a `GetPreview`. Drops the events of an earlier, abandoned answer."""
    while True:
        owner, event = child.events.get()
        if isinstance(event, Ended):
            raise EngineDied(child.death)
        if owner == request and isinstance(event, Failed):
            raise decode_failure(event.kind, event.message)
        if owner == request and isinstance(event, Preview):
            return event
