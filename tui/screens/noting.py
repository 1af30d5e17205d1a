"""Notes in the chat: asking for one by a template, and the screens that edit notes and templates."""

from __future__ import annotations

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.notes import Library, TemplateError
from edgemed.tui.noting import library_of, source_of
from edgemed.tui.screens.asked_line import AskedLine
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.exporting import ExportingScreen
from edgemed.tui.screens.note import NoteScreen
from edgemed.tui.screens.template import TemplateScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.notes import note_strings
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.note_area import NoteArea
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.typing_area import TypingArea

NEW = "new template"
"""What is chosen to make one. No template has this name, because it has a space."""


class NotingScreen(ExportingScreen):
    """`ExportingScreen` with notes."""

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._note_words = note_strings(session.language)

    @property
    def _library(self) -> Library:
        return library_of(self._session, self._conversation)

    @property
    def _open_note(self) -> NoteScreen | None:
        """The note that is being edited, also below a page or the hidden screen."""
        return next((each for each in self.app.screen_stack if isinstance(each, NoteScreen)), None)

    @property
    def box(self) -> TypingArea:
        """Where typed text goes: the open note, or the composer."""
        note = self._open_note
        areas = list(note.query(NoteArea)) if note is not None else []  # none while it is being built
        return areas[-1] if areas else self.query_one(Composer)

    async def save(self) -> None:
        await super().save()
        if note := self._open_note:
            await note.save()

    def would_lose(self, *, lock: bool) -> str:
        """A note is text too."""
        noted = any(turn.note for turn in self._conversation.all_turns)
        return super().would_lose(lock=lock) or (self._note_words.leave_note if noted else "")

    # --- asking for a note ---

    def action_note(self, name: str = "") -> None:
        """Have the model write a note by the template that is named or chosen."""
        if not self.free:
            self.say(self.why_not_free())
        elif not source_of(self._conversation):
            self.say(self._note_words.no_source)
        elif name:
            self._choose_note(name)
        else:
            library = self._library
            choices = [(each, library.title(each)) for each in library.names]
            self.app.push_screen(ChoiceScreen(self._session, self._note_words.choose, choices), self._choose_note)

    def _choose_note(self, name: str | None) -> None:
        if name is not None:
            self.call_later(self._write_note, name)

    async def _write_note(self, name: str) -> None:
        words, library = self._note_words, self._library
        if not self.free:
            self.say(self.why_not_free())
            return
        if (found := library.named(name)) is None:
            self.say(words.no_template.format(name=name))
            return
        try:
            template = library.get(found)
        except TemplateError as error:
            self.say(words.broken[error.why].format(detail=error.detail))
            return
        asked = words.write.format(title=template.title)
        await self.begin(self._conversation.ask(asked, template=found, instruction=template.instruction))

    # --- editing one ---

    def action_edit_note(self, argument: str = "") -> None:
        """Open the chosen answer, or the last one, as a note."""
        answered = [turn for turn in self._conversation.turns if turn.raw and turn.state != "open"]
        turn = self.chosen or (answered[-1] if answered else None)
        if turn is None or turn not in answered:
            self.say(self._note_words.no_answer)
        elif self._open_note is None:
            screen = NoteScreen(self._session, self._conversation, turn, self._remembered)
            self.app.push_screen(screen, lambda _: self._note_closed(turn))

    def _note_closed(self, turn: Turn) -> None:
        for view in self.query_one(Transcript).views:
            if view.turn is turn:
                view.answer.show_head()

    def _applies(self, name: str, turn: Turn) -> bool:
        if name == "edit_note":
            return bool(turn.raw) and turn.state != "open"
        return super()._applies(name, turn)

    # --- templates ---

    def action_templates(self) -> None:
        """Choose a template to change, or make a new one."""
        words, library = self._note_words, self._library
        choices = []
        for name in library.names:
            title, own = library.title(name), library.path(name)
            changed = own is not None and own.exists()
            choices.append((name, words.own_template.format(title=title) if changed else title))
        choices.append((NEW, words.new_template))
        self.app.push_screen(ChoiceScreen(self._session, words.choose_template, choices), self._edit_template)

    def _edit_template(self, name: str | None) -> None:
        words = self._note_words
        if name is None:
            return
        if self._library.path("new") is None:
            self.say(words.no_folder)
        elif name == NEW:
            screen = AskedLine(self._session.header, words.name_asked, words.who_keys, self._new_template)
            self.app.push_screen(screen)
        else:
            self._open_template(name)

    def _new_template(self, name: str) -> str:
        if self._library.path(name) is None:
            return self._note_words.not_a_name
        self.call_later(self._open_template, name)
        return ""

    def _open_template(self, name: str) -> None:
        self.app.push_screen(TemplateScreen(self._session, self._library, name, self._conversation.header))
