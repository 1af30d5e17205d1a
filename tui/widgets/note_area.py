"""A text area with marked passages, which follow the text while it is edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from edgemed.tui.widgets.typing_area import TypingArea

MARK = "note-area--mark"

Span = tuple[int, int]
"""The first character of a passage, and the one after its last."""


class NoteArea(TypingArea):
    """Cut and copied text stays within the program: the clipboard gets a note with its notice only."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {MARK}

    def __init__(self, text: str, *, read_only: bool = False, id: str) -> None:
        self._marks: list[Span] = []
        self._marked = text  # the text to which the marks belong
        self._cut = ""
        super().__init__(text, read_only=read_only, id=id)

    @property
    def marks(self) -> list[Span]:
        """The marked passages of the text as it is now."""
        return moved(self._marks, self._marked, self.text)

    def show_marks(self, marks: Sequence[Span]) -> None:
        """Mark these passages of the text."""
        self._marks, self._marked = sorted(marks), self.text
        self._build_highlight_map()
        self.refresh()

    def go_to_next_mark(self) -> None:
        """Select the marked passage after the cursor, or the first one."""
        text, here = self.text, max(self.selection)
        places = [(_location(text, start), _location(text, end)) for start, end in self.marks]
        following = [place for place in places if place[0] >= here] or places
        if following:
            self.move_cursor(following[0][0])
            self.move_cursor(following[0][1], select=True)

    def action_copy(self) -> None:
        self._cut = self.selected_text or self._cut

    def action_cut(self) -> None:
        if self.selected_text and not self.read_only:
            self._cut = self.selected_text
            self.replace("", *self.selection)

    def action_paste(self) -> None:
        if not self.read_only:
            self.take(self._cut)

    # Textual colours the syntax of programming languages. The marks take the place of that syntax.

    def _build_highlight_map(self) -> None:
        self._line_cache.clear()
        self._highlights.clear()
        text = self.text
        for start, end in self.marks:
            (row, column), (last_row, last_column) = _location(text, start), _location(text, end)
            for each in range(row, last_row + 1):
                line = self.document.get_line(each)
                first = column if each == row else 0
                last = last_column if each == last_row else len(line)
                self._highlights[each].append((len(line[:first].encode()), len(line[:last].encode()), MARK))

    def render_lines(self, crop: Region) -> list[Strip]:
        colour = self.get_component_styles(MARK).color  # of the theme that is in use now
        self._theme.syntax_styles = {MARK: Style(color=colour.rich_color, bold=True, underline=True)}
        return super().render_lines(crop)


def moved(marks: Sequence[Span], before: str, now: str) -> list[Span]:
    """Where marked passages of `before` are in `now`, which differs in one place. Changed passages are left out."""
    if before == now:
        return list(marks)
    same = _alike(before, now)
    left = min(len(before), len(now)) - same
    after = len(before) - _alike(before[len(before) - left :][::-1], now[len(now) - left :][::-1])
    by = len(now) - len(before)
    return [(start, end) for start, end in marks if end <= same] + [
        (start + by, end + by) for start, end in marks if start >= after and end > same
    ]


def _alike(one: str, other: str) -> int:
    """How many characters at the beginning are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _location(text: str, index: int) -> tuple[int, int]:
    """The line and the column of a character."""
    return text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1
