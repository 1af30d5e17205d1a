"""The rows of the list of chats. The field above them keeps the focus; the screen moves the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual import events
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from edgemed.tui.chat_list import NUMBERED, Row, line
from edgemed.tui.strings.vault import VaultStrings


def clock() -> datetime:
    """The local time."""
    return datetime.now().astimezone()


class ChatRows(OptionList, can_focus=False):
    """Shows rows; `chosen` is the one under the cursor."""

    def __init__(self, words: VaultStrings) -> None:
        super().__init__(markup=False)
        self._words = words
        self.rows: Sequence[Row] = ()
        self.numbered = True
        """Whether the first rows have numbers: only where a digit reaches them."""

    def show(self, rows: Sequence[Row], cursor: int | None) -> None:
        """Replace the rows and put the cursor on the one with this index."""
        self.rows = rows
        self.clear_options()
        width = max(20, (self.size.width or self.app.size.width) - 2)  # shown before it was laid out the first time
        now = clock()
        cases = [row.case_id for row in rows]
        self.add_options(
            Option(
                line(
                    row,
                    index + 1 if self.numbered and index < NUMBERED else None,
                    width,
                    now,
                    self._words,
                    same_case=index > 0 and row.case_id is not None and cases[index - 1] == row.case_id,
                )
            )
            for index, row in enumerate(rows)
        )
        self.highlighted = cursor if rows else None

    @property
    def chosen(self) -> Row | None:
        return self.rows[self.highlighted] if self.highlighted is not None and self.rows else None

    def on_resize(self, event: events.Resize) -> None:
        self.show(self.rows, self.highlighted)
