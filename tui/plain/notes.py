"""Line mode's notes: asked for by a template, shown with the marks of the comparison, replaced, reviewed, copied."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgemed.chat.conversation import Turn
from edgemed.chat.service import failure_of
from edgemed.chat.visible import visible
from edgemed.clinical.notes import Library, TemplateError
from edgemed.errors import EdgemedError
from edgemed.tui.exporting import CLINICIAN, Remembered
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
from edgemed.tui.plain.leaving import RULE
from edgemed.tui.strings.notes import NoteStrings, note_strings

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat

END = "."
"""Alone in a line, it ends a text that is pasted."""


class PlainNotes:
    """The part of `PlainCommands` that is about notes."""

    _chat: PlainChat
    _remembered: Remembered | None

    @property
    def _note_words(self) -> NoteStrings:
        return note_strings(self._chat.session.language)

    @property
    def _library(self) -> Library:
        self._chat.conversation.region = self._chat.region
        return library_of(self._chat.session, self._chat.conversation)

    def _run_note(self, name: str = "") -> None:
        """Have the model write a note by a template, or list the templates."""
        words, library = self._note_words, self._library
        if not name:
            self._run_templates()
        elif not source_of(self._chat.conversation):
            self._chat.say(words.no_source)
        elif (found := library.named(name)) is None:
            self._chat.say(words.no_template.format(name=visible(name)))
        else:
            try:
                template = library.get(found)
            except TemplateError as error:
                self._chat.say(words.broken[error.why].format(detail=visible(error.detail)))
                return
            asked = words.write.format(title=template.title)
            self._ask(self._chat.conversation.ask(asked, template=found, instruction=template.instruction))

    def _run_templates(self) -> None:
        library, folder = self._library, self._library.path("name")
        for name in library.names:
            self._chat.say(f"{name}: {visible(library.title(name))}")
        if folder is not None:
            self._chat.say(self._note_words.templates_plain.format(folder=folder.parent))

    def _run_edit_note(self, argument: str = "") -> None:
        """Show the note on an answer, or do with it what the argument says."""
        turn = self._turn()
        if turn is None:
            return
        if not turn.raw:
            self._chat.say(self._note_words.no_answer)
            return
        word, _, name = argument.partition(" ")
        if word == "copy":
            self._keep_note(turn, note_of(turn, template_of(turn, self._library)))
            self._chat.record("copied", turn=turn.id, note=1, reviewed=int(turn.reviewed is not None))
            copy = note_copy(turn, self._chat.conversation.header, self._chat.session)
            for line in (self._chat.asking_words.copied_plain, RULE, copy.rstrip("\n"), RULE):
                self._chat.say(line)
        elif word == "reviewed":
            self._review_note(turn, name.strip())
        else:
            if word == "replace":
                self._replace_note(turn)
            self._show_note(turn)

    def _show_note(self, turn: Turn) -> None:
        words, template, chat = self._note_words, template_of(turn, self._library), self._chat
        note = note_of(turn, template)
        chat.say(status(turn, template, words))
        chat.say(RULE)
        for number, line in enumerate(visible(note).split("\n"), 1):
            chat.say(f"{number}. {line}".rstrip())
        chat.say(RULE)
        found = checked(source_of(chat.conversation, turn), template.letter, note)
        for line in (*check_lines(found, note, words), filled_line(note, chat.conversation.header, words)):
            if line:
                chat.say(line)
        chat.say(words.edit_plain)

    def _replace_note(self, turn: Turn) -> None:
        """Read a new text up to a line with a full stop."""
        self._chat.say(self._note_words.replace_plain)
        lines: list[str] = []
        while END not in lines and (typed := self._chat.read_line("")) is not None:
            lines += typed.rstrip("\r").split("\n")
        note = "\n".join(lines[: lines.index(END)] if END in lines else lines).strip()
        if note:
            turn.reviewed_by, turn.reviewed = "", None
            self._keep_note(turn, note)

    def _review_note(self, turn: Turn, typed: str) -> None:
        words, template = self._note_words, template_of(turn, self._library)
        self._remembered = remembered = self._remembered or Remembered(self._chat.session)
        name = typed or asyncio.run(remembered.get(CLINICIAN))
        asyncio.run(remembered.set(CLINICIAN, name))
        if not name:
            self._chat.say(words.who_plain)
            return
        turn.reviewed_by, turn.reviewed = name, datetime.now(UTC)
        self._keep_note(turn, note_of(turn, template))
        found = checked(source_of(self._chat.conversation, turn), template.letter, turn.note)
        self._chat.record("note_reviewed", turn=turn.id, template=turn.template, **counts(found))
        self._chat.say(status(turn, template, words))

    def _keep_note(self, turn: Turn, note: str) -> None:
        turn.note = note
        kept, conversation = self._chat.session.kept, self._chat.conversation
        if kept is not None and conversation.saved:
            try:
                asyncio.run(keep_note(kept, conversation, turn))
            except EdgemedError as error:
                self._chat.say(failure_of(error))

    # `PlainCommands` has these.

    def _turn(self) -> Turn | None:
        raise NotImplementedError

    def _ask(self, open_turn: Turn) -> None:
        raise NotImplementedError
