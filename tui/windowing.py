"""Which turns of a conversation are on the screen's tree, and which answers are live Markdown. Pure logic.

A live Markdown widget is dozens of widgets; a hundred of them make every key lag by more than a second. So only the
last few answers are live (they can be selected and scrolled block by block), older ones are frozen into one static
widget each, and an old answer that gets the focus is promoted for as long as it has it. A long conversation is mounted
from its end; what lies above comes in when the reader scrolls to the top.
"""

from __future__ import annotations

LIVE = 8
"""Answers kept live, the promoted one included."""

FIRST_MOUNTED = 20
"""Turns mounted at once when a whole conversation is put on the screen."""

BACKFILL = 20
"""Turns mounted each time the reader reaches the top."""


def live_answers(count: int, promoted: int | None = None, limit: int = LIVE) -> frozenset[int]:
    """Indices of the live answers among `count` turns.

    Always the newest ones; a promoted older answer takes the place of the oldest of them, so that never more than
    `limit` are live. The newest answer is live whatever else is (`limit` is at least 1).
    """
    newest = range(max(0, count - limit), count)
    if promoted is None or promoted in newest or not 0 <= promoted < count or limit < 2:
        return frozenset(newest)
    return frozenset((promoted, *newest[1:]))


def first_mounted(count: int) -> int:
    """Index of the first turn to mount when `count` turns are put on the screen at once."""
    return max(0, count - FIRST_MOUNTED)


def backfilled(first: int) -> int:
    """Index of the first mounted turn after the reader has reached the top, `first` being the first until then."""
    return max(0, first - BACKFILL)
