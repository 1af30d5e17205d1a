"""The case in the chat: its header, the place, and the question whether a text belongs to another patient."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from textual.widgets import Static

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.case import CLINICAL, CaseHeader
from edgemed.clinical.region import ANSWERS_IN, DRUG_NAMES, UNITS, following
from edgemed.clinical.wrong_patient import mismatches
from edgemed.errors import VaultError
from edgemed.tui.reasons import reason_in
from edgemed.tui.screens.case_form import CaseForm
from edgemed.tui.screens.keeping import KeepingScreen, show
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.case import case_strings, question_about
from edgemed.tui.widgets.composer import Composer


class CasedScreen(KeepingScreen):
    """`KeepingScreen` that knows whom the case is about."""

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self._case_words = case_strings(session.language)
        self._region = conversation.region = replace(session.region, language=session.language)
        self._asked: set[tuple[str, str]] = set()  # what the user was asked about: a chat's id, and what did not fit

    async def on_mount(self) -> None:
        line = Static("", classes="new-case", markup=False)
        line.display = False
        await self.mount(line, before=self.query_one(Composer))

    # --- the header ---

    def action_case(self) -> None:
        """Show the header of the case, to be changed."""
        form = CaseForm(self._session, self._conversation.header, self._region.shown(), self.first_field)
        self.app.push_screen(form, lambda header: self._take_header(self._conversation, header))

    @property
    def first_field(self) -> str:
        """The field of the header that the form begins with."""
        return CLINICAL[0]

    def _take_header(self, conversation: Conversation, header: CaseHeader | None) -> None:
        if header is not None and header != conversation.header:
            self.call_later(self._keep_header, conversation, header)

    async def _keep_header(self, conversation: Conversation, header: CaseHeader) -> None:
        """The next prompt has the new header, also if the vault cannot store it."""
        old, conversation.header = conversation.header, header
        self.show_which()
        self.show_box_line()
        try:
            if self._kept is not None and conversation.saved:
                name = header.short(self._session.language) or conversation.heading or self._case_words.unnamed
                await self._kept.set_header(conversation, name, old.short(self._session.language))
        except VaultError as error:
            self.notify(reason_in(self._session.language, str(error)), markup=False, severity="error")
        else:
            language = self._region.language
            again = bool(conversation.turns) and old.prompt(language) != header.prompt(language)
            self.say(self._case_words.read_again if again else self._case_words.changed)
        if self._kept is not None:
            self._kept.recorder.record("header_changed", conversation, fields=" ".join(old.changes(header)))
        self.show_which()

    # --- the place ---

    def action_units(self) -> None:
        self._tell(units=following(UNITS, self._region.units))

    def action_drug_names(self) -> None:
        self._tell(drug_names=following(DRUG_NAMES, self._region.drug_names))

    def action_answers_in(self) -> None:
        self._tell(answers_in=following(ANSWERS_IN, self._region.answers_in))

    def _tell(self, **changed: Any) -> None:
        self._region = self._conversation.region = replace(self._region, **changed)
        self._session.on_region(self._region)
        told = self._region.prompt()
        self.say(self._case_words.told_from_now.format(value=told) if told else self._case_words.not_told)
        self.show_box_line()

    def show_which(self) -> None:
        self._conversation.region = self._region  # it may just have been opened
        super().show_which()

    async def _send(self, turn: Turn) -> None:
        self._conversation.region = self._region
        await super()._send(turn)

    # --- another patient ---

    async def fits(self, text: str) -> bool:
        """Whether a text may be sent. If it seems to be about another patient, ask once."""
        chat = self._conversation
        earlier = [*(turn.question for turn in chat.turns), *(queued.text for queued in chat.queued)]
        found = await asyncio.to_thread(mismatches, chat.header, earlier, text)
        new = [each for each in found if (chat.id, each.found) not in self._asked]
        self._asked |= {(chat.id, each.found) for each in new}
        if new:
            self.record("new_case_asked", reasons=len(new))
        elif self.query_one(".new-case", Static).display:
            self.record("new_case_declined")
        self._show_question(question_about(new[0], self._case_words) if new else "")
        return not new

    def _show_question(self, question: str) -> None:
        line = self.query_one(".new-case", Static)
        line.display = bool(question)
        show(line, f"{question}\n{self._case_words.new_case_keys}" if question else "")

    def action_new_case(self) -> None:
        """Start a new chat, and move the text in the box into it."""
        self.call_later(self._new_case)

    async def _new_case(self) -> None:
        composer = self.query_one(Composer)
        text = composer.text
        if self.query_one(".new-case", Static).display:
            self.record("new_case_taken")
        self.stop_editing()
        composer.clear()
        self._show_question("")
        await self._replace(Conversation(saved=self._conversation.saved))
        self.put_back(text)
        self.say(self._case_words.moved)

    async def _show_conversation(self) -> None:
        self._show_question("")
        self.show_which()
        await super()._show_conversation()
