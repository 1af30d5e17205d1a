"""The rules on the chats of one session, for the screen and for line mode: what is new, what was shown, what is off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.noted import Noted, Scale
from edgemed.clinical.watch import Known, Marks, NotGiven, Seen, Switches
from edgemed.errors import VaultError
from edgemed.tui.clinical_lines import score_line
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.clinical import ClinicalStrings
from edgemed.vault.noted import read_noted, write_noted, write_scale

if TYPE_CHECKING:
    from edgemed.vault.store import Store

SWITCHES = "rules"
"""The vault's setting with the groups that are off."""
SCALES: dict[str, Scale] = {"1": 1, "2": 2}
"""The SpO2 scales of NEWS2, as they are typed."""
SCORE = "NEWS2 line"
"""Under this name it is noted which NEWS2 line was shown."""
NOTHING = "-"
"""Typed instead of a number, it clears it."""
MOST_NUMBER = 40
"""Characters of an emergency number, which may be a ward's name as well."""


RECENT = 50_000
"""Characters of earlier questions that the rules read with a new one, and in which an answer's numbers are sought.
More than the default context holds: a pasted case counts as long as the model has it."""
MOST_QUESTIONS = 100
"""The most of these questions: many short ones are the slowest to read."""


class Watching:
    """Applies `session.watch`, never on the caller's thread. Without a vault, or for an unsaved chat, it remembers what
    was shown in memory only."""

    def __init__(self, session: ChatSession) -> None:
        self._watch = session.watch
        self._kept = session.kept
        self._switches: Switches | None = None
        self._noted: dict[str, Noted] = {}  # by the chat's id
        self._scales: dict[str, Scale | None] = {}  # by the chat's id
        self._marks: dict[str, tuple[int, Marks]] = {}  # by the turn's id: a hash of their input, and the marks
        self._known = "", Known()  # a chat's id, and what was read in it
        self._marking = asyncio.Lock()  # one answer at a time: threads that compute slow the interface down
        self.emergency = session.emergency
        self._on_emergency = session.on_emergency

    async def warm_up(self) -> None:
        """Load the rules, so that the first question does not wait for it."""
        await asyncio.to_thread(self._watch.read, [Text("-")], CaseHeader(), await self.switches())

    # --- what is on ---

    async def switches(self) -> Switches:
        """Which groups are on."""
        if self._switches is None:
            stored = None
            if self._kept is not None:
                with suppress(VaultError):
                    stored = await self._kept.do(lambda store: store.setting(SWITCHES))
            self._switches = Switches.load(stored or "")
        return self._switches

    async def switch(self, group: str, conversation: Conversation) -> bool:
        """Switch a group on if it is off, or off; return whether it is on now. Raises VaultError."""
        on = not getattr(switches := await self.switches(), group)
        self._switches = changed = switches.turned(group, on)
        if self._kept is not None:
            await self._kept.do(lambda store: store.set_setting(SWITCHES, changed.dump()))
        self._record("rules_switched", conversation, group=group, on=int(on))
        return on

    def take_emergency(self, typed: str, words: ClinicalStrings) -> str:
        """Set the emergency number to what was typed, or clear it; return a sentence that says which it is."""
        if typed:
            self.emergency = "" if typed.strip() == NOTHING else " ".join(typed.split())[:MOST_NUMBER]
            self._on_emergency(self.emergency)
        now = words.emergency_now.format(number=visible(self.emergency)) if self.emergency else words.emergency_none
        return now if typed else f"{now} {words.emergency_help}"

    # --- red flags ---

    async def asked(self, conversation: Conversation, question: str, earlier: Sequence[str]) -> Seen:
        """What is new in a question that is about to be sent. It counts as shown from now on."""
        texts = [*(Text(each, "earlier") for each in recent(earlier)), Text(question)]
        seen = await self._read(conversation, texts)
        score = Flag(SCORE, "news2", (score_line(seen.score, "en"),), "") if seen.score and seen.score.new else None
        if not seen.flags and score is None:
            return replace(seen, score=None)
        noted = await self._noted_of(conversation)
        if new := noted.new([*seen.flags, *filter(None, [score])]):
            noted.add(new)
            await self._write(conversation, write_noted(conversation.id, noted))
        new_flags = tuple(flag for flag in seen.flags if flag in new)
        for flag in new_flags:
            self._record("flag_shown", conversation, rule=flag.rule, group=flag.group)
        return replace(seen, flags=new_flags, score=seen.score if score in new else None)

    def dismissed(self, conversation: Conversation, seen: Seen) -> None:
        """The user has dismissed what was shown."""
        self._record("flag_dismissed", conversation, rules=" ".join(flag.rule for flag in seen.flags))

    async def all_flags(self, conversation: Conversation) -> Seen:
        """Every flag of the chat, shown or not, each rule once."""
        return await self._read(conversation, [Text(each) for each in questions_of(conversation)])

    # --- what is not given, and answers ---

    async def not_given(self, conversation: Conversation, question: str) -> NotGiven:
        """What a question lacks that is typed or was asked last."""
        earlier = recent([each for each in questions_of(conversation) if each != question])
        switches = await self.switches()
        return await asyncio.to_thread(self._watch.not_given, question, conversation.header, earlier, switches)

    async def marks(self, conversation: Conversation, turn: Turn) -> Marks:
        """The marks of an answer that has ended. Computed once for each state of answer and header."""
        async with self._marking:
            return await self._marks_of(conversation, turn)

    async def _marks_of(self, conversation: Conversation, turn: Turn) -> Marks:
        turns, switches = conversation.turns, await self.switches()
        if turn not in turns:
            return Marks()
        sources = tuple(recent([each.question for each in turns[: turns.index(turn) + 1]]))
        answer, header = parts(turn.text).answer, conversation.header
        key = hash((answer, sources, header, switches))
        known = self._marks.get(turn.id)
        if known is None or known[0] != key:
            read = self._known_of(conversation)
            marks = await asyncio.to_thread(self._watch.marks, answer, sources, header, switches, read)
            known = self._marks[turn.id] = key, marks
        return known[1]

    # --- the chat's notes ---

    async def take_scale(self, conversation: Conversation, typed: str, words: ClinicalStrings) -> str:
        """Choose the SpO2 scale of the case if one was typed; return a sentence that says which it is."""
        if typed in SCALES:
            await self._choose_scale(conversation, SCALES[typed])
        scale = await self._scale_of(conversation)
        return words.scale_now.format(scale=scale) if scale else words.scale_none

    async def _choose_scale(self, conversation: Conversation, scale: Scale) -> None:
        self._scales = {conversation.id: scale}  # other chats of the case are looked up again
        self._noted.setdefault(conversation.id, Noted()).scale = scale
        await self._write(conversation, write_scale(conversation.id, conversation.case_id, scale))
        self._record("scale_chosen", conversation, scale=scale)

    async def _read(self, conversation: Conversation, texts: Sequence[Text]) -> Seen:
        scale, switches, known = await self._scale_of(conversation), await self.switches(), self._known_of(conversation)
        return await asyncio.to_thread(self._watch.read, texts, conversation.header, switches, scale, known)

    def forget_others(self, conversation: Conversation) -> None:
        """Keep nothing in memory that was read in another chat."""
        if self._known[0] != conversation.id:
            self._known = conversation.id, Known()

    def _known_of(self, conversation: Conversation) -> Known:
        """What was read in this chat."""
        self.forget_others(conversation)
        return self._known[1]

    async def _scale_of(self, conversation: Conversation) -> Scale | None:
        if conversation.id not in self._scales:
            self._scales[conversation.id] = (await self._noted_of(conversation)).scale
        return self._scales[conversation.id]

    async def _noted_of(self, conversation: Conversation) -> Noted:
        """What is noted of this chat and the others of its case. A chat that is not kept is noted in memory."""
        if self._kept is not None and conversation.saved:
            with suppress(VaultError):  # then the flags may be shown once more
                noted = await self._kept.do(read_noted(conversation.id, conversation.case_id))
                self._noted[conversation.id] = noted
        return self._noted.setdefault(conversation.id, Noted())

    def _record(self, event: str, conversation: Conversation, **details: str | int) -> None:
        """Record an event in the audit; do not wait for the disk."""
        if self._kept is not None:
            self._kept.recorder.record(event, conversation, **details)

    async def _write(self, conversation: Conversation, work: Callable[[Store], None]) -> None:
        if self._kept is not None and conversation.saved:
            with suppress(VaultError):  # the screen says it when the question itself cannot be stored
                await self._kept.do(work)


def recent(texts: Sequence[str]) -> list[str]:
    """The newest of `texts`, oldest first: MOST_QUESTIONS, and RECENT characters in all, at most; the newest whole."""
    kept: list[str] = []
    room = RECENT
    for text in reversed(texts[-MOST_QUESTIONS:]):
        room -= len(text)
        if kept and room < 0:
            break
        kept.append(text)
    return kept[::-1]


def questions_of(conversation: Conversation) -> list[str]:
    """The questions of the active branch, and those that wait."""
    return [*(turn.question for turn in conversation.turns), *(each.text for each in conversation.queued)]
