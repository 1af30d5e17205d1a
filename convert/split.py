"""Cutting a layout into parts of a limited size, each with a header of its own (docs/format.md).

A cut never goes through a tensor, nor, in the edgemed layout, through an expert, which is one read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from edgemed.convert.layout import Layout, Slice, Tensor
from edgemed.errors import UsageError
from edgemed.model_file.parts import MAX_PARTS
from edgemed.sizes import PAGE, format_size

Placed = TypeVar("Placed", Tensor, Slice)


def split_layout(layout: Layout, limit: int, header_bytes: int) -> Layout:
    """`layout` in as few parts of at most `limit` bytes as its order allows; unchanged if one is enough.

    header_bytes: length of the whole file's header. No part's header is much longer. Raises UsageError for a limit that
    is too small.
    """
    if header_bytes + sum(layout.data_bytes) <= limit:
        return layout
    room = limit - header_bytes - PAGE  # a page for the keys of the split
    starts: list[int] = []  # of each part, in the undivided data section
    for first, end in _undivided(layout):
        if end - first.offset > room:
            raise UsageError(
                f"Parts of {format_size(limit)} are too small: {first.name} and a header take "
                f"{format_size(end - first.offset + limit - room)}; give a larger --split."
            )
        if not starts or end - starts[-1] > room:
            starts.append(first.offset)
    if len(starts) > MAX_PARTS:
        raise UsageError(
            f"Parts of {format_size(limit)} would be {len(starts)} files, more than {MAX_PARTS}; give a larger --split."
        )

    def moved(placed: Placed) -> Placed:
        file = bisect_right(starts, placed.offset) - 1
        return replace(placed, offset=placed.offset - starts[file], file=file)

    return replace(
        layout,
        tensors=[moved(tensor) for tensor in layout.tensors],
        units=[replace(unit, slices=tuple(map(moved, unit.slices))) for unit in layout.units],
        data_bytes=tuple(end - start for start, end in pairwise([*starts, *layout.data_bytes])),
    )


def _undivided(layout: Layout) -> Iterator[tuple[Tensor, int]]:
    """(first tensor, end) of each run of tensors that must share a part."""
    together = [len(unit.slices) for unit in layout.units] if layout.name == "edgemed" else [1] * len(layout.tensors)
    at = 0
    for count in together:
        first, last = layout.tensors[at], layout.tensors[at + count - 1]
        yield first, last.offset + -(-last.nbytes // layout.alignment) * layout.alignment
        at += count
