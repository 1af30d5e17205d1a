"""Teaches Textual's text areas where to break lines (`markdown.binding`)."""

from __future__ import annotations

from rich.cells import get_character_cell_size
from textual import _wrap
from textual.document import _wrapped_document

from edgemed.tui.markdown.wrapping import wrapped

LONGEST = 10_000
"""Longer lines are broken by Textual's own rules, which are faster: a line is broken again at every key."""


def bind_numbers() -> None:
    """Replace the function that breaks the lines of text areas."""
    _wrapped_document.compute_wrap_offsets = wrap_offsets  # type: ignore[attr-defined]


def wrap_offsets(
    text: str,
    width: int,
    tab_size: int,
    fold: bool = True,
    precomputed_tab_sections: list[tuple[str, int]] | None = None,
) -> list[int]:
    """The places at which `text` is broken; takes what Textual's function takes."""
    if len(text) > LONGEST or not fold:
        return _wrap.compute_wrap_offsets(text, width, tab_size, fold, precomputed_tab_sections)
    cells = [get_character_cell_size(character) for character in text]
    tabs = iter([size for _, size in precomputed_tab_sections or () if size])
    for index in (index for index, character in enumerate(text) if character == "\t"):
        cells[index] = next(tabs, tab_size)
    return [end for _, end in wrapped(text, width, cells=cells, hanging=False)][:-1]
