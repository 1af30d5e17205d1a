"""A text as lines of a given width. Text may be appended while it is shown. Pure logic; `widgets.drawn` paints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len

from edgemed.tui.markdown.faithful import FaithfulParser
from edgemed.tui.markdown.rows import QUOTE, RULE, Row, plain_rows, rows
from edgemed.tui.markdown.wrapping import wrapped

SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " ")
"""No-break spaces are drawn and copied as spaces. They take part in the search for line breaks before that."""


@dataclass(frozen=True, slots=True)
class Line:
    """The part [start, end) of a row's text. `number`: the row's number in the drawing."""

    row: Row
    number: int
    start: int
    end: int

    @property
    def lead(self) -> str:
        return self.row.rest if self.start else self.row.lead

    @property
    def text(self) -> str:
        """What is drawn, without trailing spaces."""
        return (self.lead + self.row.text[self.start : self.end]).translate(SPACES).rstrip()


class Drawing:
    """`source` as rows and lines. Appending costs no more than laying out the last block again."""

    def __init__(self, source: str = "", *, markdown: bool = True) -> None:
        self._markdown = markdown
        self._nodes: list[SyntaxTreeNode] = []  # blocks that later text cannot change
        self._tail = ""  # the source of the last block
        self._last: list[SyntaxTreeNode] = []  # the last block
        self._known: tuple[int, list[Row], list[Line]] = (0, [], [])  # width, rows and lines of `_nodes`
        self._drawn: tuple[int, list[Row], list[Line]] | None = None  # the same of everything
        self.append(source)

    def append(self, text: str) -> None:
        """Add text at the end."""
        self._tail += text
        self._drawn = None
        if self._markdown:
            self._last = _parsed(self._tail)
            if len(self._last) > 1:
                self._settle(self._last)

    def _settle(self, blocks: Sequence[SyntaxTreeNode]) -> None:
        """Keep every block but the last one as it is: only the last one can still grow."""
        first = (blocks[-1].map or (0, 0))[0]
        self._nodes += blocks[:-1]
        self._tail = "\n".join(_source_lines(self._tail)[first:])
        self._last = _parsed(self._tail)
        self._known = (0, [], [])

    def rows(self, width: int) -> list[Row]:
        """The rows at this width, which decides the form of tables."""
        return self._at(width)[1]

    def lines(self, width: int) -> list[Line]:
        """The lines at this width; no line is wider."""
        return self._at(width)[2]

    def _at(self, width: int) -> tuple[int, list[Row], list[Line]]:
        if self._drawn is None or self._drawn[0] != width:
            if self._known[0] != width:
                settled = rows(self._nodes, width) if self._nodes else []
                self._known = (width, settled, _broken(settled, 0, width))
            _, above, lines = self._known
            last = rows(self._last, width) if self._markdown else plain_rows(self._tail)
            if above and last:
                last = [Row(), *last]
            self._drawn = (width, above + last, lines + _broken(last, len(above), width))
        return self._drawn


def plain_text(source: str, columns: int = 80, *, markdown: bool = True) -> str:
    """`source` as it is copied: the rows that the screen shows at this width, unbroken and without markup.

    A list item begins with its number or "- ", a table is columns set with spaces or one record below the other.
    """
    lines: list[str] = []
    for row in Drawing(source, markdown=markdown).rows(columns):
        if not (row.filled and lines and not lines[-1]):
            lines.append(copied(row))
    return "\n".join(lines).strip("\n")


def copied(row: Row) -> str:
    """One row as it is copied. A rule becomes a blank line."""
    if row.filled:
        return ""
    lead = row.lead.replace(QUOTE, "  ").replace("•", "-")
    text = row.text.replace(RULE, "-") if row.spans and row.spans[0][2] == "rule" else row.text
    return (lead + text).translate(SPACES).rstrip()


@cache
def _parser() -> FaithfulParser:
    return FaithfulParser()


def _parsed(source: str) -> list[SyntaxTreeNode]:
    return SyntaxTreeNode(_parser().parse(source)).children


def _source_lines(source: str) -> list[str]:
    return source.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _broken(above: Sequence[Row], first: int, width: int) -> list[Line]:
    lines: list[Line] = []
    for number, row in enumerate(above, first):
        room = max(1, width - cell_len(row.rest))
        parts = [(0, 1)] if row.filled else wrapped(row.text, room, first=max(1, width - cell_len(row.lead)))
        lines += [Line(row, number, start, end) for start, end in parts]
    return lines
