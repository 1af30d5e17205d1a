"""The base of the chat's application: the parts of Textual that would leak patient text are disabled here."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path, PurePath
from typing import ClassVar, NoReturn

from rich.segment import Segments
from rich.text import Text
from textual import on
from textual.app import App
from textual.driver import Driver
from textual.events import Event, InputEvent, Key, MouseDown, Paste

from edgemed.tui.hiding.driver import HidingDriver
from edgemed.tui.keys import teach_keys
from edgemed.tui.messages import Followed, Opened
from edgemed.tui.themes import DARK, THEMES
from edgemed.tui.widgets.typing_area import TypingArea

STYLES = Path(__file__).parent / "styles"
FOLLOWED_SECONDS, FOLLOW_AGAIN = 0.5, 20
"""How often a message that follows a key is looked for, and how many times."""

CRASHED = (
    "edgemed: the chat ended because of an error in the program ({kind}). "
    "No patient text was written to the screen, to a log or to a file. Please start it again."
)


class PrivateApp(App[None]):
    """Our themes and no others, no links, no screenshots, no tracebacks. Early input waits for the first screen."""

    TITLE = "edgemed"
    CSS_PATH: ClassVar[list[str | PurePath]] = [
        STYLES / name for name in ("chat.tcss", "dialogs.tcss", "door.tcss", "notes.tcss")
    ]

    def __init__(self, links_closed: str) -> None:
        super().__init__()
        self._links_closed = links_closed
        teach_keys()
        self._crash = ""
        self._open = False
        self._paused = False
        self._early: list[Event] = []
        self._bound_keys = 0
        self._following = 0  # the number of the bound key whose action may not have run yet
        self._ended_by = 0
        for name in list(self.available_themes):
            self.unregister_theme(name)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        # No animation: the only motion is text that arrives.
        self.animation_level = "none"

    def use_theme(self, name: str | None) -> None:
        """Show this theme if it is one of ours."""
        if name in {theme.name for theme in THEMES}:
            self.theme = name

    def get_driver_class(self) -> type[Driver]:
        return HidingDriver

    # Textual fails on input, or on exit, while it builds a screen. Both are held back until `Opened`.

    def on_load(self) -> None:
        # End on a signal as on Ctrl+Q, so that the screen is cleared and the terminal's modes are reset.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._leave_on_signal, number)

    def _leave_on_signal(self, number: int) -> None:
        self._ended_by = self._ended_by or number
        if self._open:
            self.call_later(self.leave, 128 + self._ended_by)

    async def leave(self, code: int) -> None:
        """End with this exit code."""
        self.exit(return_code=code)

    def hold_input(self) -> None:
        """Keep what is typed until the next screen says `Opened`."""
        self._open = False

    @on(Opened)
    async def _opened(self) -> None:
        self._open = True
        await self._deliver_early()
        if self._ended_by:
            self._leave_on_signal(self._ended_by)

    def pause_input(self) -> None:
        """Keep what is typed until `resume_input`: it is meant for the chat or the list that is about to be shown."""
        self._paused = True

    async def resume_input(self) -> None:
        """Deliver what was typed since `pause_input`."""
        self._paused = False
        await self._deliver_early()

    def _follow_key(self) -> None:
        """Keep what is typed next until the action of the key just delivered has run.

        A bound key passes through the queue of the focused widget and of all its parents before its action runs, but
        the next characters go to the widget at once: the words after Ctrl+N would go into the chat that is being left.
        A second message goes the same way for what the action itself sends, such as that a field was submitted.
        """
        self._bound_keys += 1
        followed = Followed(self._bound_keys, self.focused or self.screen)
        if followed.target.post_message(followed):
            self._following = followed.key
            self._follow_until(followed, FOLLOW_AGAIN)

    def _follow_until(self, followed: Followed, times: int) -> None:
        """Give up if the message is lost, because its widget has gone, or if the screen is busy for too long."""

        def look() -> None:
            if followed.key == self._following:
                if times and followed.target.is_attached:
                    self._follow_until(followed, times - 1)
                else:
                    self.post_message(Followed(followed.key, self, second=True))

        self.set_timer(FOLLOWED_SECONDS, look)

    @on(Followed)
    async def _followed(self, followed: Followed) -> None:
        again = Followed(followed.key, followed.target, second=True)
        if (followed.second or not followed.target.post_message(again)) and followed.key == self._following:
            self._following = 0
            await self._deliver_early()

    async def catch_up(self) -> None:
        """Deliver what is kept behind a bound key, without waiting for its action: the chat is hidden or left."""
        if self._following and self._open and not self._paused:
            self._following = 0
            early, self._early = self._early, []
            for event in early:
                await self._deliver(event)

    async def _deliver_early(self) -> None:
        if not self._open or self._paused or self._following:
            return
        early, self._early = self._early, []
        for event in early:  # handled now, because later keys are already in the message queue
            await self.on_event(event)

    async def on_event(self, event: Event) -> None:
        key = event if isinstance(event, Key) and not event.is_forwarded else None
        if key is not None and any(binding.priority for binding in self._bindings.key_to_bindings.get(key.key, ())):
            await self.catch_up()
        if isinstance(event, InputEvent | Paste) and (
            not self._open or self._paused or (self._following and not event.is_forwarded)
        ):
            self._early.append(event)
            return
        await self._deliver(event)
        if key is not None and not key.is_printable and not self._edits(key):
            self._follow_key()

    def _edits(self, key: Key) -> bool:
        """Whether the focused box acts on the key itself, in the order of its typing."""
        return isinstance(self.focused, TypingArea) and key.key in self.focused.editing_keys

    async def _deliver(self, event: Event) -> None:
        if isinstance(event, MouseDown) and not event.is_forwarded:
            widget, _ = self.screen.get_widget_and_offset_at(int(event.x), int(event.y))
            if widget is not None and widget.parent is None:
                return  # the widget is being removed, and Textual would fail to find its parent
        await self.on_input(event)
        await super().on_event(event)

    async def on_input(self, event: Event) -> None:
        """Called with each event before it is delivered."""

    # --- keep patient text on the screen ---

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        """Refuse to open links: a browser is a network client, and a URL can carry patient text."""
        self.notify(self._links_closed, markup=False)

    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> NoReturn:
        """Refuse: a screenshot would be a file with patient text."""
        raise PermissionError("Screenshots are not written: they would hold patient text.")

    def save_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> NoReturn:
        """Refuse, like `deliver_screenshot`."""
        raise PermissionError("Screenshots are not written: they would hold patient text.")

    def _handle_exception(self, error: Exception) -> None:
        """End the program with one sentence. Textual would print a traceback with local variables."""
        self._crash = self._crash or type(error).__name__
        super()._handle_exception(error)

    def panic(self, *renderables: object) -> None:
        """End with the same sentence. Drop `renderables`, which an error may provide to describe itself."""
        self._fatal_error()

    def _fatal_error(self) -> None:
        sentence = Text(CRASHED.format(kind=self._crash))
        # Replace an earlier sentence. If there were several, Textual would print their number and an advertisement for
        # its developer tools.
        self._exit_renderables[:] = [Segments(self.console.render(sentence, self.console.options))]
        self._close_messages_no_wait()
