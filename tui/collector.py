"""When Python collects reference cycles: a full pass stops every thread of the process for as long as 0.1 s."""

from __future__ import annotations

import gc

YOUNGEST = 5000
"""Allocations minus deallocations before the youngest generation is collected; Python's default is 700."""


def pause() -> None:
    """Collect nothing while much is loaded that stays: modules, rules, the vault's texts."""
    gc.disable()


def resume() -> None:
    """After `pause`: collect once, then rarely go through what was loaded.

    Nothing is frozen: that would keep the text of the chat on the screen in memory until the process ends.
    """
    if not gc.isenabled():
        gc.collect()
        gc.set_threshold(YOUNGEST)
        gc.enable()
