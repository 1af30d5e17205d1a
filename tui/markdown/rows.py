"""Turns parsed Markdown into rows: lines of text before they are broken to a width. Screen and copies share them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len

from edgemed.tui.markdown.binding import parted

TAB = 4
QUOTE = "▌ "
RULE = "─"
GAP = "  "

GRID_COLUMNS = 66
"""Narrower tables are shown as records. A terminal of 70 columns has this room beside margin, bar and scroll bar."""

_STYLES = {"em": "italic", "strong": "bold"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of text. `lead` stands before it, `rest` before the lines that it continues on.

    `spans`: (start, end, style) over `text`; a style is "bold", "italic", "underline", "code" or "rule", or several of
    them with spaces between. A `filled` row repeats its text over the whole width.
    """

    text: str = ""
    lead: str = ""
    rest: str = ""
    spans: Sequence[tuple[int, int, str]] = field(default=())
    filled: bool = False


def rows(nodes: Sequence[SyntaxTreeNode], width: int) -> list[Row]:
    """The rows of these blocks, with a blank row between blocks. Only tables depend on `width` (in cells)."""
    return list(_blocks(nodes, "", "", width, spaced=True))


def plain_rows(text: str) -> list[Row]:
    """The rows of text that is not Markdown."""
    return [Row(line) for line in text.expandtabs(TAB).split("\n")]


def _blocks(nodes: Sequence[SyntaxTreeNode], lead: str, rest: str, width: int, *, spaced: bool) -> Iterator[Row]:
    for number, node in enumerate(nodes):
        if number and spaced:
            yield Row(lead=rest, rest=rest)
        yield from _block(node, rest if number else lead, rest, width)


def _block(node: SyntaxTreeNode, lead: str, rest: str, width: int) -> Iterator[Row]:
    match node.type:
        case "heading":
            yield from _inline(node, lead, rest, "bold underline" if node.tag in ("h1", "h2") else "bold")
        case "bullet_list" | "ordered_list":
            yield from _list(node, lead, rest, width)
        case "blockquote":
            yield from _blocks(node.children, lead + QUOTE, rest + QUOTE, width, spaced=True)
        case "fence":
            code = "\n".join(part for part in (node.info, node.content.rstrip("\n")) if part)
            for number, line in enumerate(code.expandtabs(TAB).split("\n")):
                yield Row(line, (rest if number else lead) + GAP, rest + GAP, ((0, len(line), "code"),))
        case "table":
            yield from _table(node, lead, rest, width - cell_len(rest))
        case "hr":
            yield _rule(lead, rest)
        case _:
            yield from _inline(node, lead, rest)


def _list(node: SyntaxTreeNode, lead: str, rest: str, width: int) -> Iterator[Row]:
    markers = [marker(item.info, item.markup) for item in node.children]
    longest = max(map(len, markers), default=0)
    blank = rest + " " * (longest + 1)
    for number, (item, sign) in enumerate(zip(node.children, markers, strict=True)):
        before = (rest if number else lead) + sign.rjust(longest) + " "
        if item.children:
            yield from _blocks(item.children, before, blank, width, spaced=False)
        else:
            yield Row(lead=before, rest=blank)


def marker(info: str, markup: str) -> str:
    """The marker before a list item: its number or its sign as written ("-5 mmol" and "+5 mmol" differ)."""
    return f"{info}{markup}" if info else markup.replace("*", "•")


def _inline(node: SyntaxTreeNode, lead: str, rest: str, style: str = "") -> Iterator[Row]:
    """A block's inline children; a row for every line in the source."""
    for number, (line, spans) in enumerate(_lines(*_flat(node, style))):
        yield _expanded(line, rest if number else lead, rest, spans)


_Spans = list[tuple[int, int, str]]


def _lines(text: str, spans: _Spans) -> Iterator[tuple[str, _Spans]]:
    """The lines of a text, each with its part of the styles."""
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        kept = [(max(a, start) - start, min(b, end) - start, name) for a, b, name in spans if a < end and b > start]
        yield line, kept
        start = end + 1


