"""Text for people on standard output."""

from __future__ import annotations

from collections.abc import Iterable

from edgemed.errors import escaped


def show(lines: Iterable[str]) -> None:
    """Print lines for people. They may quote a file or its name, and a terminal obeys control characters in them."""
    print("\n".join(map(escaped, lines)))
