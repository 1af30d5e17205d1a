"""The lines at the top of every screen: the header, and the model's notice if it has one."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static


class Notices(Widget):
    """Shows `header`, and `notice` if the model's intended use requires one."""

    def __init__(self, header: str, notice: str | None) -> None:
        super().__init__()
        self._header = header
        self._notice = notice

    def compose(self) -> ComposeResult:
        yield Static(self._header, classes="header", markup=False)
        if self._notice:
            yield Static(self._notice, classes="notice", markup=False)
