"""The editor of one template, which is a plain file: it is checked while it is typed, and saved on request."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static, TextArea

from edgemed.chat.visible import visible
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.notes import Library, Template, TemplateError
from edgemed.clinical.notes.library import identity_in
from edgemed.tui.messages import Opened
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.notes import note_strings
from edgemed.tui.widgets.typing_area import TypingArea


class TemplateScreen(Screen[None]):
    """Saving a shipped template makes the user's copy of it. A text with the case's birth date or number is refused."""

    AUTO_FOCUS = "TypingArea"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("ctrl+s", "save", show=False, priority=True),
        Binding("alt+z", "undo", show=False),
    ]

    def __init__(self, session: ChatSession, library: Library, name: str, header: CaseHeader) -> None:
        super().__init__(classes="note-screen")
        self._session = session
        self._words = note_strings(session.language)
        self._library = library
        self._template = name
        self._header = header
        try:
            self._saved = library.text(name)
        except TemplateError:  # a new one, or one that cannot be read
            self._saved = self._words.skeleton

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield Static(f"{self._library.path(self._template)}", classes="heading", markup=False)
        yield TypingArea(self._saved)
        yield Static("", classes="marks", markup=False)
        yield Static(self._words.template_keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        self._show_state()
        self.post_message(Opened())

    @property
    def _text(self) -> str:
        return self.query_one(TypingArea).text

    @on(TextArea.Changed)
    def _show_state(self) -> None:
        """Say whether the template can be used, or what is wrong with it."""
        try:
            Template.parse(self._template, self._text)
            said = self._words.template_works
        except TemplateError as error:
            said = self._words.broken[error.why].format(detail=visible(error.detail))
        self._say(said, failed=said != self._words.template_works)

    def _say(self, sentence: str, *, failed: bool = False) -> None:
        line = self.query_one(".marks", Static)
        line.update(sentence)
        line.set_class(failed, "-found")

    async def action_save(self) -> None:
        await self._save()

    async def _save(self) -> bool:
        text = self._text
        if found := identity_in(text, self._header):
            self._say(self._words.template_holds.format(found=visible(found)), failed=True)
            return False
        try:
            path = await asyncio.to_thread(self._library.save, self._template, text)
        except OSError as error:
            self._say(self._words.template_not_saved.format(error=error.strerror or error), failed=True)
            return False
        self._saved = text
        self._say(self._words.template_saved.format(path=path))
        return True

    def action_leave(self) -> None:
        """Close; ask first if there are changes."""
        words = self._words
        if not self.is_current:
            return
        if self._text == self._saved:
            self.dismiss()
            return
        choices = [("save", words.save), ("discard", words.discard), ("stay", words.stay)]
        self.app.push_screen(ChoiceScreen(self._session, words.leave_template, choices), self._leave)

    async def _leave(self, choice: str | None) -> None:
        if choice == "discard" or (choice == "save" and await self._save()):
            self.dismiss()

    def action_undo(self) -> None:
        self.query_one(TypingArea).undo()
