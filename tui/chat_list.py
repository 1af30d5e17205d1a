"""The list of chats as data: order, filter, and the line that shows a chat. Pure logic."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from edgemed.tui.strings.vault import VaultStrings

NUMBERED = 9
"""Rows that a digit reaches."""


@dataclass(frozen=True, slots=True)
class Row:
    """A chat in the list. `excerpt` and `turn_id` say where a search for `query` found it."""

    chat_id: str
    title: str
    changed: datetime
    case_id: str | None = None
    case: str = ""
    pinned: bool = False
    deleted: bool = False
    stale: bool = False
    mark: str = ""
    turn_id: str | None = None
    excerpt: str = ""
    query: str = ""


def ordered(rows: Iterable[Row]) -> list[Row]:
    """By case: cases with a pinned chat first, then the latest change first; within a case the same."""
    by_case: dict[str, list[Row]] = {}
    for row in rows:
        by_case.setdefault(row.case_id or row.chat_id, []).append(row)
    for chats in by_case.values():
        chats.sort(key=_rank)
    return [row for chats in sorted(by_case.values(), key=lambda chats: _rank(chats[0])) for row in chats]


def _rank(row: Row) -> tuple[bool, bool, float]:
    return row.deleted, not row.pinned, -row.changed.timestamp()


def jump(query: str, count: int) -> int | None:
    """The index of the row that a query of one digit means, None for any other query."""
    if len(query) == 1 and query.isascii() and query.isdigit() and 1 <= int(query) <= min(count, NUMBERED):
        return int(query) - 1
    return None


def matching(rows: Sequence[Row], query: str) -> list[Row]:
    """The rows with every word of `query` in their case or title. Rows where the words begin a word come first."""
    words = folded(query).split()
    starts: list[Row] = []
    others: list[Row] = []
    for row in rows:
        text = folded(f"{row.case} {row.title}")
        if all(word in text for word in words):
            spaced = f" {text}"
            (starts if all(f" {word}" in spaced for word in words) else others).append(row)
    return starts + others


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def with_hits(titles: Sequence[Row], hits: Iterable[Row]) -> list[Row]:
    """Rows found by title, then chats found by their text. A title row takes the place of its first hit."""
    first: dict[str, Row] = {}
    rest: list[Row] = []
    known = {row.chat_id for row in titles}
    for hit in hits:
        if hit.chat_id in known and hit.chat_id not in first:
            first[hit.chat_id] = hit
        else:
            rest.append(hit)
    return [first.get(row.chat_id, row) for row in titles] + rest


def previous(rows: Sequence[Row], current: str | None, opened: Sequence[str]) -> int:
    """The index where the cursor starts: the chat that was open before this one, otherwise the first other one."""
    places = {row.chat_id: index for index, row in enumerate(rows)}
    for chat_id in reversed(opened):
        if chat_id != current and chat_id in places:
            return places[chat_id]
    others = [index for index, row in enumerate(rows) if row.chat_id != current and not row.deleted]
    return min(others, key=lambda index: -rows[index].changed.timestamp(), default=0)


def when(changed: datetime, now: datetime, words: VaultStrings) -> str:
    """A time as short as it can be told: the clock today, "yesterday", the date before."""
    local = changed.astimezone(now.tzinfo)
    clock = local.strftime("%H:%M")
    if local.date() == now.date():
        return clock
    if local.date() == now.date() - timedelta(days=1):
        return words.yesterday.format(time=clock)
    return local.strftime("%Y-%m-%d")


def line(row: Row, number: int | None, width: int, now: datetime, words: VaultStrings, *, same_case: bool) -> Text:
    """One row in `width` columns: its number, case, title, marks and time; below it the excerpt, if there is one."""
    marks = [row.mark, words.pinned if row.pinned else "", words.deleted if row.deleted else ""]
    right = " · ".join(filter(None, [*marks, when(row.changed, now, words)]))
    room = max(4, width - 3 - cell_len(right) - 2)
    style = "strike" if row.deleted else ""
    case = "" if same_case or not row.case else row.case
    left = Text(f"{number or '':>2} ")
    name = Text(style=style)
    if case:
        name.append(case, "bold")
        name.append(" · ")
    elif row.case:
        name.append("  └ ")
    name.append(row.title or words.untitled)
    name.truncate(room, overflow="ellipsis")
    left.append_text(name)
    left.append(set_cell_size("", max(2, width - left.cell_len - cell_len(right))))
    left.append(right)
    if row.excerpt:
        left.append("\n     ")
        excerpt = Text(row.excerpt)
        for word in row.query.split():
            # From the beginning of a word, as the search finds it: "K" is in "K 6.2", not in "check".
            start = r"(?<![^\W_])" if word.isascii() else ""
            excerpt.highlight_regex(re.compile(start + re.escape(word), re.IGNORECASE), "bold underline")
        excerpt.truncate(max(4, width - 5), overflow="ellipsis")
        left.append_text(excerpt)
    return left


def toggled(rows: Sequence[Row], some: Iterable[Row], *, deleted: bool) -> list[Row]:
    """`rows`, with those of the same chats as `some` marked as deleted, or not."""
    changed = {(row.chat_id, row.case_id) for row in some}
    return [replace(row, deleted=deleted) if (row.chat_id, row.case_id) in changed else row for row in rows]
