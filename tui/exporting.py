"""The text export of both modes: what is exported, what stands in the file, and writing it.

Nothing is written but through `Export.write`, which takes a review and the name of the person who made it.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.reasoning import parts
from edgemed.chat.visible import visible
from edgemed.clinical import cut_off
from edgemed.clinical.redaction import LABELS, Identifier, Kind, Review
from edgemed.clinical.wording import export_text
from edgemed.errors import SetupError, VaultError
from edgemed.outputs import partial_of
from edgemed.private_files import write_private
from edgemed.tui.markdown import plain_text
from edgemed.tui.noting import note_to_redact, review_state
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.export import ExportStrings, export_strings
from edgemed.tui.strings.notes import note_strings

Part = Literal["note", "answer", "both", "chat"]
"""What is exported. All but "note" take the answers as the model wrote them."""
CLINICIAN = "clinician"
"""The vault's setting with the reviewer's name; the audit shows it, too (`edgemed.vault.audit`)."""
FOLDER = "export folder"
MOST_CHARACTERS = 100
"""Of a reviewer's name."""
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def choices(turn: Turn, session: ChatSession) -> list[tuple[str, str]]:
    """What of a turn can be exported, with the sentence for each. An edited note comes first."""
    words, notes = export_strings(session.language), note_strings(session.language)
    note = [("note", words.note.format(state=review_state(turn, notes)))] if turn.note else []
    return [*note, *words.parts.items()]


def exported_turns(conversation: Conversation, turn: Turn, part: Part) -> list[Turn]:
    """The turns of which there is an answer, and that `part` takes."""
    return [each for each in conversation.turns if each.raw] if part == "chat" else [turn]


def written_out(turns: list[Turn], part: Part, session: ChatSession) -> str:
    """The text that is reviewed. Reasoning is left out, and each cut answer says that it is one."""
    if part == "note":
        return note_to_redact(turns[0], session)
    words, texts = export_strings(session.language), []
    for number, turn in enumerate(turns, 1):
        question = plain_text(visible(turn.question), markdown=False)
        answer = plain_text(parts(turn.text).answer)
        if turn.state != "whole":
            answer += f"\n{cut_off(session.language)}"
        if part == "chat":
            question = f"{words.question.format(number=number)}\n{question}"
            answer = f"{words.answer.format(number=number)}\n{answer}"
        texts += [answer] if part == "answer" else [question, answer]
    return "\n\n".join(texts).strip("\n")


@dataclass(slots=True)
class Remembered:
    """The reviewer's name and the folder of the last export: in the vault, without one as long as the chat runs."""

    session: ChatSession
    values: dict[str, str] = field(default_factory=dict)

    async def get(self, name: str) -> str:
        """The value; empty if there is none. A vault that cannot be read has none."""
        if name not in self.values and self.session.kept is not None:
            with suppress(VaultError):
                stored = await self.session.kept.do(lambda store: store.setting(name))
                self.values[name] = stored or ""
        return self.values.get(name, "")

    async def set(self, name: str, value: str) -> None:
        """Keep a value. If the vault cannot, it holds until the chat ends."""
        if self.session.kept is not None and value != await self.get(name):
            with suppress(VaultError):
                await self.session.kept.do(lambda store: store.set_setting(name, value))
        self.values[name] = value

    async def suggested(self) -> Path:
        """A new file in the folder of the last export, or at home. Its name says nothing of a patient."""
        folder = Path(await self.get(FOLDER) or "~").expanduser()
        folder = folder if folder.is_dir() else Path.home()
        return folder / f"edgemed-export-{datetime.now():%Y-%m-%d-%H%M%S}.txt"


