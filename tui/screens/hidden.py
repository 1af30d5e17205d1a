"""Covers the chat: shows nothing of it, and takes a PIN or the passphrase to show it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from edgemed.tui.hiding.pin import matches
from edgemed.tui.messages import Opened
from edgemed.tui.strings.vault import VaultStrings
from edgemed.tui.widgets.notices import Notices

LOOK_SECONDS = 0.5


class HiddenScreen(Screen[None]):
    """Opaque. `digests` are those of the secrets that show the chat again; with none, Enter does.

    `header` and `told` are shown: the demonstration says that its patients are fictitious, and its PIN.
    """

    class Shown(Message):
        """The PIN or the passphrase was right."""

    class Failed(Message):
        """A try was wrong."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+p", "ignore", show=False, priority=True)]

    def __init__(
        self,
        words: VaultStrings,
        digests: list[str],
        *,
        pin: bool,
        answering: Callable[[], bool],
        tries: int,
        header: str = "",
        told: str = "",
    ) -> None:
        super().__init__(classes="form")
        self._words = words
        self._digests = digests
        self._pin = pin
        self._answering = answering
        self._was_answering = answering()
        self._tries = tries
        self._one_try = asyncio.Lock()
        self._header = header
        self._told = told

    def compose(self) -> ComposeResult:
        words = self._words
        hint = words.no_secret if not self._digests else words.pin_placeholder if self._pin else ""
        if self._header:
            yield Notices((self._header,), None)
        with Vertical(classes="fields"):
            yield Static(words.hidden, classes="heading", markup=False)
            if self._told:
                yield Static(self._told, classes="explanation", markup=False)
            yield Input(placeholder=hint or words.passphrase_placeholder, password=True, select_on_focus=False)
            yield Static("", classes="message", markup=False)
        yield Static(words.hidden_keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))
        self.post_message(Opened())  # a PIN may have been typed while this screen was built
        self._look()
        self.set_interval(LOOK_SECONDS, self._look)

    def say(self, sentence: str, *, failed: bool = False) -> None:
        """Show a sentence below the field."""
        line = self.query_one(".message", Static)
        line.update(sentence)
        line.set_class(failed, "-failed")

    def action_ignore(self) -> None:
        """The command palette stays closed."""

    def _look(self) -> None:
        """Say whether the answer is still being written."""
        if self._was_answering:
            going = self._answering()
            self.say(self._words.hidden_answering if going else self._words.hidden_done)
            self._was_answering = going

    @on(Input.Submitted)
    async def _submitted(self, submitted: Input.Submitted) -> None:
        submitted.stop()
        typed = submitted.value
        submitted.input.clear()
        if typed or not self._digests:
            self.run_worker(self._try(typed))

    async def _try(self, typed: str) -> None:
        async with self._one_try:
            if self._tries <= 0 or not self.is_current:
                return  # an earlier try has decided
            for digest in self._digests:
                if await asyncio.to_thread(matches, typed, digest):
                    break
            else:
                if self._digests:
                    self._refuse()
                    return
            self.post_message(self.Shown())

    def _refuse(self) -> None:
        self._tries -= 1
        self.post_message(self.Failed())
        if self._tries <= 0:
            self.say(self._words.locking)
            return
        self.say(self._words.wrong_pin.format(left=self._tries), failed=True)
