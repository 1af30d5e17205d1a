"""Which turns are mounted as widgets. Pure logic.

A long conversation is mounted from its end; older turns are added when the reader scrolls to the top.
"""

from __future__ import annotations

FIRST_MOUNTED = 20
"""Turns mounted when a conversation is first shown."""

MOST_MOUNTED = 60
"""A new turn beyond these leaves only the last FIRST_MOUNTED, so that the memory of a long chat stays flat."""

BACKFILL = 20
"""Turns added each time the reader reaches the top."""


def first_mounted(count: int) -> int:
    """Index of the first turn to mount when a conversation of `count` turns is first shown."""
    return max(0, count - FIRST_MOUNTED)


def backfilled(first: int) -> int:
    """Index of the first mounted turn after the reader has reached the top; `first` is the index before that."""
    return max(0, first - BACKFILL)
