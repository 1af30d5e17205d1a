"""The command palette: the commands of the table that this chat offers, in the table's order, with their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from edgemed.clinical import Language
from edgemed.tui.commands import COMMANDS, Command


class Commanded(Protocol):
    """An application with commands."""

    language: Language

    def offers(self, command: Command) -> bool: ...

    def run_command(self, name: str) -> None: ...


class CommandProvider(Provider):
    """Offers the commands. Textual's own commands, such as the screenshot, are not offered."""

    async def discover(self) -> Hits:
        for title, explanation, run in self._offered():
            yield DiscoveryHit(title, run, help=explanation)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, explanation, run in self._offered():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, help=explanation)

    def _offered(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        app = cast(Commanded, self.app)
        for command in COMMANDS:
            if app.offers(command):
                title = " · ".join(filter(None, (command.title(app.language), command.key)))
                explanation = f"{command.explanation(app.language)} {command.word}"
                yield title, explanation, partial(app.run_command, command.name)
