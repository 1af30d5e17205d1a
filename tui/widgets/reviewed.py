"""The text of an export under review: findings are highlighted, and it can be selected."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style

from edgemed.clinical.redaction import Identifier, Review
from edgemed.tui.markdown import Line
from edgemed.tui.widgets.drawn import Drawn


class ReviewedText(Drawn):
    """What is redacted has a ground of its own, what is kept is underlined, and the current finding looks selected."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"drawn--redacted", "drawn--kept", "drawn--current"}

    def __init__(self, review: Review) -> None:
        super().__init__(review.text, markdown=False)
        self._review = review
        self._starts = [0, *accumulate(len(line) + 1 for line in review.text.split("\n"))][:-1]
        self._spans: dict[int, list[tuple[int, int, str]]] = {}

    def show(self, current: Identifier | None) -> None:
        """Paint the findings anew."""
        self._spans = {}
        for each in self._review.found:
            name = "kept" if each in self._review.kept else "redacted"
            for row in range(self._row(each.start), self._row(each.end - 1) + 1):
                start = self._starts[row]
                spans = self._spans.setdefault(row, [])
                spans.append((max(0, each.start - start), each.end - start, "current" if each == current else name))
        self.refresh()

    def _row(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1

    def line_of(self, offset: int) -> int:
        """The line on which a character of the text is drawn."""
        row = self._row(offset)
        column = offset - self._starts[row]
        lines = self._drawing.lines(self.columns)
        here = [place for place, line in enumerate(lines) if line.number == row and line.start <= column]
        return here[-1] if here else 0

    @property
    def selected(self) -> tuple[int, int] | None:
        """The part of the text that the mouse has selected."""
        selection = self.text_selection
        if selection is None or (selection.start is None and selection.end is None):
            return None
        ends = []
        for offset, otherwise in ((selection.start, 0), (selection.end, len(self._review.text))):
            if offset is None or offset.y >= len(self._starts):
                ends.append(otherwise)
            else:
                ends.append(min(self._starts[offset.y] + offset.x, len(self._review.text)))
        return (ends[0], ends[1]) if ends[0] < ends[1] else None

    def _segments(self, line: Line, base: Style) -> list[Segment]:
        row = replace(line.row, spans=(*line.row.spans, *self._spans.get(line.number, ())))
        return super()._segments(replace(line, row=row), base)
