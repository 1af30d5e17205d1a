"""The application's part of the command table: which commands are offered, and those about the whole program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.command import Provider

from edgemed.clinical import Language
from edgemed.tui.commands import BY_NAME, Command
from edgemed.tui.palette import CommandProvider
from edgemed.tui.themes import CONTRAST, DARK, LIGHT

if TYPE_CHECKING:
    from edgemed.tui.screens.chat import ChatScreen


class CommandingApp(App[None]):
    """An application whose commands are those of `edgemed.tui.commands`. A subclass has the chat's screen."""

    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {CommandProvider}

    @property
    def chat(self) -> ChatScreen:
        raise NotImplementedError

    @property
    def language(self) -> Language:
        return self.chat.session.language

    def offers(self, command: Command) -> bool:
        """Whether the command does anything in this chat."""
        return self.chat.action_of(command) is not None

    def run_command(self, name: str) -> None:
        """Run a command that is offered."""
        if action := self.chat.action_of(BY_NAME[name]):
            self.chat.call_later(action)

    def action_theme_dark(self) -> None:
        self._use_theme(DARK.name)

    def action_theme_light(self) -> None:
        self._use_theme(LIGHT.name)

    def action_theme_contrast(self) -> None:
        self._use_theme(CONTRAST.name)

    def _use_theme(self, name: str) -> None:
        self.theme = name
        self.chat.session.on_theme(name)
