"""Pieces of text that come faster than people read are sent together.

Each message wakes its listener and makes the screen lay out its text again, on a core that computes: a model whose
tokens take a millisecond loses a fifth of its speed to that. So a piece that follows the last one sent within
`COALESCE_SECONDS` is held, and goes out with the next event after that time. Nothing after this holds text back:
whatever shows an answer draws each event as it comes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

from edgemed.engine.process.protocol import Event, Piece

COALESCE_SECONDS = 0.1


def coalesced(events: Iterable[Event], clock: Callable[[], float] = time.monotonic) -> Iterator[Event]:
    """The same text, counts and other events in the same order, with fewer pieces; nothing is kept back at the end,
    nor when `events` fails."""
    held: list[Piece] = []
    sent = -math.inf
    try:
        for event in events:
            if isinstance(event, Piece):
                held.append(event)
                now = clock()
                if now - sent >= COALESCE_SECONDS:
                    sent = now
                    yield from _joined(held)
            else:
                yield from _joined(held)
                yield event
    except Exception:
        yield from _joined(held)
        raise
    yield from _joined(held)


def _joined(held: list[Piece]) -> Iterator[Piece]:
    """One piece of all that are held, if any; then none is."""
    if held:
        piece = Piece("".join(each.text for each in held), sum(each.tokens for each in held))
        held.clear()
        yield piece
