"""The Textual application: themes, commands, and the parts of Textual that would leak patient text, disabled.

Open it through `edgemed.tui.launch`, which cleans the environment before Textual reads it.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import PurePath
from typing import ClassVar, NoReturn

from rich.segment import Segments
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.events import Event, InputEvent, Key, MouseDown, Paste
from textual.screen import Screen

from edgemed.chat.conversation import Conversation
from edgemed.tui.commanding import CommandingApp
from edgemed.tui.keys import teach_keys
from edgemed.tui.messages import Opened
from edgemed.tui.screens.chat import ChatScreen
from edgemed.tui.screens.help import HelpScreen
from edgemed.tui.screens.noticed import NoticedPalette
from edgemed.tui.session import ChatSession
from edgemed.tui.terminal import LastingDriver
from edgemed.tui.themes import DARK, THEMES

CRASHED = (
    "edgemed: the chat ended because of an error in the program ({kind}). "
    "No patient text was written to the screen, to a log or to a file. Please start it again."
)


class ChatApp(CommandingApp):
    """The private clinical chat, on a new conversation or on a given one."""

    TITLE = "edgemed"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["styles/chat.tcss", "styles/dialogs.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1", "help", show=False)]

    def __init__(self, session: ChatSession, conversation: Conversation | None = None) -> None:
        super().__init__()
        self._session = session
        self._chat = ChatScreen(session, conversation or Conversation())
        teach_keys()
        self._crash = ""
        self._open = False
        self._early: list[Event] = []
        self._ended_by = 0
        for name in list(self.available_themes):
            self.unregister_theme(name)
        for theme in THEMES:
            self.register_theme(theme)
        names = [theme.name for theme in THEMES]
        self.theme = session.theme if session.theme in names else DARK.name
        # No animation: the only motion is text that arrives.
        self.animation_level = "none"

    def get_driver_class(self) -> type[Driver]:
        return LastingDriver

    @property
    def chat(self) -> ChatScreen:
        return self._chat

    def get_default_screen(self) -> Screen[None]:
        return self.chat

    # Textual fails on input, or on exit, while it builds the first screen. Both are held back until `Opened`.

    def on_load(self) -> None:
        # End on a signal as on Ctrl+Q, so that the screen is cleared and the terminal's modes are reset.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._leave_on_signal, number)

    def _leave_on_signal(self, number: int) -> None:
        self._ended_by = self._ended_by or number
        if self._open:
            self.exit(return_code=128 + self._ended_by)

    @on(Opened)
    async def _opened(self) -> None:
        self._open = True
        for event in self._early:  # handled now, because later keys are already in the message queue
            await self.on_event(event)
        self._early.clear()
        if self._ended_by:
            self._leave_on_signal(self._ended_by)

    def on_unmount(self) -> None:
        self.chat.close_engine()

    async def on_event(self, event: Event) -> None:
        """Send whatever is typed or pasted on the chat screen to the composer, whatever has the focus."""
        if isinstance(event, InputEvent | Paste) and not self._open:
            self._early.append(event)
            return
        typed = isinstance(event, Paste) or (isinstance(event, Key) and event.is_printable)
        if typed and self.screen is self.chat:
            self.chat.focus_composer()
        if isinstance(event, MouseDown) and not event.is_forwarded:
            widget, _ = self.screen.get_widget_and_offset_at(int(event.x), int(event.y))
            if widget is not None and widget.parent is None:
                return  # the widget is being removed, and Textual would fail to find its parent
        await super().on_event(event)

    @property
    def start_error(self) -> Exception | None:
        """Why the engine failed to start; None if it has ever run."""
        return self.chat.start_error

    # --- commands ---

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, NoticedPalette):
            self.push_screen(NoticedPalette(self._session))

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self._session))

    async def action_quit(self) -> None:
        """Leave the chat, but ask first if text would be lost."""
        if self.screen is self.chat:
            self.chat.ask_to_leave(self.exit)
        else:
            self.exit()

    # --- keep patient text on the screen ---

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        """Refuse to open links: a browser is a network client, and a URL can carry patient text."""
        self.notify(self._session.words.links_closed, markup=False)

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
