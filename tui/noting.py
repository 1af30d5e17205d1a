"""The note that is made of an answer: what it is compared with, its first text, what is said about it, its copy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.clinical import chart_copy, cut_off
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.notes import Library, Template, TemplateError, filled
from edgemed.clinical.notes.template import NOTE, PLACEHOLDERS
from edgemed.clinical.numbers import Checked, check
from edgemed.tui.heads import clock
from edgemed.tui.markdown import plain_text
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.notes import NoteStrings

if TYPE_CHECKING:
    from edgemed.tui.kept import Kept

MOST_NAMED = 8
"""Marks that are named in a line; the others are counted, and marked in the text."""


def library_of(session: ChatSession, conversation: Conversation) -> Library:
    """The templates in the language in which the model is to answer."""
    return Library(session.templates, conversation.region.answers_in or session.language)


def source_of(conversation: Conversation, until: Turn | None = None) -> str:
    """What the user has given: their own texts up to a turn, and the case header as the model is told it."""
    turns = conversation.turns
    asked = turns[: turns.index(until) + 1] if until in turns else turns
    told = conversation.header.prompt(conversation.region.language)
    return "\n\n".join(filter(None, [*(turn.question for turn in asked if not turn.template), told]))


def template_of(turn: Turn, library: Library) -> Template:
    """The template of an answer. One of an answer without a template, or whose template is gone, is the text alone."""
    try:
        if turn.template:
            return library.get(turn.template)
    except TemplateError:  # it was changed or removed after the answer
        pass
    return Template(turn.template, library.title(turn.template) if turn.template else "", "", NOTE)


def note_of(turn: Turn, template: Template) -> str:
    """The note on an answer; at first the answer as plain text within the letter of its template."""
    return turn.note or template.around(plain_text(parts(turn.text).answer))


def checked(source: str, letter: str, note: str) -> Checked | None:
    """`edgemed.clinical.numbers.check`. What stands in the template's letter counts as given.

    None if it failed: an error in the rules must not close the note.
    """
    try:
        found = check(f"{source}\n\n{letter}", note)
    except Exception:
        return None
    return replace(found, dropped=[mark for mark in found.dropped if mark.end <= len(source)])


def counts(found: Checked | None) -> dict[str, int]:
    """What the audit records of a comparison."""
    return {"comparison_failed": 1} if found is None else {"added": len(found.added), "dropped": len(found.dropped)}


def check_lines(found: Checked | None, note: str, words: NoteStrings) -> list[str]:
    """What is said about a note: what its source does not have, and what it has not got of its source."""
    if found is None:
        return [words.check_failed]
    lines = [words.check_cut] if found.cut else []
    if found.added:
        named = [words.in_line.format(text=each.text, line=note.count("\n", 0, each.start) + 1) for each in found.added]
        lines.append(words.added.format(count=len(named), found=_named(named, words)))
    if found.dropped:
        times = Counter(mark.text for mark in found.dropped)
        named = [f"{text} (×{count})" if count > 1 else text for text, count in times.items()]
        lines.append(words.dropped.format(count=len(found.dropped), found=_named(named, words)))
    return [visible(line).replace("\n", " ") for line in lines] or [words.nothing_found]


def _named(found: Sequence[str], words: NoteStrings) -> str:
    left = len(found) - MOST_NAMED
    return " · ".join([*found[:MOST_NAMED], *([words.more.format(count=left)] if left > 0 else [])])


def filled_line(note: str, header: CaseHeader, words: NoteStrings) -> str:
    """What the placeholders of a note will be in its copy; empty if it has none."""
    pairs = [f"{name} = {visible(filled(name, header))}" for name in PLACEHOLDERS if name in note]
    return words.filled.format(filled=" · ".join(pairs)) if pairs else ""


def status(turn: Turn, template: Template, words: NoteStrings) -> str:
    """What a note is, and whether it is a draft, or who reviewed it when."""
    return f"{visible(template.title) or words.note} · {review_state(turn, words)}"


def review_state(turn: Turn, words: NoteStrings) -> str:
    """Whether a note is a draft, or who reviewed it when."""
    if turn.reviewed is None:
        return words.draft
    return words.reviewed.format(name=visible(turn.reviewed_by), time=clock(turn.reviewed))


async def keep_note(kept: Kept, conversation: Conversation, turn: Turn) -> None:
    """Store the note on a turn of a saved chat, and let the search find it. Raises VaultError."""
    id, note, reviewed_by, reviewed = turn.id, turn.note, turn.reviewed_by, turn.reviewed
    await kept.do(lambda store: store.note(id, note, reviewed_by, reviewed))
    await asyncio.to_thread(kept.index.note_turn, conversation, turn)


def incomplete(turn: Turn) -> bool:
    """Whether a note is of an answer that was cut off, and nobody has reviewed it since."""
    return turn.state != "whole" and turn.reviewed is None


def note_to_redact(turn: Turn, session: ChatSession) -> str:
    """The note as its redaction is reviewed. Its placeholders become blanks.

    An identity that is not filled in cannot be left in by mistake, and `{patient}` says nothing to a reader outside.
    """
    note = visible(filled(turn.note, CaseHeader())).strip("\n")
    return f"{note}\n{cut_off(session.language)}" if incomplete(turn) else note


def note_copy(turn: Turn, header: CaseHeader, session: ChatSession) -> str:
    """The note on its way to the chart: filled in, below the line that says who wrote and who reviewed it."""
    return chart_copy(
        visible(filled(turn.note, header)),
        intended_use=session.intended_use,
        incomplete=incomplete(turn),
        weights_digest=turn.weights_digest or session.weights_digest,
        written=turn.asked,
        language=session.language,
        review=None if turn.reviewed is None else (visible(turn.reviewed_by), turn.reviewed),
    )
