"""Line mode's commands about the case: its header, the place, a new case for a text that was held back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import failure_of
from edgemed.chat.visible import visible
from edgemed.clinical.case import CLINICAL, IDENTITY, CaseHeader, field_named, label
from edgemed.clinical.region import ANSWERS_IN, DRUG_NAMES, UNITS, following
from edgemed.errors import EdgemedError
from edgemed.tui.strings.case import case_strings

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat

NOTHING = "-"
"""Typed as a value, it clears a field."""


class PlainCase:
    """The part of `PlainCommands` that is about the case."""

    _chat: PlainChat

    def _case(self, argument: str) -> None:
        """Show the header, or set a field of it."""
        words, language = case_strings(self._chat.session.language), self._chat.session.language
        header = self._chat.conversation.header
        if argument:
            word, _, value = argument.partition(" ")
            name = field_named(word)
            if name is None:
                self._chat.say(words.no_field.format(word=visible(word)))
                return
            header = CaseHeader.of(header.values | {name: "" if value.strip() == NOTHING else value})
            self._keep(header)
        names = [name] if argument and name else [*CLINICAL, *IDENTITY]
        for each in names:
            if each == CLINICAL[0] and not argument:
                self._chat.say(words.told)
            if each == IDENTITY[0] and not argument:
                self._chat.say(words.screen_only)
            self._chat.say(f"{label(each, language)}: {visible(header.given(each, language)) or words.empty}")
        if not argument:
            place = self._chat.region.shown()
            self._chat.say(words.place.format(place=place) if place else words.place_unset)
            self._chat.say(words.case_plain)

    def _keep(self, header: CaseHeader) -> None:
        """The next prompt has the new header, also if the vault cannot store it."""
        session, conversation = self._chat.session, self._chat.conversation
        old, conversation.header = conversation.header, header
        if session.kept is not None and conversation.saved:
            name = header.short(session.language) or conversation.heading or case_strings(session.language).unnamed
            try:
                asyncio.run(session.kept.set_header(conversation, name, old.short(session.language)))
            except EdgemedError as error:
                self._chat.say(failure_of(error))
        self._chat.record("header_changed", fields=" ".join(old.changes(header)))

    def _run_units(self) -> None:
        self._tell("units", UNITS)

    def _run_drug_names(self) -> None:
        self._tell("drug_names", DRUG_NAMES)

    def _run_answers_in(self) -> None:
        self._tell("answers_in", ANSWERS_IN)

    def _tell(self, name: str, choices: Sequence[Any]) -> None:
        words, region = case_strings(self._chat.session.language), self._chat.region
        changed: Any = {name: following(choices, getattr(region, name))}
        self._chat.region = replace(region, **changed)
        self._chat.session.on_region(self._chat.region)
        told = self._chat.region.prompt()
        self._chat.say(words.told_from_now.format(value=told) if told else words.not_told)

    def _run_new_case(self) -> None:
        """Send the text that was held back, if there is one, in a new chat."""
        held, self._chat.held = self._chat.held, ""
        if held:
            self._chat.record("new_case_taken")
        self._replace(Conversation(saved=self._chat.session.kept is not None and self._chat.conversation.saved))
        self._chat.say(self._chat.words.new_chat)
        self._chat.ask(held)

    def _replace(self, conversation: Conversation) -> None:
        raise NotImplementedError
