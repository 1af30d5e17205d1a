"""Breaks one line of text to a width, measured in terminal cells."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import get_character_cell_size

from edgemed.tui.markdown.binding import Break, breaks


def wrapped(
    text: str, width: int, *, first: int | None = None, cells: Sequence[int] | None = None, hanging: bool = True
) -> list[tuple[int, int]]:
    """The slices of `text` that fit `width` cells each; at least one, and together all of `text`.

    `first`: the width of the first line, if it differs. `cells`: the width of every character, if it is known. With
    `hanging`, spaces at the end of a line may exceed the width, because they are not drawn. A character wider than the
    line gets a line of its own.
    """
    sizes = cells if cells is not None else [get_character_cell_size(character) for character in text]
    room = max(1, width if first is None else first)
    if sum(sizes) <= room:
        return [(0, len(text))]
    places = breaks(text)
    if not hanging:
        _allow_before_spaces(text, places)
    lines: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = _line_end(text, sizes, places, start, room, hanging=hanging)
        lines.append((start, end))
        start, room = end, max(1, width)
    return lines


def _line_end(text: str, sizes: Sequence[int], places: Sequence[Break], start: int, room: int, *, hanging: bool) -> int:
    """Where the line from `start` ends: the last of the least bad places that fit."""
    best, worst, used = 0, Break.NEVER, 0
    for index in range(start, len(text)):
        if index > start and places[index] <= worst and places[index] is not Break.NEVER:
            best, worst = index, places[index]
        if used + sizes[index] > room and not (hanging and text[index].isspace()):
            return best or max(index, start + 1)
        used += sizes[index]
    return len(text)


def _allow_before_spaces(text: str, places: list[Break]) -> None:
    """Also allow breaks before spaces, but rather not."""
    after = Break.FREE
    for index in range(len(text) - 1, -1, -1):
        if text[index].isspace():
            places[index] = max(Break.LOOSE, after)
        else:
            after = places[index]
