"""A text area that takes no control characters, and keeps numbers on the line of their unit."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from textual import events
from textual.binding import Binding
from textual.geometry import Offset
from textual.widgets import TextArea

from edgemed.tui.widgets.bound_lines import bind_numbers

bind_numbers()


class TypingArea(TextArea):
    """Soft wrapped, without a blinking cursor."""

    def __init__(
        self, text: str = "", *, placeholder: str = "", read_only: bool = False, id: str | None = None
    ) -> None:
        super().__init__(
            text,
            placeholder=placeholder,
            read_only=read_only,
            id=id,
            highlight_cursor_line=False,
            compact=True,
            soft_wrap=True,
        )
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        """Run an editing key now: Textual passes it through all parents first, and would insert later letters before.

        "1", "2", Backspace, "5" would become "1" on a busy screen.
        """
        for binding in self.editing_keys.get(event.key, ()):
            if not binding.priority and await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return

    @property
    def editing_keys(self) -> Mapping[str, Sequence[Binding]]:
        """The keys bound by this widget itself."""
        return self._bindings.key_to_bindings

    def _on_paste(self, event: events.Paste) -> None:  # type: ignore[override]
        """Insert pasted text without its control characters, which could reach the terminal as commands."""
        event.stop()
        event.prevent_default()
        if not self.read_only:
            self.take(event.text)

    def take(self, text: str) -> None:
        """Insert `text` at the cursor, as if it were pasted."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        kept = "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) != "Cc")
        self.replace(kept, *self.selection)

    def scroll_cursor_visible(self, *args: Any, **options: Any) -> Offset:
        """Do nothing while the cursor is beyond the text.

        Undoing a long paste shortens the text and hides the scroll bar before Textual has moved the cursor.
        """
        if self.cursor_location[0] >= self.document.line_count:
            return Offset()
        return super().scroll_cursor_visible(*args, **options)
