"""The screen of one note: the user's own texts beside it, and marks where their numbers differ."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.timer import Timer
from textual.widgets import Static, TextArea

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical import cut_off
from edgemed.clinical.numbers import Checked
from edgemed.errors import VaultError
from edgemed.tui.exporting import CLINICIAN, Remembered
from edgemed.tui.messages import Opened
from edgemed.tui.noting import (
    check_lines,
    checked,
    counts,
    filled_line,
    keep_note,
    library_of,
    note_copy,
    note_of,
    source_of,
    status,
    template_of,
)
from edgemed.tui.screens.asked_line import AskedLine
from edgemed.tui.screens.confirm_copy import ConfirmCopyScreen
from edgemed.tui.screens.copying import CopyingScreen
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.notes import note_strings
from edgemed.tui.widgets.note_area import NoteArea

CHECK_SECONDS = 0.3
"""The note is compared with its source this long after the last key."""
SAVE_SECONDS = 1.0
WIDE = 110
"""From this width on, source and note stand side by side."""


class NoteScreen(CopyingScreen):
    """Edits `turn.note`. What is typed is in the turn at once, and in the vault within a second.

    A note that was reviewed is a draft again as soon as it is changed.
    """

    AUTO_FOCUS = "#note"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("ctrl+s", "review", show=False, priority=True),
        Binding("f2,ctrl+g", "copy_note", show=False, priority=True),
        Binding("f6", "app.focus_next", show=False, priority=True),
        Binding("f8", "next_mark", show=False, priority=True),
        Binding("alt+z", "undo", show=False),
    ]

    def __init__(self, session: ChatSession, conversation: Conversation, turn: Turn, remembered: Remembered) -> None:
        super().__init__(session)
        self.add_class("note-screen")
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
        self.turn = turn
        self._conversation = conversation
        self._remembered = remembered
        self._kept = session.kept if conversation.saved else None
        self._note_words = note_strings(session.language)
        self._template = template_of(turn, library_of(session, conversation))
        self._source = source_of(conversation, turn)
        self._begun = note_of(turn, self._template)
        self._stored: tuple[str, str] | None = (turn.note, turn.reviewed_by)
        self._checking: Timer | None = None
        self._fault = ""

    def compose(self) -> ComposeResult:
        words = self._note_words
        yield notices(self._session)
        yield Static("", classes="heading", markup=False)
        with Container(classes="panes"):
            with Vertical(classes="pane"):
                yield Static(words.source, classes="pane-title", markup=False)
                yield NoteArea(self._source, read_only=True, id="source")
            with Vertical(classes="pane -note"):
                yield Static(words.note, classes="pane-title", markup=False)
                yield NoteArea(self._begun, id="note")
        yield Static("", classes="marks", markup=False)
        yield Static("", classes="filled", markup=False)
        yield Static(words.keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        self.set_interval(SAVE_SECONDS, self.save)
        self._show_status()
        self.call_later(self._check)
        self.post_message(Opened())

    @property
    def note(self) -> NoteArea:
        return self.query_one("#note", NoteArea)

    # --- editing and saving ---

    @on(TextArea.Changed, "#note")
    def _changed(self) -> None:
        if self.note.text == (self.turn.note or self._begun):
            return
        self._keep()
        self.turn.reviewed_by, self.turn.reviewed = "", None
        self._show_status()
        if self._checking is not None:
            self._checking.stop()
        self._checking = self.set_timer(CHECK_SECONDS, self._check)

    def _keep(self) -> None:
        self.turn.note = self.note.text

    async def save(self) -> None:
        """Store the note if it has changed."""
        state = self.turn.note, self.turn.reviewed_by
        if state == self._stored or self._kept is None:
            return
        self._stored = state
        try:
            await keep_note(self._kept, self._conversation, self.turn)
            fault = ""
        except VaultError as error:
            fault, self._stored = str(error), None
        if fault != self._fault:
            self._fault = fault
            self._show_status()

    async def action_leave(self) -> None:
        await self.save()
        if self.is_current:
            self.dismiss()

    def action_undo(self) -> None:
        self.note.undo()

    # --- the comparison ---

    async def _check(self) -> Checked | None:
        """Compare the note with its source, on another thread."""
        text = self.note.text
        found = await asyncio.to_thread(checked, self._source, self._template.letter, text)
        if text == self.note.text:  # otherwise it is compared again
            added, dropped = (found.added, found.dropped) if found else ([], [])
            self.note.show_marks([(mark.start, mark.end) for mark in added])
            self.query_one("#source", NoteArea).show_marks([(mark.start, mark.end) for mark in dropped])
            line = self.query_one(".marks", Static)
            line.update("\n".join(check_lines(found, text, self._note_words)))
            line.set_class(found is None or bool(found), "-found")
        return found

    def action_next_mark(self) -> None:
        """Go to the next mark in the text that has the focus."""
        if isinstance(self.focused, NoteArea):
            self.focused.go_to_next_mark()

    # --- review and copy ---

    async def action_review(self) -> None:
        """Put the user's name to the note."""
        if name := await self._remembered.get(CLINICIAN):
            await self._review(name)
        elif self.is_current:
            words = self._note_words
            self.app.push_screen(AskedLine(self._session.header, words.who, words.who_keys, self._take_name))

    def _take_name(self, name: str) -> str:
        self.call_later(self._review, name)
        return ""

    async def _review(self, name: str) -> None:
        found = await self._check()
        self._keep()
        self.turn.reviewed_by, self.turn.reviewed = name, datetime.now(UTC)
        left = len(found.added) + len(found.dropped) if found else 0
        await self._remembered.set(CLINICIAN, name)
        await self.save()
        self._show_status()
        self._record("note_reviewed", template=self.turn.template, **counts(found))
        words = self._note_words
        self.app.clear_notifications()
        self.notify((words.marks_left if left else words.reviewed_now).format(name=name, count=left), markup=False)

    def action_copy_note(self) -> None:
        """Copy the note, filled in, with its notice. Ask first if it is made of half an answer."""
        self._keep()
        if self.turn.state == "whole" or self.turn.reviewed is not None:
            self._copy_note()
        else:
            self.app.push_screen(ConfirmCopyScreen(self._session), lambda yes: self._copy_note() if yes else None)

    def _copy_note(self) -> None:
        self._record("copied", note=1, reviewed=int(self.turn.reviewed is not None))
        self.put_on_clipboard(note_copy(self.turn, self._conversation.header, self._session))

    def _record(self, event: str, **details: str | int) -> None:
        if self._session.kept is not None:
            self._session.kept.recorder.record(event, self._conversation, turn=self.turn.id, **details)

    # --- lines ---

    def _show_status(self) -> None:
        words, turn = self._note_words, self.turn
        parts = [status(turn, self._template, words)]
        if turn.cut:
            parts.append(cut_off(self._session.language))
        if self._fault:
            parts.append(words.not_saved.format(error=self._fault))
        self.query_one(".heading", Static).update(" · ".join(parts))
        line = self.query_one(".filled", Static)
        filled = filled_line(self.note.text, self._conversation.header, words)
        line.update(filled)
        line.display = bool(filled)
