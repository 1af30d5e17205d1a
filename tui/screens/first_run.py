"""The first run on the screen: asks the questions of `edgemed.tui.first_run`, makes the vault and opens the chat."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.binding import Binding, BindingType

from edgemed.errors import EdgemedError
from edgemed.tui.entrance import Entrance
from edgemed.tui.first_run import FirstRun
from edgemed.tui.screens.form import FormScreen
from edgemed.tui.screens.unlock import Unlocked, UnsavedWanted, explained

COLUMNS = 4


class FirstRunScreen(FormScreen):
    """Posts `Unlocked` when all questions are answered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "suggest_again", show=False),
        Binding("escape", "show_words", show=False),
        Binding("ctrl+n", "unsaved", show=False, priority=True),
    ]

    def __init__(self, entrance: Entrance, first_run: FirstRun | None = None) -> None:
        super().__init__(entrance.header)
        self._entrance = entrance
        self._first_run = first_run or FirstRun(entrance)

    def on_mount(self) -> None:
        self._ask()
        self.say("")

    async def answered(self, text: str) -> None:
        sentence = self._first_run.answer(text)
        self._ask()
        self.say(sentence, failed=bool(sentence))
        if self._first_run.step == "make":
            self.wait(self._entrance.words.making)
            self.run_worker(self._make())
        elif self._first_run.step == "done":
            self._finish()

    async def _make(self) -> None:
        try:
            await asyncio.to_thread(self._first_run.make_vault)
        except EdgemedError as error:
            self._first_run.start_again()
            self._ask()
            self.say(explained(error, self._entrance.language, self._entrance.words), failed=True)
        else:
            self._ask()
            self.say("")
        self.go_on()

    def _finish(self) -> None:
        assert self._first_run.vault is not None
        self.field.disabled = True
        self.post_message(
            Unlocked(self._first_run.vault, self._first_run.settings, self._first_run.passphrase, self._first_run.pin)
        )

    def _ask(self) -> None:
        if self._first_run.step in ("make", "done"):
            return
        words, question = self._entrance.words, self._first_run.question
        listed = in_columns(question.listed) if self._first_run.step == "words" else "\n".join(question.listed)
        self.fill(question.heading, question.text, question.placeholder, listed=listed, secret=question.secret)
        self.show_keys(words.keys_of(self._first_run.step))

    def action_suggest_again(self) -> None:
        """Offer five other words."""
        if self._first_run.step == "passphrase":
            self._first_run.suggest_again()
            self._ask()

    def action_show_words(self) -> None:
        """Show the recovery words again."""
        if self._first_run.step == "check":
            self._first_run.show_words_again()
            self._ask()
            self.say("")

    def action_unsaved(self) -> None:
        if self._first_run.vault is None and not self.field.disabled:
            self.post_message(UnsavedWanted())


def in_columns(listed: tuple[str, ...], columns: int = COLUMNS) -> str:
    """The words in columns, numbered downwards."""
    lines = -(-len(listed) // columns)
    width = max(map(len, listed), default=0) + 3
    return "\n".join("".join(word.ljust(width) for word in listed[line::lines]).rstrip() for line in range(lines))
