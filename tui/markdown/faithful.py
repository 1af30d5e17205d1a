"""A Markdown parser that never hides text.

Ordinary parsers drop text on purpose. `<PERSON>` is an HTML tag, `[1]: x` is a link definition, and a surplus cell of a
table row is cut. A ">" before "50 kg" becomes a bar in the margin, and "0.5*70*2" becomes 0.5702 with an italic 70. In
a dose, each of these can cause harm. So the rules that hide text are disabled, and every parsed block is compared with
its source: a block that would lose a character is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.token import Token

# HTML is disabled by an option. These rules hide a link's target, an entity's spelling or struck-out text. Indented
# code and underlined headings hide nothing, but they make text that is still arriving change its shape repeatedly.
_HIDING_RULES = ["image", "link", "autolink", "reference", "entity", "strikethrough", "code", "lheading"]

# Markup characters that may disappear: in every block, and in blocks of these types.
_SPENT = frozenset("*_`\\")
_SPENT_IN = {"heading_open": "#", "blockquote_open": ">", "table_open": "|:-", "fence": "~", "hr": "-"}

# Markup characters with a clinical meaning: multiplication, and "more than" before a number.
_TIMES = re.compile(r"[\d)]\*+[\d(]")
_MORE_THAN = re.compile(r"^[ \t]*>[ \t]*[=>]*[ \t]*[\d.]", re.MULTILINE)

# The line below a table's headings.
_DELIMITERS = re.compile(r"\s*(?:\|\s*)?:?-+:?\s*(?:\|\s*:?-+:?\s*)*(?:\|\s*)?")


class FaithfulParser(MarkdownIt):
    """GitHub's Markdown without HTML, links, images and entities; blocks that would lose text become plain text."""

    def __init__(self) -> None:
        super().__init__("gfm-like", {"html": False, "linkify": False})
        self.disable(_HIDING_RULES)

    def parse(self, src: str, env: MutableMapping[str, Any] | None = None) -> list[Token]:
        """The tokens of `src`. Only "\\n" ends a source line; `visible` leaves no other line endings."""
        lines = src.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        kept: list[Token] = []
        line = 0
        for block in _top_level(super().parse(src, env)):
            start, end = block[0].map or (line, line)
            kept += self._plain(lines, line, start)
            survives = _survives("\n".join(lines[start:end]), block)
            if survives and block[0].type != "paragraph_open":
                kept += block
            else:
                kept += self._widened(lines, start, end) or (block if survives else self._plain(lines, start, end))
            line = max(line, end)
        return _with_line_breaks(kept + self._plain(lines, line, len(lines)))

    def _widened(self, lines: Sequence[str], start: int, end: int) -> list[Token]:
        """Lines [start, end) as a table in which every row has room for its cells; no tokens if they are no table.

        The first two lines get empty cells, up to the longest row. Nothing else is changed, and nothing may be lost.
        """
        if end - start < 2 or "|" not in lines[start] or not _DELIMITERS.fullmatch(lines[start + 1]):
            return []
        rows = [_cells(line) for line in lines[start:end]]
        most = max(map(len, rows))
        first = "".join(f"|{cell}" for cell in rows[0] + [" "] * (most - len(rows[0])))
        second = "".join(f"|{cell}" for cell in rows[1] + ["-"] * (most - len(rows[1])))
        source = "\n".join([f"{first}|", f"{second}|", *lines[start + 2 : end]])
        block = next(_top_level(super().parse(source)))
        if block[0].type != "table_open" or not _survives("\n".join(lines[start:end]), block):
            return []
        for token in block:
            token.map = [token.map[0] + start, token.map[1] + start] if token.map else None
        return block

    def _plain(self, lines: Sequence[str], start: int, end: int) -> list[Token]:
        """Lines [start, end) as one paragraph of plain text; no tokens if they are blank."""
        text = "\n".join(lines[start:end])
        if not text.strip():
            return []
        span = [start, end]
        children = [Token("text", "", 0, content=text.strip("\n"))]
        return [
            Token("paragraph_open", "p", 1, map=span, block=True),
            Token("inline", "", 0, map=span, level=1, content=text, children=children, block=True),
            Token("paragraph_close", "p", -1, block=True),
        ]


def _cells(line: str) -> list[str]:
    """The cells of a table's row, as the parser separates them."""
    cells = escapedSplit(line.strip())
    first, last = not cells[0].strip(), len(cells) > 1 and not cells[-1].strip()
    return [cell.replace("|", "\\|") for cell in cells[first : len(cells) - last]]


def displayed(tokens: Sequence[Token]) -> str:
    """The text that a reader sees of `tokens`, with list markers. Both renderings must show all of it."""
    parts: list[str] = []
    for token in tokens:
        if token.type == "inline":
            parts += [child.content if child.content else " " for child in token.children or []]
        elif token.type == "list_item_open":
            parts.append(f"{token.info}{token.markup} ")
        elif token.type == "fence":
            parts.append(f"{token.info}\n{token.content}")
    return "".join(parts)


def _top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


def _survives(source: str, block: Sequence[Token]) -> bool:
    """Whether the reader sees every character of `source` that is not markup, in order."""
    types = {token.type for token in block}
    if "blockquote_open" in types and _MORE_THAN.search(source):
        return False
    shown = displayed(block)
    if len(_TIMES.findall(source)) != len(_TIMES.findall(shown)):
        return False
    spent = _SPENT.union(*(_SPENT_IN.get(name, "") for name in types))
    return _without(source, spent) == _without(shown, spent)


def _without(text: str, spent: frozenset[str]) -> str:
    return "".join(character for character in text if character not in spent and not character.isspace())


def _with_line_breaks(tokens: list[Token]) -> list[Token]:
    """Keep single newlines: "aspirin 75 mg" and "bisoprolol 5 mg" on two lines must stay on two lines."""
    for token in tokens:
        children: list[Token] = []
        for child in token.children or []:
            if child.type == "softbreak":
                children.append(Token("hardbreak", "br", 0))
            elif child.type == "text" and "\n" in child.content:
                for number, line in enumerate(child.content.split("\n")):
                    children += [Token("hardbreak", "br", 0)] if number else []
                    children.append(Token("text", "", 0, content=line))
            else:
                children.append(child)
        token.children = children if token.children is not None else None
    return tokens
