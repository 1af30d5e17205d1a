"""The chat's application: which screen is shown, the commands, hiding and locking.

Open it through `edgemed.tui.launch`, which cleans the environment before Textual reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, cast

from textual import on
from textual.binding import Binding, BindingType
from textual.events import Event, InputEvent, Key, MouseMove, Paste
from textual.screen import Screen

from edgemed.chat.conversation import Conversation
from edgemed.clinical import Language
from edgemed.desktop.client import Desktop
from edgemed.errors import EdgemedError, SetupError
from edgemed.tui import collector
from edgemed.tui.entrance import Entrance
from edgemed.tui.hiding.driver import HidingDriver
from edgemed.tui.hiding.guard import Guard
from edgemed.tui.hiding.hide_key import EarlierPaste
from edgemed.tui.hiding.pin import TRIES
from edgemed.tui.kept import Kept
from edgemed.tui.leaving import LeavingApp
from edgemed.tui.screens.first_run import FirstRunScreen
from edgemed.tui.screens.form import FormScreen
from edgemed.tui.screens.help import HelpScreen
from edgemed.tui.screens.hidden import HiddenScreen
from edgemed.tui.screens.kept import KeptScreen
from edgemed.tui.screens.noticed import NoticedPalette
from edgemed.tui.screens.unlock import Unlocked, UnlockScreen, UnsavedWanted
from edgemed.tui.session import ChatSession
from edgemed.tui.strings import strings
from edgemed.tui.strings.vault import vault_strings
from edgemed.vault.folder import exists

TICK_SECONDS = 1.0
HIDE_MINUTES = (1, 2, 3, 5, 10)


class ChatApp(LeavingApp):
    """The private clinical chat: behind the vault of `entrance`, or at once on `session`, of which nothing is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", show=False),
        Binding("f12", "hide_or_lock", show=False, priority=True),
        Binding("ctrl+l", "hide", show=False, priority=True),
        Binding("ctrl+z", "suspend", show=False, priority=True),
    ]

    def __init__(
        self,
        session: ChatSession | None = None,
        conversation: Conversation | None = None,
        *,
        entrance: Entrance | None = None,
        desktop: Desktop | None = None,
    ) -> None:
        assert (session is None) != (entrance is None)
        self._entrance = entrance
        self._chat = KeptScreen(session, conversation or Conversation()) if session else None
        self._spoken = session.language if session else cast(Entrance, entrance).language
        super().__init__(strings(self._spoken).links_closed, desktop)
        self.use_theme(session.theme if session else cast(Entrance, entrance).settings.theme)
        self._words = vault_strings(self._spoken)
        self._guard = Guard()
        self._tries = TRIES

    @property
    def language(self) -> Language:
        return self._spoken

    @property
    def chat(self) -> KeptScreen:
        """The chat's screen. There is none before the vault is open."""
        assert self._chat is not None
        return self._chat

    def get_default_screen(self) -> Screen[None]:
        if self._chat is not None:
            return self._chat
        assert self._entrance is not None
        return self.first_screen(self._entrance)

    def first_screen(self, entrance: Entrance) -> FormScreen:
        """Ask for the passphrase; if there is no vault yet, for what is needed to make one."""
        return UnlockScreen(entrance) if exists(entrance.folder) else FirstRunScreen(entrance)

    def on_mount(self) -> None:
        self.set_interval(TICK_SECONDS, self._tick)
        if self._chat is None:
            self.call_after_refresh(collector.resume)  # the door may wait for days

    def on_unmount(self) -> None:
        if self._chat is not None:
            self._chat.close()

    @property
    def start_error(self) -> Exception | None:
        """Why the engine failed to start; None if it has ever run."""
        return self._chat.start_error if self._chat else None

    # --- from the form to the chat ---

    @on(Unlocked)
    async def _unlocked(self, unlocked: Unlocked) -> None:
        """Open the chat with the vault. What is typed until then goes to the chat."""
        assert self._entrance is not None
        collector.pause()
        form = cast(FormScreen, self.screen)
        try:
            session = await asyncio.to_thread(self._entrance.open_session, unlocked.settings)
            kept = await Kept.open(unlocked.vault, unlocked.secret, unlocked.pin)
        except EdgemedError as error:
            await asyncio.to_thread(unlocked.vault.close)
            form.say(str(error), failed=True)
            form.go_on()
            collector.resume()
            return
        self._guard = Guard(60.0 * unlocked.settings.hide_minutes, shared=bool(unlocked.settings.shared_computer))
        conversation = Conversation() if self._entrance.passphrase else await kept.last_conversation()
        await self._open_chat(KeptScreen(kept.joined_to(session), conversation))

    @on(UnsavedWanted)
    async def _unsaved(self) -> None:
        assert self._entrance is not None
        try:
            session = await asyncio.to_thread(self._entrance.open_session, self._entrance.settings)
        except EdgemedError as error:
            cast(FormScreen, self.screen).say(str(error), failed=True)
            return
        await self._open_chat(KeptScreen(session, Conversation(saved=False)))

    async def _open_chat(self, chat: KeptScreen) -> None:
        self.hold_input()
        self._chat = chat
        self._guard.touched()
        await self.push_screen(chat)

    # --- keys and the mouse ---

    async def on_input(self, event: Event) -> None:
        """Note that the user is there, and send what is typed on the chat's screen to the composer."""
        if isinstance(event, InputEvent | Paste) and not isinstance(event, MouseMove):
            self._guard.touched()
        if isinstance(event, EarlierPaste) and self.hidden:
            self.chat.paste(event)  # its beginning was pasted on the chat's screen
            event.prevent_default()
            event.stop()
        typed = isinstance(event, Paste) or (isinstance(event, Key) and event.is_printable)
        if typed and self.screen is self._chat:
            self._chat.focus_composer()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the screen is hidden, only these actions work. Without a vault, Ctrl+Z belongs to the composer."""
        if self.hidden:
            return action in ("hide_or_lock", "hide", "suspend", "quit")
        if action == "suspend":
            return self.lockable
        return super().check_action(action, parameters)

    # --- hiding and locking ---

    @property
    def hidden(self) -> bool:
        return isinstance(self._screen_stack[-1] if self._screen_stack else None, HiddenScreen)

    @property
    def text_shown(self) -> bool:
        """Whether there is something to hide. The driver asks, from its own thread."""
        return self._chat is not None and self._open and not self.hidden

    @property
    def lockable(self) -> bool:
        """Whether there is a vault. Otherwise a lock would only lose the text."""
        return self._entrance is not None

    def slept(self) -> bool:
        """Whether the computer has been suspended since the last call. The driver asks before it paints."""
        return self._guard.slept()

    def action_hide_or_lock(self) -> None:
        """Hide the screen; lock it if it is hidden."""
        if self.hidden:
            self.lock("key")
        else:
            self.action_hide()

    def action_hide(self) -> None:
        """Show nothing of the chat until the PIN or the passphrase is typed. A running answer goes on."""
        if self._chat is not None and not self.hidden and not self._leaving:
            self._guard.hide()
            self._chat.record("hidden")
            self._notifications.clear()
            self.hold_input()
            self.push_screen(self._chat.cover(self._tries))
        self._uncover()

    def _uncover(self) -> None:
        """Let output through again after the driver has blanked the terminal."""
        if isinstance(self._driver, HidingDriver):
            self._driver.reopen()
        self.refresh(layout=True)

    @on(HiddenScreen.Shown)
    def _shown(self) -> None:
        if self.hidden:
            self._tries = TRIES
            self.chat.record("shown")
            self.pop_screen()
            self._guard.show()
            self._refresh_notifications()

    @on(HiddenScreen.Failed)
    def _refused(self) -> None:
        self._tries -= 1
        self.chat.record("refused", tries_left=self._tries)
        if self._tries <= 0:
            self.lock("tries")

    def _refresh_notifications(self) -> None:
        """Show no notification while the screen is hidden: it may quote the chat."""
        if not self.hidden:
            super()._refresh_notifications()

    async def _tick(self) -> None:
        if self._chat is None or self._leaving:
            return
        if self._guard.slept():
            self.lock("suspend")
        due = self._guard.due(answering=self._chat.answering)
        if due == "hide":
            self.action_hide()
        elif due == "lock":
            self.lock("idle")

    def action_hide_after(self) -> None:
        """Choose after how many minutes without a key the screen hides: the next of HIDE_MINUTES, in turn."""
        now = self._guard.hide_seconds / 60
        minutes = next((each for each in HIDE_MINUTES if each > now), HIDE_MINUTES[0])
        self._guard.hide_seconds = 60.0 * minutes
        self.notify(self._words.hides_after.format(minutes=minutes), markup=False)
        if self._entrance is not None:
            with contextlib.suppress(SetupError):  # it holds until the chat ends
                self._entrance.remember(hide_minutes=minutes)

    # --- pages over the chat ---

    def action_command_palette(self) -> None:
        if self.screen is self._chat:
            self.push_screen(NoticedPalette(self.chat.session))

    def action_help(self) -> None:
        if self._chat is not None and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self._chat.session, self._chat.commands_help))
