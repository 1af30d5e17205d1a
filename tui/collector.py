"""When Python looks for garbage in cycles: a full pass stops every thread of the process for as long as 0.1 s."""

from __future__ import annotations

import gc

YOUNGEST = 5000
"""Objects made, less those freed, before the youngest generation is looked at; Python's default is 700."""


def pause() -> None:
    """Look for none while much is loaded that stays: modules, rules, the vault's texts."""
    gc.disable()


def resume() -> None:
    """After `pause`: free what is garbage by now, then look only at what is made later, and less often."""
    if not gc.isenabled():
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNGEST)
        gc.enable()
