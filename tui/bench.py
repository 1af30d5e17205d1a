"""`edgemed bench --watch`: the live expert map, full screen, during a measurement.

Open it through `edgemed.tui.launch`. It never sees patient text: the questions are invented and no answer is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message as TextualMessage
from textual.widgets import Static

from edgemed.chat.engine import ChatEngine
from edgemed.tui.facts import model_facts
from edgemed.tui.messages import StoreStateChanged
from edgemed.tui.strings import ENGLISH
from edgemed.tui.terminal import LastingDriver
from edgemed.tui.themes import DARK, THEMES
from edgemed.tui.watcher import Watcher
from edgemed.tui.widgets.experts import ExpertPanel

Result = TypeVar("Result")
Say = Callable[[str], None]
"""Shows a line of progress; may be called from the measuring thread."""


class Doing(TextualMessage):
    """A line that says what is being measured."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class WatchApp(App[Result], Generic[Result]):
    """Runs `measure` on a thread and shows the live expert map until it returns.

    `app.run()` returns the result of `measure`, None if the user quit first. `error` holds what `measure` raised.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["styles/chat.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,ctrl+c", "leave", priority=True, show=False)]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, engine: ChatEngine, measure: Callable[[Say], Result]) -> None:
        super().__init__()
        self._engine = engine
        self._measure = measure
        self.error: Exception | None = None
        self._left = False
        self._watcher = Watcher(lambda: engine, self.post_message)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        self.animation_level = "none"

    def get_driver_class(self) -> type[Driver]:
        return LastingDriver

    def compose(self) -> ComposeResult:
        info = self._engine.info
        yield Static(model_facts(info, ENGLISH), classes="stage", markup=False)
        yield ExpertPanel(ENGLISH, info.n_layers, info.n_experts)
        yield Static("", classes="stage", id="doing", markup=False)

    def on_mount(self) -> None:
        self._watcher.start()
        self._run_measure()

    def on_unmount(self) -> None:
        self._watcher.stop()

    @work(thread=True)
    def _run_measure(self) -> None:
        try:
            result = self._measure(self._say)
        except Exception as error:
            if not self._left:
                self.error = error  # printed by the command, after this screen has closed
                self.call_from_thread(self.exit)
        else:
            self.call_from_thread(self.exit, result)

    def _say(self, text: str) -> None:
        self.post_message(Doing(text))

    @on(Doing)
    def _doing(self, news: Doing) -> None:
        self.query_one("#doing", Static).update(f"{news.text}. Esc: quit")

    @on(StoreStateChanged)
    def _store_state(self, news: StoreStateChanged) -> None:
        self.query_one(ExpertPanel).show(news.state)

    def action_leave(self) -> None:
        """Quit and end the engine, which aborts the measurement."""
        self._left = True
        self.exit()
        self._engine.close()
