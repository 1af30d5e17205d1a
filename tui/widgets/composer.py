"""The text field for questions: Enter sends; Shift, Alt or Ctrl with Enter starts a new line, as Ctrl+J does.

A text that begins with a slash and a word is a command and is never sent. In an empty field, `?` opens the help page
and Up recalls the last question.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import TextArea

from edgemed.tui.commands import TYPED, is_command
from edgemed.tui.widgets.bound_lines import bind_numbers
from edgemed.tui.widgets.slash_menu import SlashMenu

NEW_LINE_KEYS = frozenset({"shift+enter", "alt+enter", "ctrl+j", "ctrl+enter"})

bind_numbers()


class Composer(TextArea):
    """A text area that grows with its text up to the maximum height in the style sheet."""

    class Sent(Message):
        """The user has sent `text`, which is never blank."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Called(Message):
        """The user has typed the command `word`; `argument` is what follows it."""

        def __init__(self, word: str, argument: str) -> None:
            super().__init__()
            self.word = word
            self.argument = argument

    class Recalled(Message):
        """The user wants the last question back."""

    def __init__(self, placeholder: str, menu: SlashMenu) -> None:
        super().__init__(placeholder=placeholder, highlight_cursor_line=False, compact=True, soft_wrap=True)
        self.cursor_blink = False
        self._hint = placeholder
        self.sending = ""
        """The text of the last `Sent`, until its receiver has taken it and clears this."""
        self._menu = menu

    def on_resize(self, event: events.Resize) -> None:
        """Show as many of the placeholder's keys as fit on the line: the status line names F1 as well."""
        parts = self._hint.split(" · ")
        while len(parts) > 1 and cell_len(" · ".join(parts)) > event.size.width:
            parts.pop()
        self.placeholder = " · ".join(parts)

    def _on_key(self, event: events.Key) -> None:  # type: ignore[override]
        # Textual then calls the base class's handler, unless prevent_default() was called.
        if self._menu.display and event.key in ("up", "down", "tab", "enter"):
            self._use_menu(event.key)
        elif not self.text and (command := TYPED.get(event.character or "")):
            self.post_message(self.Called(command.word, ""))
        elif not self.text and event.key == "up":
            self.post_message(self.Recalled())
        elif event.key == "enter":
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

    def _use_menu(self, key: str) -> None:
        if key in ("up", "down"):
            self._menu.action_cursor_up() if key == "up" else self._menu.action_cursor_down()
        elif key == "tab":
            self.text = f"{self._menu.word} "
            self.move_cursor(self.document.end)
        else:
            self.post_message(self.Called(self._menu.word, ""))

    def _send(self) -> None:
        text = self.text.strip()
        if is_command(text):
            word, _, argument = text.partition(" ")
            self.post_message(self.Called(word, argument.strip()))
        elif text:
            self.sending = text
            self.clear()
            self.post_message(self.Sent(text))
