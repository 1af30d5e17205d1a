"""A Markdown parser that loses nothing the reader needs.

Ordinary parsers drop text on purpose: `<PERSON>` is an HTML tag, `[1]: x` a link definition, a cell too many in a table
row is cut, ">" before "50 kg" becomes a bar in the margin, "0.5*70*2" becomes 0.5702 with a slanted 70. In a dose each
of these can hurt. So the rules that hide text are off, and every block is compared with its source afterwards: one that
would lose a character is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

# html off is an option; these rules hide a target, an entity's spelling, struck-out text, or (indented code, underlined
# headings) change the shape of half-arrived text again and again.
_HIDING_RULES = ["image", "link", "autolink", "reference", "entity", "strikethrough", "code", "lheading"]

# Characters that are spent on markup and may disappear: everywhere, and within blocks of certain types.
_SPENT = frozenset("*_`\\")
_SPENT_IN = {"heading_open": "#", "blockquote_open": ">", "table_open": "|:-", "fence": "~", "hr": "-"}

# Markup characters that carry a clinical meaning where they stand: multiplication, and "more than" before a number.
_TIMES = re.compile(r"[\d)]\*+[\d(]")
_MORE_THAN = re.compile(r"^[ \t]*>[ \t]*[=>]*[ \t]*[\d.]", re.MULTILINE)


class FaithfulParser(MarkdownIt):
    """GitHub's dialect without HTML, links, images and entities; blocks that would lose text become plain text."""

    def __init__(self) -> None:
        super().__init__("gfm-like", {"html": False, "linkify": False})
        self.disable(_HIDING_RULES)

    def parse(self, src: str, env: MutableMapping[str, Any] | None = None) -> list[Token]:
        """Tokens of `src`. Source lines are those that "\\n" ends; see `visible`, which leaves no other line ends."""
        lines = src.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        kept: list[Token] = []
        line = 0
        for block in _top_level(super().parse(src, env)):
            start, end = block[0].map or (line, line)
            kept += self._plain(lines, line, start)
            kept += block if _survives("\n".join(lines[start:end]), block) else self._plain(lines, start, end)
            line = max(line, end)
        return _with_line_breaks(kept + self._plain(lines, line, len(lines)))

    def _plain(self, lines: Sequence[str], start: int, end: int) -> list[Token]:
        """Lines [start, end) as one paragraph of bare text; nothing if they are blank."""
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


def displayed(tokens: Sequence[Token]) -> str:
    """The text a reader sees of `tokens`: what widgets and pictures must show, list markers included."""
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
    """Whether all of `source` that is not markup is in what the reader sees of `block`, in order."""
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
    """A single newline stays a newline: "aspirin 75 mg" and "bisoprolol 5 mg" on two lines are two lines."""
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
