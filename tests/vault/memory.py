"""A store on an encrypted database in memory, without a vault around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from sqlcipher3 import dbapi2

from edgemed.vault import migrations
from edgemed.vault.store import Store


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += days * 86_400


@contextmanager
def memory_store(clock: Clock | None = None) -> Iterator[Store]:
    connection = dbapi2.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA key = \"x'" + "5e" * 32 + "'\"")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cipher_log_level = NONE")
    for step in migrations.steps():
        step.run(connection)
        connection.execute("COMMIT")
    try:
        yield Store(connection, clock or Clock())
    finally:
        connection.close()


class Direct:
    """Stands in for a vault: does its work at once, on the caller's thread."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._one_at_a_time = threading.Lock()

    def do(self, work: Callable[[Store], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            with self._one_at_a_time:
                future.set_result(work(self.store))
        except Exception as error:
            future.set_exception(error)
        return future
