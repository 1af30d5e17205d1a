"""Red flags in what the user writes: shown before the answer, one line each, gone with Esc."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

from textual.widgets import Static
from textual.worker import WorkType

from edgemed.chat.conversation import Conversation, Turn
from edgemed.clinical.flags.rules import reviewed_by, rules_version
from edgemed.clinical.watch import GROUPS, Seen
from edgemed.errors import VaultError
from edgemed.tui import collector
from edgemed.tui.clinical_lines import failed_line, flag_lines, listed_lines, review_line, score_line
from edgemed.tui.screens.cased import CasedScreen
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.keeping import show
from edgemed.tui.screens.seen import SeenScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.clinical import clinical_strings
from edgemed.tui.watching import SCALES, Watching, questions_of
from edgemed.tui.widgets.slash_menu import SlashMenu


class FlaggedScreen(CasedScreen):
    """`CasedScreen` that reads a question by rules, on another thread, before it is sent."""

    def __init__(self, session: ChatSession, conversation: Conversation) -> None:
        super().__init__(session, conversation)
        self.watching = Watching(session)
        self._clinical_words = clinical_strings(session.language)
        self._flagged: dict[str, Seen] = {}  # by the chat's id: what its last question showed, until it is dismissed
        self._to_paint = False  # whether a line is new, and must be on the screen before the engine begins

    async def on_mount(self) -> None:
        lines = [Static("", classes=name, markup=False) for name in ("flags", "score")]
        for line in lines:
            line.display = False
        await self.mount(*lines, after=self.query_one(SlashMenu))
        self.in_background(self._warm_up)

    async def _warm_up(self) -> None:
        """Load the rules. No other long-lived data is loaded after them and the vault's texts."""
        await self.watching.warm_up()
        if self._kept is not None:
            await self._kept.loaded.wait()
        collector.resume()

    def in_background(self, work: Callable[[], Coroutine[None, None, None]], group: str = "") -> None:
        """Run `work` beside the screen's messages, alone in its group if it has one."""
        job: WorkType[None] = work  # a function: a coroutine that never starts, because the chat closes, is a warning
        self.run_worker(job, group=group or "default", exclusive=bool(group))

    # --- a question is sent ---

    async def fits(self, text: str) -> bool:
        """The question about another patient, unless it is switched off."""
        if (await self.watching.switches()).guard:
            return await super().fits(text)
        self._show_question("")
        return True

    async def watch_queued(self, question: str) -> None:
        await super().watch_queued(question)
        await self._watch(question, questions_of(self._conversation)[:-1])

    async def begin(self, turn: Turn) -> None:
        earlier = [each.question for each in self._conversation.turns if each is not turn]
        await self._watch(turn.question, earlier)
        await super().begin(turn)

    async def _watch(self, question: str, earlier: Sequence[str]) -> None:
        chat = self._conversation
        seen = self._flagged[chat.id] = await self.watching.asked(chat, question, earlier)
        self._show_flags()
        self._to_paint = says(seen)

    def send_to_engine(self, conversation: Conversation, turn: Turn) -> None:
        """A new line is painted before the engine begins to read."""
        if self._to_paint:
            self._to_paint = False
            self.call_after_refresh(super().send_to_engine, conversation, turn)
        else:
            super().send_to_engine(conversation, turn)

    def _show_flags(self) -> None:
        words, seen = self._clinical_words, self._flagged.get(self._conversation.id, Seen())
        lines = flag_lines(seen.flags, words, self.watching.emergency)
        if seen.failed:
            lines.append(failed_line(seen.failed, words))
        for name, text in (("flags", "\n".join(lines)), ("score", score_line(seen.score, self._session.language))):
            line = self.query_one(f".{name}", Static)
            line.display = bool(text)
            show(line, text)

    async def _show_conversation(self) -> None:
        self.watching.forget_others(self._conversation)
        self._show_flags()
        await super()._show_conversation()

    # --- Esc ---

    def action_escape(self) -> None:
        """Dismiss the flags; only the next Esc stops the answer. A menu that is open is nearer than both."""
        shown = self._flagged.get(self._conversation.id, Seen())
        if says(shown) and not self.query_one(SlashMenu).display:
            self.watching.dismissed(self._conversation, shown)
            del self._flagged[self._conversation.id]
            self._show_flags()
        else:
            super().action_escape()

    # --- commands ---

    def action_flags(self) -> None:
        """All flags of this chat, with rule, evidence and source."""
        self.in_background(self._list_flags)

    async def _list_flags(self) -> None:
        words, seen = self._clinical_words, await self.watching.all_flags(self._conversation)
        lines = [review_line(rules_version(), reviewed_by(), words), words.found_in_chat]
        found = listed_lines(seen.flags, words)
        if seen.failed:
            found.append(failed_line(seen.failed, words))
        self.app.push_screen(SeenScreen(self._session, lines, "\n\n".join(found)))

    def action_rules(self, group: str = "") -> None:
        """Show the groups; switch the one that is named or chosen."""
        if group:
            self.call_later(self._switch, group)
        else:
            self.in_background(self._list_rules)

    async def _list_rules(self) -> None:
        words, switches = self._clinical_words, await self.watching.switches()
        choices = [
            (group, f"{words.on if getattr(switches, group) else words.off} · {words.groups[group]}")
            for group in GROUPS
        ]
        title = f"{words.rules_title}\n{review_line(rules_version(), reviewed_by(), words)}"
        self.app.push_screen(ChoiceScreen(self._session, title, choices), self._switch_chosen)

    def _switch_chosen(self, group: str | None) -> None:
        if group is not None:
            self.call_later(self._switch, group)

    async def _switch(self, group: str) -> None:
        words = self._clinical_words
        if group not in GROUPS:
            self.say(words.no_group.format(word=group))
            return
        try:
            on = await self.watching.switch(group, self._conversation)
        except VaultError as error:
            self.notify(str(error), markup=False, severity="error")
        else:
            self.say((words.turned_on if on else words.turned_off).format(group=words.groups[group]))
            self.look_again()

    def look_again(self) -> None:
        """The header or the groups that are on have changed: look again at what is on the screen."""

    def action_scale(self, scale: str = "") -> None:
        """Choose the SpO2 scale of the case, and read the last question again with it."""
        self.call_later(self._choose_scale, scale)

    async def _choose_scale(self, typed: str) -> None:
        chat = self._conversation
        self.say(await self.watching.take_scale(chat, typed, self._clinical_words))
        asked = questions_of(chat)
        if typed in SCALES and asked:
            await self._watch(asked[-1], asked[:-1])

    def action_emergency(self, number: str = "") -> None:
        """Set the emergency number that is shown with a flag, or say which it is."""
        self.say(self.watching.take_emergency(number, self._clinical_words))
        self._show_flags()


def says(seen: Seen) -> bool:
    """Whether there is anything to show."""
    return bool(seen.flags or seen.failed or seen.score)
