"""Reads a whole database and says whether it is damaged, on a thread and a connection of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

from edgemed.errors import VaultDamaged
from edgemed.vault.database import explained, open_database


def check(path: Path, key: bytes) -> Future[None]:
    """Start a check of the database at `path` beside the running vault.

    The future raises VaultDamaged for pages whose authentication code is wrong and for broken structures. It cannot
    see that an older page or file was put back. The thread does not keep the program from ending.
    """
    result: Future[None] = Future()
    result.set_running_or_notify_cancel()  # a caller that waits may be cancelled; the check ends anyway

    def run() -> None:
        try:
            # A checkpoint may write a page while it is read here, so only what is found twice is damage.
            if _problems(path, key) and (found := _problems(path, key)):
                raise VaultDamaged(f"{path} is damaged ({found}); keep a copy of its folder, then restore a backup.")
        except BaseException as error:
            result.set_exception(error)
        else:
            result.set_result(None)

    threading.Thread(target=run, name="vault check", daemon=True).start()
    return result


def _problems(path: Path, key: bytes) -> str:
    """What is wrong, in a few words; empty if nothing is."""
    with closing(open_database(path, key)) as connection, explained(path):
        # An open read transaction keeps a checkpoint from writing newer pages over the ones that are checked.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        pages = len(connection.execute("PRAGMA cipher_integrity_check").fetchall())
        if pages:
            return f"{pages} pages"
        structure = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        return "" if structure == ["ok"] else "its structure"
