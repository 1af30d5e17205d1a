"""The audit's rows for people and for other programs: selected, as a table, as CSV, as JSON lines. Without text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from datetime import time as midnight
from typing import Any

from edgemed.vault.audit import ID_SHOWN
from edgemed.vault.audit_check import each_row
from edgemed.vault.rows import microseconds, moment
from edgemed.vault.store import Store

EXPORTED = (
    "sequence",
    "time",
    "event",
    "rules",
    "who",
    "case_id",
    "chat_id",
    "turn_id",
    "weights_digest",
    "engine_version",
    "seed",
    "sampling",
    "question",
    "answer",
    "details",
    "previous",
    "mac",
)
"""Columns that may leave the vault. A prompt's digest may not: it has no key, so it tells anyone who has a text whether
it is that prompt."""

_HEADINGS = ("row", "time", "event", "case", "turn", "rules", "who", "details")
_NARROW = ("row", "time", "event", "turn", "details")


def selected(store: Store, case: str | None, since: date | None, until: date | None) -> list[dict[str, Any]]:
    """The rows of a case and of some days, local time; None does not restrict.

    `case` is the beginning of the case's id, or words of its title, in any case. Both days are included.
    """
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if case is not None:
        titles = [*store.cases(), *store.cases(deleted=True)]
        named = [row.id for row in titles if case.casefold() in row.title.casefold()]
        conditions.append(
            "(substr(case_id, 1, length(:case)) = :case OR case_id IN (SELECT value FROM json_each(:cases)))"
        )
        values |= {"case": case.lower(), "cases": json.dumps(named)}
    if since is not None:
        conditions.append("time >= :since")
        values["since"] = _local_start(since)
    if until is not None:
        conditions.append("time < :until")
        values["until"] = _local_start(until + timedelta(days=1))
    return list(each_row(store, " AND ".join(conditions), values))


def latest(store: Store, count: int) -> list[dict[str, Any]]:
    """The rows that were written last, the newest first."""
    where = "sequence > (SELECT max(sequence) FROM audit) - :count"
    return list(each_row(store, where, {"count": count}))[::-1]


def table(rows: Iterable[dict[str, Any]], *, narrow: bool = False) -> list[str]:
    """One line for each row, below headings. Times are local. narrow: without case, rules and who."""
    cells = [_HEADINGS, *map(_cells, rows)]
    if narrow:
        cells = [tuple(cell for cell, name in zip(line, _HEADINGS, strict=True) if name in _NARROW) for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def as_csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, EXPORTED, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"time": _utc(row)} for row in rows)
    return text.getvalue()


def as_json_lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(exported(row), ensure_ascii=False) + "\n" for row in rows)


def exported(row: dict[str, Any], columns: Sequence[str] = EXPORTED) -> dict[str, Any]:
    """What a row says, without what is not known. `sampling` and `details` are objects."""
    told = {name: row[name] for name in columns if row[name] is not None} | {"time": _utc(row)}
    return told | {name: known(row[name]) for name in ("sampling", "details") if row[name] is not None}


def known(stored: str | None) -> dict[str, Any]:
    """The JSON object in a column; empty if there is none, or if something else was written into the row."""
    try:
        told = json.loads(stored or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    details = known(row["details"])
    details.pop("sent", None)
    if row["event"] == "answered":
        details |= {"weights": (row["weights_digest"] or "")[:ID_SHOWN], "seed": row["seed"]}
    return (
        str(row["sequence"]),
        _local(row),
        row["event"],
        (row["case_id"] or "")[:ID_SHOWN],
        (row["turn_id"] or "")[:ID_SHOWN],
        row["rules"],
        row["who"] or "",
        " ".join(f"{name}={value}" for name, value in details.items()),
    )


def _utc(row: dict[str, Any]) -> str:
    try:
        return moment(row["time"]).isoformat()
    except OverflowError:  # written by something else
        return str(row["time"])


def _local(row: dict[str, Any]) -> str:
    try:
        return f"{moment(row['time']).astimezone():%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):
        return str(row["time"])


def _local_start(day: date) -> int:
    return microseconds(datetime.combine(day, midnight()).astimezone())
