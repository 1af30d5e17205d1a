"""Actions on one turn: the selected one, or the last one."""

from __future__ import annotations

from textual import on

from edgemed.chat.conversation import Turn
from edgemed.chat.lengths import Length
from edgemed.tui.commands import COMMANDS, listed
from edgemed.tui.messages import Previewed
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.composing import ComposingScreen
from edgemed.tui.screens.seen import SeenScreen
from edgemed.tui.stages import Stopping
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.transcript import Transcript
from edgemed.tui.widgets.turn import AnswerView
from edgemed.vault.audit import ID_SHOWN


class TurnsScreen(ComposingScreen):
    """`ComposingScreen` with other answers to a question, other versions of it, and ways to get at a turn.

    Textual runs actions concurrently with the screen's message handlers. An action that changes the conversation is
    queued as a message, so that it cannot run while a handler is mounting a question.
    """

    @property
    def chosen(self) -> Turn | None:
        """The turn whose answer has the focus."""
        return self.focused.turn if isinstance(self.focused, AnswerView) else None

    @property
    def turn(self) -> Turn | None:
        """The chosen turn, or the last one."""
        return self.chosen or (self._conversation.turns[-1] if self._conversation.turns else None)

    # --- the menu ---

    def action_turn_menu(self) -> None:
        """What can be done with the chosen answer."""
        turn = self.chosen
        if turn is None:
            return
        choices = []
        for command in COMMANDS:
            if command.on_turn and self._applies(command.name, turn):
                title = command.title(self._session.language)
                choices.append((command.name, f"{title} · {command.key}" if command.key else title))
        self.app.push_screen(ChoiceScreen(self._session, "", choices), lambda name: self._act(name, turn))

    def _applies(self, name: str, turn: Turn) -> bool:
        if name == "resume":
            return self._conversation.resumable(turn)
        if name in ("earlier", "later"):
            place, of = self.version_of(turn)
            return place > 1 if name == "earlier" else place < of
        return bool(turn.raw) or not name.startswith(("copy", "export"))

    def _act(self, name: str | None, turn: Turn) -> None:
        """Do to `turn` what was chosen in the menu, which has closed: the turn has the focus again."""
        if name is not None and turn in self._conversation.turns:
            for view in self.query_one(Transcript).views:
                if view.turn is turn:
                    self.set_focus(view.answer, scroll_visible=False)
            getattr(self, f"action_{name}")()

    @property
    def commands_help(self) -> str:
        """The commands that are offered here, in Markdown; those for the chosen answer come first."""
        language, turn = self._session.language, self.chosen
        offered = [command for command in COMMANDS if self.action_of(command)]
        here = [each for each in offered if turn is not None and each.on_turn and self._applies(each.name, turn)]
        return listed(language, [*here, *(command for command in offered if command not in here)])

    # --- copies ---

    def action_copy_answer(self) -> None:
        """Copy the chosen answer, or the last one. Ask for confirmation if it is incomplete."""
        self._copy_turn(question=False)

    def action_copy_both(self) -> None:
        """Copy the question with its answer."""
        self._copy_turn(question=True)

    def _copy_turn(self, *, question: bool) -> None:
        answered = [turn for turn in self._conversation.turns if turn.raw]
        turn = self.chosen or (answered[-1] if answered else None)
        if turn is None or not turn.raw:
            self.say(self._words.nothing_to_copy)
        else:
            self.copy_turn(turn, question=question)

    # --- other answers, other questions ---

    def action_again(self) -> None:
        """Another answer to the same question."""
        self.call_later(self._again, self.turn, None)

    def action_again_brief(self) -> None:
        """A brief answer to the same question."""
        self.call_later(self._again, self.turn, "brief")

    def action_again_full(self) -> None:
        """A full answer to the same question."""
        self.call_later(self._again, self.turn, "full")

    async def _again(self, turn: Turn | None, length: Length | None) -> None:
        if turn is None or not self.free:
            self.say(self._asking_words.no_turn if turn is None else self.why_not_free())
        else:
            await self.begin(self._conversation.regenerate(turn, length))

    def action_resume(self) -> None:
        """Continue an answer that was cut off."""
        self.call_later(self._resume, self.turn)

    async def _resume(self, turn: Turn | None) -> None:
        if turn is None or not self._conversation.resumable(turn):
            self.say(self._asking_words.busy if self.answering else self._asking_words.cannot_resume)
        elif not self.free:
            self.say(self.why_not_free())
        else:
            await self.begin(self._conversation.resume(turn))

    def action_edit(self) -> None:
        """Put the question into the box to change it."""
        if self.turn is None:
            self.say(self._asking_words.no_turn)
        else:
            self.edit_turn(self.turn)

    # --- versions ---

    def version_of(self, turn: Turn) -> tuple[int, int]:
        """The place of `turn` among its versions, from 1, and their number."""
        if turn not in self._conversation:  # another chat was opened while its widgets were built
            return 1, 1
        versions = self._conversation.siblings(turn)
        return versions.index(turn) + 1, len(versions)

    def action_earlier(self) -> None:
        """Show the version before this one."""
        self.call_later(self._show_version, self.turn, -1)

    def action_later(self) -> None:
        """Show the version after this one."""
        self.call_later(self._show_version, self.turn, 1)

    async def _show_version(self, turn: Turn | None, step: int) -> None:
        if self.answering:
            self.say(self._asking_words.busy)
            return
        versions = self._conversation.siblings(turn) if turn else []
        place = versions.index(turn) + step if turn else -1
        if not 0 <= place < len(versions):
            self.say(self._asking_words.no_versions)
            return
        was_chosen = self.chosen is not None
        self._conversation.show(versions[place])
        await self.show_turns()
        if was_chosen:
            self._go_to(versions[place])

    # --- getting about ---

    def action_previous(self) -> None:
        """Go to the question above."""
        self._go(-1)

    def action_next(self) -> None:
        """Go to the question below."""
        self._go(1)

    def action_last(self) -> None:
        """Go to the last answer."""
        if self._conversation.turns:
            self._go_to(self._conversation.turns[-1])

    def _go(self, step: int) -> None:
        turns = self._conversation.turns
        here = turns.index(self.chosen) if self.chosen in turns else len(turns)
        if 0 <= here + step < len(turns):
            self._go_to(turns[here + step])
        elif step > 0:
            self.focus_composer()
        else:
            self.say(self._asking_words.no_question)

    def _go_to(self, turn: Turn) -> None:
        transcript = self.query_one(Transcript)
        for view in transcript.views:
            if view.turn is turn:
                self.set_focus(view.answer, scroll_visible=False)
                self.call_after_refresh(transcript.scroll_to_widget, view, top=True, animate=False)
                return
        transcript.scroll_home(animate=False)  # it is not mounted yet; scrolling to the top mounts it

    # --- taking a question back ---

    def action_undo_send(self) -> None:
        """Put the question that was just sent back into the box: one that waits, or one without an answer yet."""
        # The key overtakes an Enter before it: first the box hands over what was sent, then the screen queues it.
        self.query_one(Composer).call_later(self.call_later, self._undo_send)

    def _undo_send(self) -> None:
        if self._conversation.queued:
            self.put_back_queued()
        elif self._answered is not None and not self._answered.raw:
            self.take_back(self._answered)
        else:
            self.say(self._asking_words.nothing_to_undo)

    def take_back(self, turn: Turn) -> None:
        """Stop a question that has no answer yet. It leaves the conversation when the engine has let go of it."""
        if not isinstance(self._stage, Stopping):
            self._taken_back = turn
            self._enter(Stopping())
            self._driver.stop(turn)
            if not turn.template:  # it is asked by its command
                self.put_back(turn.question)
            self.query_one(Composer).focus()

    # --- what the model saw ---

    def action_seen(self) -> None:
        """Show the prompt of an answer."""
        turn = self.turn
        if turn is None or not self.free:
            self.say(self._asking_words.no_turn if turn is None else self._asking_words.seen_busy)
            return
        self._driver.preview(self._conversation.messages(turn), turn, turn.continued)

    @on(Previewed)
    def _show_prompt(self, news: Previewed) -> None:
        if not isinstance(news.key, Turn):
            return
        words, preview, turn = self._asking_words, news.preview, news.key
        if preview is None:
            self.say(words.seen_busy)
            return
        same = turn.prompt_digest == preview.digest
        told = words.seen_now.format(time=f"{turn.asked.astimezone():%H:%M}")
        lines = [
            words.seen.format(tokens=preview.tokens, digest=preview.digest),
            told if same else words.seen_unknown.format(digest=turn.prompt_digest or "-"),
        ]
        if self._session.kept is not None and self._conversation.saved:
            lines.append(words.seen_report.format(id=turn.id[:ID_SHOWN]))
        self.app.push_screen(SeenScreen(self._session, lines, preview.text))
