"""Textual's Markdown widget with the faithful parser, without links, and with blocks that hide no text.

Textual's own blocks renumber lists, drop the words after a code fence and cut long code lines and table cells. They
also give cells tooltips that interpret model text as markup.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Label, Markdown
from textual.widgets import _markdown as stock

from edgemed.tui.markdown import FaithfulParser
from edgemed.tui.markdown.frozen import marker


def _items(blocks: list[stock.MarkdownBlock]) -> ComposeResult:
    """List items with their numbers and signs as written."""
    markers = [marker(block._token.info, block._token.markup) for block in blocks]
    width = max(map(len, markers), default=0)
    for block, sign in zip(blocks, markers, strict=True):
        bullet = stock.MarkdownBullet()
        bullet.symbol = f"{sign.rjust(width)} "
        yield Horizontal(bullet, Vertical(*block._blocks))


class BulletList(stock.MarkdownBulletList):
    def compose(self) -> ComposeResult:
        yield from _items(self._blocks)
        self._blocks.clear()


class OrderedList(stock.MarkdownOrderedList):
    def compose(self) -> ComposeResult:
        yield from _items(self._blocks)
        self._blocks.clear()


class Fence(stock.MarkdownFence):
    """A code block that wraps, without colouring, below the words of its opening line."""

    @classmethod
    def highlight(cls, code: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        return Content("\n".join(part for part in (language, code) if part))

    def compose(self) -> ComposeResult:
        yield Label(self._highlighted_code, id="code-content", expand=True)


class TableContent(stock.MarkdownTableContent):
    def compose(self) -> ComposeResult:
        for header in self.headers:
            yield stock.MarkdownTableCellContents(header, classes="header")
        for number, row in enumerate(self.rows, 1):
            for cell in row:
                yield stock.MarkdownTableCellContents(cell, classes=f"row{number} cell")
            self.last_row = number


class Table(stock.MarkdownTable):
    def compose(self) -> ComposeResult:
        self._headers, self._rows = self._get_headers_and_rows()
        yield TableContent(self._headers, self._rows)


OUR_BLOCKS: dict[str, type[stock.MarkdownBlock]] = {
    "bullet_list_open": BulletList,
    "ordered_list_open": OrderedList,
    "fence": Fence,
    "table_open": Table,
}


class LiveMarkdown(Markdown):
    """A Markdown widget for text that is still arriving."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text, parser_factory=FaithfulParser, open_links=False)

    def get_block_class(self, block_name: str) -> type[stock.MarkdownBlock]:
        return OUR_BLOCKS.get(block_name) or super().get_block_class(block_name)
