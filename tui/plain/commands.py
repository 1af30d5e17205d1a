"""The commands of line mode: one method `_run_NAME` for each command of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.lengths import Length
from edgemed.chat.service import failure_of
from edgemed.chat.visible import visible
from edgemed.errors import EdgemedError
from edgemed.tui.commands import BY_WORD, COMMANDS
from edgemed.tui.endings import ending
from edgemed.tui.plain.case import PlainCase
from edgemed.tui.plain.clinical import PlainClinical
from edgemed.tui.plain.leaving import RULE, PlainLeaving
from edgemed.tui.plain.notes import PlainNotes
from edgemed.tui.plain.vault import PlainVault
from edgemed.vault.audit import ID_SHOWN

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat

SCREEN_ONLY = frozenset(
    {"experts", "theme_dark", "theme_light", "theme_contrast", "hide", "hide_after", "lock", "set_pin"}
)
VAULT_ONLY = frozenset({"chats", "open", "find", "unsaved_chat", "audit"})
LENGTHS: tuple[Length, ...] = ("brief", "standard", "full")


class PlainCommands(PlainCase, PlainClinical, PlainLeaving, PlainNotes):
    """Runs the commands of one `PlainChat`."""

    def __init__(self, chat: PlainChat) -> None:
        self._chat = chat
        self._words = chat.asking_words
        self._previous: Conversation | None = None
        self._vault = PlainVault(chat.session.kept, chat.session.language) if chat.session.kept else None
        self._at = 0  # how many turns before the last one /previous and /next have gone

    def run(self, line: str) -> Literal["quit"] | None:
        """Run a typed command; "quit" if the chat is to end. An unknown word is refused."""
        word, _, argument = line.partition(" ")
        command = BY_WORD.get(word.lower())
        if command is None:
            self._say(self._words.no_command.format(word=visible(word)))
        elif command.name == "quit":
            return "quit"
        elif command.name in SCREEN_ONLY:
            self._say(self._words.screen_only.format(word=word))
        elif command.name in VAULT_ONLY:
            self._run_in_vault(command.name, word, argument.strip())
        elif command.name in LENGTHS:
            self._set_length(command.name)
        elif command.name in ("edit", "case"):
            (self._edit if command.name == "edit" else self._case)(argument.strip())
        else:
            getattr(self, f"_run_{command.name}")(*([argument.strip()] if command.takes else []))
        return None

    def _say(self, text: str) -> None:
        self._chat.say(text)

    @property
    def _turns(self) -> list[Turn]:
        return self._chat.conversation.turns

    def _turn(self) -> Turn | None:
        """The turn that /previous and /next have gone to, at first the last one. Says so if there is none."""
        if not self._turns:
            self._say(self._words.no_turn)
            return None
        return self._turns[-1 - min(self._at, len(self._turns) - 1)]

    # --- conversations ---

    def _replace(self, conversation: Conversation) -> None:
        self._previous, self._chat.conversation = self._chat.conversation, conversation
        self._chat.case, self._chat.held, self._at = "", "", 0

    def _run_new_chat(self) -> None:
        self._replace(Conversation(saved=self._vault is not None))
        self._say(self._chat.words.new_chat)

    def _run_in_vault(self, name: str, word: str, argument: str) -> None:
        """A command on the chats that are kept."""
        if self._vault is None:
            self._say(self._words.vault_only.format(word=word))
        elif name == "unsaved_chat":
            self._replace(Conversation(saved=False))
            self._say(self._words.unsaved_plain)
        elif name == "open":
            self._open(self._vault.chosen(argument))
        else:
            try:
                lines = self._vault.listed(name, argument)
            except EdgemedError as error:
                lines = [failure_of(error)]
            self._say("\n".join(lines))

    def _open(self, chat_id: str | None) -> None:
        if chat_id is None or self._vault is None:
            self._say(self._words.no_number)
            return
        try:
            self._replace(self._vault.load(chat_id))
        except EdgemedError as error:
            self._say(failure_of(error))
        else:
            self._run_last()

    def _run_with_case(self) -> None:
        if not self._turns:
            self._say(self._words.no_case)
            return
        fresh = self._chat.conversation.with_case()
        self._replace(fresh)
        self._chat.case = fresh.draft
        self._say(self._words.with_case_plain)
        self._say(visible(fresh.draft))

    def _run_bring_back(self) -> None:
        if self._previous is None:
            self._say(self._chat.words.nothing_to_bring_back)
            return
        self._replace(self._previous)
        self._say(self._chat.words.brought_back)

    # --- answers ---

    def _ask(self, open_turn: Turn) -> None:
        self._at = 0
        self._chat.send(open_turn)

    def _run_again(self, length: Length | None = None) -> None:
        if turn := self._turn():
            self._ask(self._chat.conversation.regenerate(turn, length))

    def _run_again_brief(self) -> None:
        self._run_again("brief")

    def _run_again_full(self) -> None:
        self._run_again("full")

    def _run_resume(self) -> None:
        turn = self._turn()
        if turn is not None and self._chat.conversation.resumable(turn):
            self._ask(self._chat.conversation.resume(turn))
        elif turn is not None:
            self._say(self._words.cannot_resume)

    def _edit(self, question: str) -> None:
        turn = self._turn()
        if turn is not None and question:
            self._ask(self._chat.conversation.edit(turn, question))
        elif turn is not None:
            self._say(visible(turn.question))
            self._say(self._words.edit_plain)

    def _run_earlier(self) -> None:
        self._version(-1)

    def _run_later(self) -> None:
        self._version(1)

    def _version(self, step: int) -> None:
        turn = self._turn()
        if turn is None:
            return
        versions = self._chat.conversation.siblings(turn)
        place = versions.index(turn) + step
        if 0 <= place < len(versions):
            self._chat.conversation.show(versions[place])
            self._at = len(self._turns) - 1 - self._turns.index(versions[place])
            self._read(versions[place])
        else:
            self._say(self._words.no_versions)

    def _run_stop(self) -> None:
        self._say(self._words.stop_plain)

    def _run_undo_send(self) -> None:
        self._say(self._words.undo_plain)

    # --- reading ---

    def _go(self, step: int) -> None:
        if not self._turns or not 0 <= self._at + step < len(self._turns):
            self._say(self._words.no_question)
            return
        self._at += step
        self._read(self._turns[-1 - self._at])

    def _run_previous(self) -> None:
        self._go(1)

    def _run_next(self) -> None:
        self._go(-1)

    def _run_last(self) -> None:
        self._at = 0
        if turn := self._turn():
            self._read(turn)

    def _read(self, turn: Turn) -> None:
        """Print a question and its answer once more."""
        place = self._turns.index(turn) + 1
        self._say(self._words.question_number.format(number=place, count=len(self._turns)))
        self._say(visible(turn.question))
        self._say(self._words.answer)
        for line in (turn.text, ending(turn, self._chat.words, self._chat.session.language), self._words.answer_end):
            if line:
                self._say(line)
        self._chat.say_marks(turn)

    # --- lengths, the place, help ---

    def _run_length(self) -> None:
        self._set_length(LENGTHS[(LENGTHS.index(self._chat.length) + 1) % len(LENGTHS)])

    def _set_length(self, length: Length) -> None:
        self._chat.length = length
        self._say(self._words.lengths[length])

    def _run_where(self) -> None:
        chat = self._chat
        self._say(
            self._words.where.format(
                title=visible(chat.conversation.heading) or self._words.where_title,
                number=max(0, len(self._turns) - self._at),
                count=len(self._turns),
                length=self._words.lengths[chat.length],
                used=chat.conversation.context_used,
                total=chat.engine.info.n_ctx,
                model=visible(chat.session.model_name),
            )
        )

    def _run_seen(self) -> None:
        turn = self._turn()
        if turn is None:
            return
        try:
            preview = self._chat.engine.preview(self._chat.conversation.messages(turn), turn.continued)
        except EdgemedError as error:
            self._say(failure_of(error))
            return
        same = preview.digest == turn.prompt_digest
        told = self._words.seen_now.format(time=f"{turn.asked.astimezone():%H:%M}")
        told = told if same else self._words.seen_unknown.format(digest=turn.prompt_digest or "-")
        kept = self._vault is not None and self._chat.conversation.saved
        report = [self._words.seen_report.format(id=turn.id[:ID_SHOWN])] if kept else []
        seen = self._words.seen.format(tokens=preview.tokens, digest=preview.digest)
        for line in (seen, told, *report, RULE, visible(preview.text), RULE):
            self._say(line)

    def _run_restart_engine(self) -> None:
        try:
            self._chat.engine.restart()
        except EdgemedError as error:
            self._say(failure_of(error))
        else:
            self._say(self._words.restarted)

    def _run_help(self) -> None:
        language = self._chat.session.language
        for command in COMMANDS:
            if command.name not in (SCREEN_ONLY if self._vault else SCREEN_ONLY | VAULT_ONLY):
                self._say(f"{command.word}: {command.title(language)}. {command.explanation(language)}.")
        self._say(self._words.plain_hint)
