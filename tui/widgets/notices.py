"""The lines at the top of every screen: the header, and the model's notice if it has one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static


class Header(Widget):
    """One line: the first of `wordings` that fits, otherwise the last."""

    def __init__(self, wordings: Sequence[str]) -> None:
        super().__init__(classes="header")
        self._wordings = wordings

    def render(self) -> str:
        fitting = (line for line in self._wordings if cell_len(line) <= self.content_size.width)
        return next(fitting, self._wordings[-1])


class Notices(Widget):
    """Shows the header, and `notice` if the model's intended use requires one."""

    def __init__(self, headers: Sequence[str], notice: str | None) -> None:
        super().__init__()
        self._headers = headers
        self._notice = notice

    def compose(self) -> ComposeResult:
        yield Header(self._headers)
        if self._notice:
            yield Static(self._notice, classes="notice", markup=False)
