"""The text field for questions: Enter sends; Shift, Alt or Ctrl with Enter starts a new line, as Ctrl+J does.

A text that begins with a slash and a word is a command and is never sent. In an empty field, `?` opens the help page
and Up recalls the last question.
"""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.message import Message

from edgemed.tui.commands import TYPED, is_command
from edgemed.tui.widgets.slash_menu import SlashMenu
from edgemed.tui.widgets.typing_area import TypingArea

NEW_LINE_KEYS = frozenset({"shift+enter", "alt+enter", "ctrl+j", "ctrl+enter"})


class Composer(TypingArea):
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
        super().__init__(placeholder=placeholder)
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

    def _use_menu(self, key: str) -> None:
        if key in ("up", "down"):
            self._menu.action_cursor_up() if key == "up" else self._menu.action_cursor_down()
        elif key == "tab":
            self.text = f"{self._menu.word} "
            self.move_cursor(self.document.end)
        elif self._menu.word.startswith(self.text.strip().lower()):
            self.post_message(self.Called(self._menu.word, ""))
        else:
            self._send()  # typed faster than the menu follows

    def _send(self) -> None:
        text = self.text.strip()
        if is_command(text):
            word, _, argument = text.partition(" ")
            self.post_message(self.Called(word, argument.strip()))
        elif text:
            self.sending = text
            self.clear()
            self.post_message(self.Sent(text))
