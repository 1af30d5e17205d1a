"""Line mode's ways of text out of the chat: copies, and the export with its review."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgemed.chat.conversation import Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.clinical import chart_copy
from edgemed.errors import SetupError
from edgemed.tui.exporting import CLINICIAN, Export, Part, Remembered, exported_turns, path_of, problem_with
from edgemed.tui.markdown import plain_text
from edgemed.tui.noting import review_state
from edgemed.tui.plain.reviewing import reviewed
from edgemed.tui.strings.export import ExportStrings, export_strings
from edgemed.tui.strings.notes import note_strings

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat

RULE = "-" * 40


class PlainLeaving:
    """The part of `PlainCommands` that copies and exports."""

    _chat: PlainChat
    _remembered: Remembered | None = None

    def _turn(self) -> Turn | None:
        raise NotImplementedError

    # --- copies ---

    def _run_copy_answer(self) -> None:
        self._copy(question=False)

    def _run_copy_both(self) -> None:
        self._copy(question=True)

    def _copy(self, *, question: bool) -> None:
        """Print what the copy key would copy: the clipboard needs an escape code."""
        chat, turn = self._chat, self._turn()
        if turn is None:
            return
        if not turn.raw:
            chat.say(chat.words.nothing_to_copy)
            return
        text = plain_text(parts(turn.text).answer)
        if question:
            text = f"{plain_text(visible(turn.question), markdown=False)}\n\n{text}"
        session = chat.session
        chat.record("copied", turn=turn.id, question=int(question), incomplete=int(turn.state != "whole"))
        copy = chart_copy(
            text,
            intended_use=session.intended_use,
            incomplete=turn.state != "whole",
            weights_digest=turn.weights_digest or session.weights_digest,
            written=turn.asked,
            language=session.language,
        )
        for line in (chat.asking_words.copied_plain, RULE, copy.rstrip("\n"), RULE):
            chat.say(line)

    # --- the export ---

    def _run_export(self, argument: str = "") -> None:
        """Review and export the note on an answer, the answer, it with its question, or the whole chat."""
        chat, turn = self._chat, self._turn()
        if turn is None:
            return
        words = export_strings(chat.session.language)
        first, _, rest = argument.partition(" ")
        named = words.part_words.get(first)
        part = named or ("note" if turn.note else "answer")
        path = path_of(rest if named else argument, Path.cwd())
        if not turn.raw:
            chat.say(words.nothing)
        elif part == "note" and not turn.note:
            chat.say(words.no_note)
        elif path is None:
            chat.say(words.usage)
        elif problem := problem_with(path, words):
            exists = problem == words.exists.format(path=path)
            chat.say(words.plain_exists.format(path=path) if exists else problem)
        else:
            if part == "note" and not named:
                chat.say(words.plain_note.format(state=review_state(turn, note_strings(chat.session.language))))
            self._remembered = self._remembered or Remembered(chat.session)
            turns = exported_turns(chat.conversation, turn, cast(Part, part))
            export = Export(chat.session, chat.conversation, turns, cast(Part, part), self._remembered)
            chat.say(self._exported(export, path, words))

    def _exported(self, export: Export, path: Path, words: ExportStrings) -> str:
        """Review and write; the sentence that says how it ended. Nothing is written without a name and a yes."""
        chat = self._chat
        review = asyncio.run(export.review())
        if not reviewed(review, chat, words):
            return words.cancelled
        name = asyncio.run(export.remembered.get(CLINICIAN))
        typed = chat.read_line(words.plain_reviewer.format(name=name or words.nobody))
        reviewer = "" if typed is None else typed.strip() or name
        if not reviewer:
            return words.no_reviewer
        chat.say(words.confirm.format(redacted=len(review.chosen), kept=len(review.kept)))
        if known := sum(each.known for each in review.kept):
            chat.say(words.confirm_known.format(count=known))
        answer = chat.read_line(words.plain_yes.format(path=path))
        if (answer or "").strip().casefold() != words.yes:
            return words.cancelled
        try:
            asyncio.run(export.write(review, reviewer, path, replace=False))
        except SetupError as error:
            return str(error)
        return words.written.format(path=path)
