"""A screen that asks for one line of text at a time: unlocking, the first run."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Input, Static

from edgemed.tui.messages import Opened
from edgemed.tui.widgets.notices import Notices


class FormScreen(Screen[None]):
    """A heading, an explanation, listed words, a field, a message and the keys. Subclasses fill and answer it."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f6", "show_typed", show=False)]
    asks = True
    """Whether it takes input at once. If not, what is typed waits for the next screen, or for `go_on`."""

    def __init__(self, *headers: str) -> None:
        """`headers`: the first that fits the width is shown."""
        super().__init__(classes="form")
        self._headers = headers

    def compose(self) -> ComposeResult:
        yield Notices(self._headers, None)
        with Vertical(classes="fields"):
            yield Static("", classes="heading", markup=False)
            yield Static("", classes="explanation", markup=False)
            yield Static("", classes="listed", markup=False)
            yield Input(select_on_focus=False)
            yield Static("", classes="message", markup=False)
        yield Static("", classes="keys", markup=False)

    def on_mount(self) -> None:
        if self.asks:
            self.post_message(Opened())

    @property
    def field(self) -> Input:
        return self.query_one(Input)

    def fill(self, heading: str, explanation: str, placeholder: str, *, listed: str = "", secret: bool = False) -> None:
        """Show a new question with an empty field."""
        self._show(".heading", heading)
        self._show(".explanation", explanation)
        self._show(".listed", listed)
        self.field.placeholder = placeholder
        self.field.password = secret
        self.field.clear()

    def say(self, message: str, *, failed: bool = False) -> None:
        """Show a sentence below the field."""
        self._show(".message", message)
        self.query_one(".message").set_class(failed, "-failed")

    def show_keys(self, keys: str) -> None:
        self._show(".keys", keys)

    def wait(self, message: str) -> None:
        """Take no input. What is typed now is dropped: it could be a second try of a passphrase."""
        self.say(message)
        self.field.disabled = True

    def go_on(self) -> None:
        """Take input again."""
        self.field.disabled = False
        self.field.focus()
        if not self.asks:
            self.asks = True
            self.post_message(Opened())

    def action_show_typed(self) -> None:
        """Show what is typed, or hide it again."""
        self.field.password = not self.field.password

    def _show(self, selector: str, text: str) -> None:
        line = self.query_one(selector, Static)
        line.update(text)
        line.display = bool(text)

    @on(Input.Submitted)
    async def _submitted(self, submitted: Input.Submitted) -> None:
        submitted.stop()
        await self.answered(submitted.value)

    async def answered(self, text: str) -> None:
        """The user has pressed Enter."""
        raise NotImplementedError
