"""The commands that match what is typed, above the composer, while it begins with a slash."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.widgets import OptionList

from edgemed.clinical import Language
from edgemed.tui.commands import Command

MOST_SHOWN = 6


class SlashMenu(OptionList, can_focus=False):
    """Never has the focus: the composer moves its highlight (Up, Down), completes (Tab) and runs it (Enter)."""

    def __init__(self, language: Language) -> None:
        super().__init__(markup=False)
        self._language = language
        self._shown: Sequence[Command] = ()

    def on_mount(self) -> None:
        self.display = False

    @property
    def word(self) -> str:
        """The highlighted command's word."""
        return self._shown[self.highlighted or 0].word

    def show(self, commands: Sequence[Command]) -> None:
        """Show these commands; hide the menu if there are none."""
        if list(commands) == list(self._shown):
            return  # called at every key, and a change costs a layout
        self._shown = commands
        self.display = bool(commands)
        self.clear_options()
        width = max((len(command.word) for command in commands), default=0)
        keys = max((cell_len(command.key) for command in commands), default=0)
        self.add_options(
            f"{command.word.ljust(width)}  {command.key}{' ' * (keys - cell_len(command.key))}  "
            f"{command.title(self._language)}"
            for command in commands
        )
        self.styles.height = min(MOST_SHOWN, len(commands))
        self.highlighted = 0 if commands else None
