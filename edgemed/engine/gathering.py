"""Pieces of text that come faster than anybody reads are told together.

Whoever listens has to be woken for a message, on a core that computes: a model whose tokens take a millisecond loses
half of its speed to that. A piece that comes later than `TOLD_SECONDS` after the last one goes out at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from edgemed.engine.protocol import Event, Piece

TOLD_SECONDS = 0.025


def gathered(events: Iterable[Event], clock: Callable[[], float] = time.monotonic) -> Iterator[Event]:
    """The same text, counts and other events in the same order, with fewer pieces; nothing is kept back at the end,
    nor when `events` fails."""
    held: list[Piece] = []
    told = -TOLD_SECONDS
    try:
        for event in events:
            if isinstance(event, Piece):
                held.append(event)
                if clock() - told >= TOLD_SECONDS:
                    told = clock()
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
