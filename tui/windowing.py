"""Which turns are mounted as widgets, and which answers are live Markdown. Pure logic.

One answer in live Markdown is dozens of widgets; a hundred such answers delay every key by more than a second. So only
the last few answers are live. Older ones are frozen into one static widget each, and a frozen answer becomes live while
it has the focus. A long conversation is mounted from its end; older turns are added when the reader scrolls to the top.
"""

from __future__ import annotations

LIVE = 8
"""Number of live answers, including the promoted one."""

FIRST_MOUNTED = 20
"""Turns mounted when a conversation is first shown."""

MOST_MOUNTED = 60
"""A new turn beyond these leaves only the last FIRST_MOUNTED, so that the memory of a long chat stays flat."""

BACKFILL = 20
"""Turns added each time the reader reaches the top."""


def live_answers(count: int, promoted: int | None = None, limit: int = LIVE) -> frozenset[int]:
    """Indices of the live answers among `count` turns.

    These are the `limit` newest ones. A promoted older answer replaces the oldest of them, so at most `limit` are live.
    The newest answer is always live (`limit` is at least 1).
    """
    newest = range(max(0, count - limit), count)
    if promoted is None or promoted in newest or not 0 <= promoted < count or limit < 2:
        return frozenset(newest)
    return frozenset((promoted, *newest[1:]))


def first_mounted(count: int) -> int:
    """Index of the first turn to mount when a conversation of `count` turns is first shown."""
    return max(0, count - FIRST_MOUNTED)


def backfilled(first: int) -> int:
    """Index of the first mounted turn after the reader has reached the top; `first` is the index before that."""
    return max(0, first - BACKFILL)
