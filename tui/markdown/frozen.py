"""An old answer as one Rich renderable.

It shows the same text as the live widget and looks nearly the same, but is one widget instead of one for every
paragraph, list item and table cell.
"""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it.tree import SyntaxTreeNode
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from edgemed.tui.markdown.faithful import FaithfulParser

_STYLES = {"em": "italic", "strong": "bold"}
_CODE = "bold"


class FrozenMarkdown:
    """A renderable of `source`, parsed once."""

    def __init__(self, source: str) -> None:
        self._blocks = SyntaxTreeNode(FaithfulParser().parse(source)).children

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _group(self._blocks)


def _group(nodes: list[SyntaxTreeNode], *, spaced: bool = True) -> Group:
    """Blocks below each other, with a blank line between them unless they belong to a tight list."""
    parts: list[RenderableType] = []
    for node in nodes:
        if parts and spaced:
            parts.append(Text())
        parts.append(_block(node))
    return Group(*parts)


def _block(node: SyntaxTreeNode) -> RenderableType:
    match node.type:
        case "heading":
            return _inline(node, "bold underline" if node.tag in ("h1", "h2") else "bold")
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "blockquote":
            return _marked("▌", _group(node.children))
        case "fence":
            code = Text("\n".join(part for part in (node.info, node.content.rstrip("\n")) if part))
            return Padding(code, (0, 2))
        case "table":
            return _table(node)
        case "hr":
            return Rule(style="none")
        case _:
            return _inline(node)


def _marked(marker: str, body: RenderableType) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(marker), body)
    return grid


def _list(node: SyntaxTreeNode) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for item in node.children:
        grid.add_row(Text(marker(item.info, item.markup)), _group(item.children, spaced=False))
    return grid


def _table(node: SyntaxTreeNode) -> Table:
    rows = [[_inline(cell) for cell in row.children] for part in node.children for row in part.children]
    headed = any(heading.plain for heading in rows[0])
    table = Table(
        box=SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False, show_edge=False, header_style="bold"
    )
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _inline(node: SyntaxTreeNode, style: str = "") -> Text:
    """A block's inline children as one text."""
    text = Text(style=style, overflow="fold")
    for content, name in _runs(node, ""):
        text.append(content, name)
    return text


def _runs(node: SyntaxTreeNode, style: str) -> Iterator[tuple[str, str]]:
    for child in node.children:
        if child.type in ("hardbreak", "softbreak"):
            yield "\n", style
        elif child.type == "code_inline":
            yield child.content, f"{style} {_CODE}".strip()
        elif child.children:
            yield from _runs(child, f"{style} {_STYLES.get(child.type, '')}".strip())
        else:
            yield child.content, style


def marker(info: str, markup: str) -> str:
    """The marker before a list item: its number or its sign as written ("-5 mmol" and "+5 mmol" differ)."""
    return f"{info}{markup}" if info else markup.replace("*", "•")