@dataclass(slots=True)
class Export:
    """One export, from the review to the file."""

    session: ChatSession
    conversation: Conversation
    turns: list[Turn]
    part: Part
    remembered: Remembered

    async def review(self) -> Review:
        """A review of its text. The rules run on another thread."""
        text = written_out(self.turns, self.part, self.session)
        return await asyncio.to_thread(Review.of, text, self.conversation.header)

    async def write(self, review: Review, reviewer: str, path: Path, *, replace: bool) -> None:
        """Record the review, write the file for its owner only, whole or not at all, and record the export.

        Raises SetupError with a sentence.
        """
        words = export_strings(self.session.language)
        reviewer = " ".join(visible(reviewer).split())[:MOST_CHARACTERS]
        if not reviewer:
            raise SetupError(words.no_reviewer)
        if problem := problem_with(path, words, replace=replace):
            raise SetupError(problem)
        await self.remembered.set(CLINICIAN, reviewer)
        kept, turn = self.session.kept, self.turns[0]
        counts = {
            "part": self.part,
            "found": len(review.found),
            "kept": len(review.kept),
            "known_kept": sum(each.known for each in review.kept),
            **({"turn": turn.id} if len(self.turns) == 1 else {"answers": len(self.turns)}),
            **({"reviewed": int(turn.reviewed is not None)} if self.part == "note" else {}),
        }
        if kept is not None:
            await kept.record("export_reviewed", self.conversation, **counts)
        text = export_text(
            review.redacted,
            reviewer=reviewer,
            intended_use=self.session.intended_use,
            weights_digests=[turn.weights_digest or self.session.weights_digest for turn in self.turns],
            exported=datetime.now(UTC),
            audit_head=kept.audit_head() if kept is not None else "",
            language=self.session.language,
            note_reviewer=visible(turn.reviewed_by) if self.part == "note" else None,
        )
        try:
            await asyncio.to_thread(write_private, path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise SetupError(sentence_for(path, error, words)) from None
        await self.remembered.set(FOLDER, str(path.parent))
        if kept is not None:
            await kept.record("exported", self.conversation, **counts)


def path_of(typed: str, folder: Path) -> Path | None:
    """The file that was typed, in `folder` if no other is named; None if nothing was."""
    typed = typed.strip()
    if not typed or "\0" in typed:
        return None
    path = Path(typed)
    with suppress(RuntimeError):  # ~nobody
        path = path.expanduser()
    return folder / path


def problem_with(path: Path, words: ExportStrings, *, replace: bool = False) -> str:
    """Why this file cannot be written, as far as that can be told before; empty if it can."""
    partial = partial_of(path)
    try:
        if path.is_dir():
            return words.is_folder.format(path=path)
        if not path.parent.is_dir():
            return words.no_folder.format(folder=path.parent)
        if partial.is_symlink() or partial.exists():
            return words.in_the_way.format(path=partial)
        if not replace and (path.is_symlink() or path.exists()):
            return words.exists.format(path=path)
    except OSError as error:
        return sentence_for(path, error, words)
    return ""


def sentence_for(path: Path, error: OSError, words: ExportStrings) -> str:
    """What is wrong, and what to do."""
    if error.errno in _FULL:
        return words.disk_full.format(path=path)
    sentence = words.not_writable if error.errno in _REFUSED else words.other_error
    return sentence.format(path=path, reason=error.strerror or error)


def listing(review: Review, session: ChatSession) -> list[str]:
    """A line for each kind that was found: its name and the words, with the number of places."""
    lines = []
    for kind in dict.fromkeys(each.kind for each in review.found):
        counts: dict[str, int] = {}
        for each in review.found:
            if each.kind == kind:
                written = one_line(review.words(each))
                counts[written] = counts.get(written, 0) + 1
        shown = (f"{words} ×{count}" if count > 1 else words for words, count in counts.items())
        lines.append(f"{kind_name(kind, session)}: {', '.join(shown)}")
    return lines


def kind_name(kind: Kind, session: ChatSession) -> str:
    """What a kind is called in the interface."""
    return LABELS[session.language][kind]


def state_of(review: Review, each: Identifier, label: str | None, words: ExportStrings) -> str:
    """What happens to a finding, and how it was found."""
    state = words.redacted.format(label=label) if label else words.kept
    told = words.known if each.known else words.marked if each.kind == "other" else ""
    return " · ".join(filter(None, (state, told)))


def one_line(text: str) -> str:
    """Words of the text on one line."""
    return " ".join(text.split())