def _flat(node: SyntaxTreeNode, style: str = "", line_end: re.Pattern[str] | None = None) -> tuple[str, _Spans]:
    """The text of a block and its styles. A line end between a number and its unit becomes a space.

    `line_end`: what means a line end in it, apart from code.
    """
    text, spans = "", []
    for content, name in _runs(node, style):
        if line_end is not None and "code" not in name:
            content = line_end.sub("\n", content)
        if name and content:
            spans.append((len(text), len(text) + len(content), name))
        text += content
    for match in re.finditer(r"\n", text):
        if parted(text[: match.start()], text[match.end() :]):
            text = f"{text[: match.start()]} {text[match.end() :]}"
    return text, spans


def _expanded(line: str, lead: str, rest: str, spans: _Spans) -> Row:
    if "\t" in line:
        spans = [(len(line[:a].expandtabs(TAB)), len(line[:b].expandtabs(TAB)), name) for a, b, name in spans]
    return Row(line.expandtabs(TAB), lead, rest, tuple(spans))


def _runs(node: SyntaxTreeNode, style: str) -> Iterator[tuple[str, str]]:
    for child in node.children:
        if child.type in ("hardbreak", "softbreak"):
            yield "\n", style
        elif child.type == "code_inline":
            yield child.content, f"{style} code".strip()
        elif child.children:
            yield from _runs(child, f"{style} {_STYLES.get(child.type, '')}".strip())
        else:
            yield child.content, style


# --- tables ---


def _table(node: SyntaxTreeNode, lead: str, rest: str, width: int) -> Iterator[Row]:
    """A grid if every row fits on one line, otherwise records: the cells of a row below each other, headed.

    A grid with cells of several lines is not drawn. What stands side by side in it is easily read as one.
    """
    table = [[_cell(cell) for cell in row.children] for part in node.children for row in part.children]
    sizes = [max(cell_len(row[column][0]) for row in table) for column in range(len(table[0]))]
    one_line = not any("\n" in text for row in table for text, _ in row)
    if one_line and width >= GRID_COLUMNS and sum(sizes) + len(GAP) * (len(sizes) - 1) <= width:
        made = _grid(table, sizes)
    else:
        made = _records(table)
    for number, (text, hang, spans) in enumerate(made):
        yield Row(text, rest if number else lead, rest + hang, spans) if text else _rule(rest if number else lead, rest)


_BREAK = re.compile(r"\s*<br\s?/?>\s*", re.IGNORECASE)
"""How a line end is written in a cell. It is the one HTML tag that is obeyed: its text says nothing of the patient."""

_Cell = tuple[str, _Spans]
_Line = tuple[str, str, Sequence[tuple[int, int, str]]]  # text, what continuation lines are indented by, spans


def _cell(node: SyntaxTreeNode) -> _Cell:
    text, spans = _flat(node, line_end=_BREAK)
    return text.replace("\t", " "), spans


def _grid(table: list[list[_Cell]], sizes: list[int]) -> Iterator[_Line]:
    headed = any(text for text, _ in table[0])
    for number, row in enumerate(table if headed else table[1:]):
        line, spans = "", []
        for (text, styles), size in zip(row, sizes, strict=True):
            heading = [(0, len(text), "bold")] if headed and not number and text else []
            spans += [(len(line) + a, len(line) + b, name) for a, b, name in (*styles, *heading)]
            line += text + " " * (size - cell_len(text)) + GAP
        yield line.rstrip() or " ", "", spans
        if headed and not number:
            under = GAP.join(RULE * max(size, 1) for size in sizes)
            yield under, "", [(0, len(under), "rule")]


def _records(table: list[list[_Cell]]) -> Iterator[_Line]:
    headings, *body = table
    empty: list[_Cell] = [("", [])] * len(headings)
    for number, row in enumerate(body or [empty]):
        if number:
            yield "", "", ()
        for (heading, _), cell in zip(headings, row, strict=True):
            name = f"{heading}: ".replace("\n", " ") if heading else ""
            for line_number, (text, styles) in enumerate(_lines(*cell)):
                before = GAP if line_number else name
                spans = [(len(before) + a, len(before) + b, style) for a, b, style in styles]
                if before or text:
                    bold = [(0, len(before.rstrip()), "bold")] if before.strip() else []
                    yield (before + text).rstrip(), GAP, [*spans, *bold]


def _rule(lead: str, rest: str) -> Row:
    return Row(RULE, lead, rest, ((0, 1, "rule"),), filled=True)
