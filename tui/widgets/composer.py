"""The text field for questions: Enter sends; Shift, Alt or Ctrl with Enter starts a new line, as Ctrl+J does."""

from __future__ import annotations

import unicodedata
from typing import Any

from textual import events
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import TextArea

from edgemed.tui.widgets.bound_lines import bind_numbers

NEW_LINE_KEYS = frozenset({"shift+enter", "alt+enter", "ctrl+j", "ctrl+enter"})

bind_numbers()


class Composer(TextArea):
    """A text area that grows with its text up to the maximum height in the style sheet."""

    class Sent(Message):
        """The user has sent `text`, which is never blank."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, highlight_cursor_line=False, compact=True, soft_wrap=True)
        self.cursor_blink = False

    def _on_key(self, event: events.Key) -> None:  # type: ignore[override]
        # Textual then calls the base class's handler, unless prevent_default() was called.
        if event.key == "enter":
            self._send()
        elif event.key in NEW_LINE_KEYS:
            self.replace("\n", *self.selection)
        else:
            return
        event.stop()
        event.prevent_default()

    def _on_paste(self, event: events.Paste) -> None:  # type: ignore[override]
        """Insert pasted text without its control characters, which could reach the terminal as commands."""
        event.stop()
        event.prevent_default()
        lines = event.text.replace("\r\n", "\n").replace("\r", "\n")
        kept = "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) != "Cc")
        self.replace(kept, *self.selection)

    def scroll_cursor_visible(self, *args: Any, **options: Any) -> Offset:
        """Do nothing while the cursor is beyond the text.

        Undoing a long paste shortens the text and hides the scroll bar before Textual has moved the cursor.
        """
        if self.cursor_location[0] >= self.document.line_count:
            return Offset()
        return super().scroll_cursor_visible(*args, **options)

    def _send(self) -> None:
        text = self.text.strip()
        if text:
            self.clear()
            self.post_message(self.Sent(text))
