"""Numbered steps from an empty database to the current schema: `0001.sql`, `0002.py`, ...

A step is committed once and never changed. An SQL file holds statements, a Python file a function
`migrate(connection)`. Neither begins or ends a transaction: `database.migrate` runs each in one of its own and then
sets `user_version` to the step's number.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

FOLDER = Path(__file__).parent
_NAME = re.compile(r"([0-9]{4})\.(sql|py)")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration. `run` begins a transaction and leaves it open."""

    number: int
    run: Callable[[Connection], None]


def steps() -> list[Step]:
    """All migrations in order."""
    found = []
    for path in sorted(FOLDER.iterdir()):
        if match := _NAME.fullmatch(path.name):
            run = _run_sql if match[2] == "sql" else _run_python
            found.append(Step(int(match[1]), partial(run, path)))
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "numbers are 1, 2, 3, ..."
    return found


def _run_sql(path: Path, connection: Connection) -> None:
    connection.executescript("BEGIN IMMEDIATE;\n" + path.read_text("utf-8"))


def _run_python(path: Path, connection: Connection) -> None:
    spec = importlib.util.spec_from_file_location(f"edgemed_migration_{path.stem}", path)
    assert spec, "a .py file has a loader"
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    connection.execute("BEGIN IMMEDIATE")
    module.migrate(connection)
