"""A self-contained HTML page, light or dark, without scripts or network access (its own policy forbids both).

All text from files goes through `text`, which escapes markup and makes control characters visible.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6878; --line: #d9dee6; --page: #fbfcfd; --card: #fff;
  --bar: #2f6f9f; --mark: #b3261e; --use: 13 122 112; --weight: 168 50 121; --hot: 214 69 0; --warn: #fff3d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b8; --line: #333c49; --page: #12161c;
  --card: #1a2029; --bar: #6fb1e0; --mark: #ff8a80; --use: 84 204 190; --weight: 236 128 190; --hot: 255 122 51;
  --warn: #3b2f10; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 75rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
p { max-width: 52rem; margin: .4rem 0; } .soft, figcaption { color: var(--soft); } figcaption { margin: .3rem 0 .8rem; }
figure { margin: .6rem 0; } .scroll { overflow-x: auto; }
.warn { background: var(--warn); border-left: 4px solid #c88700; padding: .5rem .8rem; margin: .8rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.6rem; font-weight: 600; } .tile span { color: var(--soft); display: block; }
.tile span:first-child { min-height: 2.9em; }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line); width: 100%; }
th, td { padding: .28rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child, .left { text-align: left; }
td.wrap { white-space: normal; text-align: left; } td.mono { font-family: ui-monospace, monospace; font-size: 13px; }
tr.group td { background: var(--page); color: var(--soft); font-size: 13px; padding-top: .6rem; }
td, .tile b { font-variant-numeric: tabular-nums; }
svg { display: block; } svg text { fill: var(--ink); font: 11px system-ui, "Noto Sans", sans-serif; }
svg .axis { fill: var(--soft); } svg .grid { stroke: var(--line); } svg .bar { fill: var(--bar); }
svg .whisker { stroke: var(--ink); stroke-width: 1.3; } svg .cell { font: 10px ui-monospace, monospace; }
svg .use { fill: rgb(var(--use)); } svg .weight { fill: rgb(var(--weight)); }
details { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0;
  padding: .5rem 1rem; }
summary { cursor: pointer; } .passage { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.75;
  margin: .6rem 0; }
.passage i { font-style: normal; border-radius: 3px; }
@media print { body { max-width: none; } details { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """The complete document. `body` is HTML."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(title)}</title><style>{STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def text(value: object) -> str:
    """A value as HTML text. Control and direction characters are shown by their code points."""
    characters = (
        character
        if character in "\n\t\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else f"⟨U+{ord(character):04X}⟩"
        for character in str(value)
    )
    return html.escape("".join(characters))


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table. `rows` are HTML."""
    cells = "".join(f"<th>{text(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def tile(value: str, name: str, more: str = "") -> str:
    """A headline number with its name."""
    below = f"<span>{text(more)}</span>" if more else ""
    return f'<div class="tile"><span>{text(name)}</span><b>{text(value)}</b>{below}</div>'


def number(value: float) -> str:
    """A number with three significant digits."""
    return (
        f"{value:,.0f}"
        if abs(value) >= 1000
        else f"{value:.3g}"
        if abs(value) >= 1e-3 or value == 0
        else f"{value:.1e}"
    )
