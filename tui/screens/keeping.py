"""The chat with a vault below it: drafts are saved, and the screen says which chat this is and how the vault is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.visible import visible
from edgemed.errors import VaultError
from edgemed.tui.commands import Command
from edgemed.tui.kept import Kept
from edgemed.tui.messages import EngineReady
from edgemed.tui.reasons import reason_in
from edgemed.tui.screens.chat import ChatScreen
from edgemed.tui.screens.composing import Action
from edgemed.tui.screens.seen import SeenScreen
from edgemed.tui.screens.set_pin import SetPinScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.vault import vault_strings
from edgemed.tui.widgets.composer import Composer

SAVE_SECONDS = 0.5
"""A draft is saved at most this long after it was changed."""
NEWS_SECONDS = 1.0
BEHIND_SECONDS = 2.0
NOTICE_SECONDS = 20.0
VAULT_COMMANDS = frozenset({"chats", "find", "unsaved_chat", "set_pin", "lock", "audit"})


class KeepingScreen(ChatScreen):
    """`ChatScreen` that saves what the journal does not: the draft, the questions that wait, the branch that is shown.

    Without a vault (`session.kept` is None) nothing is saved.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("alt+z", "undo_typing", show=False)]  # Ctrl+Z locks

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._kept = session.kept
        self._vault_words = vault_strings(session.language)
        self._saved: object = state_of(conversation)
        self._fault = ""

    def compose(self) -> ComposeResult:
        for number, widget in enumerate(super().compose()):
            yield widget
            if number == 0:
                yield Static("", classes="which", markup=False)

    async def on_mount(self) -> None:
        await self.mount(Static("", classes="news", markup=False), before=self.query_one(Composer))
        self.show_draft(self._conversation.draft)
        self.show_which()
        self._show_news()
        if self._kept is not None:
            self.set_interval(SAVE_SECONDS, self.save)
            self.set_interval(NEWS_SECONDS, self._look)
            self.run_worker(self._prepare(self._kept))

    async def _prepare(self, kept: Kept) -> None:
        for notice in kept.vault.notices(self._session.language):
            self.notify(notice, markup=False, severity="warning", timeout=NOTICE_SECONDS)
        try:
            await kept.prepare()
        except VaultError as error:
            self.notify(reason_in(self._session.language, str(error)), markup=False, severity="error")
        finally:
            kept.loaded.set()

    @property
    def keeps_text(self) -> bool:
        return self._kept is not None and self._conversation.saved

    def action_of(self, command: Command) -> Action | None:
        """Without a vault, its commands are not offered."""
        return None if self._kept is None and command.name in VAULT_COMMANDS else super().action_of(command)

    # --- drafts ---

    async def save(self) -> None:
        """Store the draft, the questions that wait and the branch that is shown, if any of them has changed."""
        conversation = self._conversation
        conversation.draft = self.unsent
        if self._kept is None or not conversation.saved or (state := state_of(conversation)) == self._saved:
            return
        self._saved = state
        try:
            await self._kept.keep(conversation)
            self._fault = ""
        except VaultError as error:
            self._fault, self._saved = reason_in(self._session.language, str(error)), None

    def show_draft(self, draft: str) -> None:
        """Put a draft into the box."""
        composer = self.query_one(Composer)
        composer.text = draft
        composer.move_cursor(composer.document.end)

    @property
    def where_kept(self) -> str:
        kept = self._kept is not None and self._conversation.saved
        return self._vault_words.kept if kept else self._words.nothing_stored

    def action_undo_typing(self) -> None:
        """Undo the last change in the box."""
        self.query_one(Composer).action_undo()

    def action_set_pin(self) -> None:
        """Set, change or remove the PIN of the hidden screen."""
        if self._kept is not None:
            self.app.push_screen(SetPinScreen(self._session.headers, self._vault_words, self._kept))

    def turn_withdrawn(self, turn: Turn) -> None:
        """Erase a question that was taken back."""
        if self._kept is not None and self._conversation.saved:
            self.run_worker(self._kept.erase(self._conversation.id, turn.id))

    # --- the audit ---

    def record(self, event: str, **details: str | int) -> None:
        """Record what was done in the chat that is shown. Does not wait; `news` says if it could not be written."""
        if self._kept is not None:
            self._kept.recorder.record(event, self._conversation, **details)

    def action_audit(self) -> None:
        """Show what was recorded last."""
        if self._kept is not None:
            self.run_worker(self._show_audit(self._kept))

    async def _show_audit(self, kept: Kept) -> None:
        try:
            rows = "\n".join(await kept.audit_lines())
        except VaultError as error:
            self.notify(reason_in(self._session.language, str(error)), markup=False, severity="error")
            return
        head = self._vault_words.audit.format(head=kept.audit_head())
        self.app.push_screen(SeenScreen(self._session, [head], rows))

    @on(EngineReady)
    def _record_engine(self, news: EngineReady) -> None:
        if self._kept is not None:
            self._kept.recorder.engine_started(news.info)

    def copied(self, answers: Sequence[Turn], *, question: bool, incomplete: bool) -> None:
        only = answers[0].id if len({turn.id for turn in answers}) == 1 else None
        turn = {"turn": only} if only else {"answers": len(answers)}
        self.record("copied", **turn, question=int(question), incomplete=int(incomplete))

    # --- lines ---

    def _look(self) -> None:
        self.show_which()
        self._show_news()

    def show_which(self) -> None:
        """Say which case and chat this is."""
        line, conversation = self.query_one(".which", Static), self._conversation
        patient = conversation.header.short(self._session.language)
        line.display = self._kept is not None or not conversation.saved or bool(patient)
        line.set_class(not conversation.saved, "-unsaved")
        case = self._kept.cases.get(conversation.case_id or "", "") if self._kept else ""
        if not conversation.saved:
            parts = [self._vault_words.unsaved_header, patient]
        else:
            parts = [patient, case, conversation.heading]
        show(line, visible(" · ".join(dict.fromkeys(filter(None, parts)))))

    def _show_news(self) -> None:
        """The most urgent thing about the vault; nothing if all is well."""
        line, news = self.query_one(".news", Static), self.news()
        line.display = bool(news)
        show(line, news)

    def news(self) -> str:
        """What the user should know now about the vault."""
        if self._kept is None:
            return ""
        words = self._vault_words
        if fault := self._kept.journal.fault or self._fault:  # first: after a failed write the disk is behind as well
            return words.not_saved.format(error=fault)
        behind = self._kept.journal.behind
        if behind >= BEHIND_SECONDS:
            return words.behind.format(seconds=f"{behind:.0f}")
        if fault := self._kept.recorder.fault:
            return words.not_recorded.format(error=reason_in(self._session.language, fault))
        return self._kept.low_disk(self._session.language)


def state_of(conversation: Conversation) -> object:
    """What `KeepingScreen.save` watches for changes."""
    return conversation.id, conversation.draft, tuple(conversation.queued), frozenset(conversation.shown_ids)


def show(line: Static, text: str) -> None:
    """Show `text`, and paint nothing if it is shown already: this is called every second."""
    if line.content != text:
        line.update(text)
