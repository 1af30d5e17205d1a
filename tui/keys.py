"""A key that Textual's parser does not know.

Terminals without the newer keyboard protocol send Escape and a carriage return for Alt+Enter; Textual drops the Escape
and reports a plain Enter, which would send a half-written question.
"""

from __future__ import annotations

from typing import cast

from textual import _ansi_sequences
from textual.keys import Keys


def teach_alt_enter() -> None:
    """From now on Alt+Enter arrives as Ctrl+J, which starts a new line."""
    sequences = cast("dict[str, tuple[Keys, ...]]", _ansi_sequences.ANSI_SEQUENCES_KEYS)
    sequences["\x1b\r"] = sequences["\x1b\n"] = (Keys.ControlJ,)
