"""The encrypted database: how it is opened, copied and brought to the current schema.

SQLCipher encrypts and authenticates each page with the raw data key. That finds damage, but not an older page or an
older file that was put back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgemed.errors import VaultBusy, VaultDamaged, VaultError
from edgemed.private_files import sync_folder, unwritable
from edgemed.sizes import format_size
from edgemed.vault import migrations

if TYPE_CHECKING:
    from sqlite3 import Connection  # sqlcipher3 has the same interface, and no types

_PRAGMAS = (
    "foreign_keys = ON",
    "secure_delete = ON",  # deleted text is overwritten in the file
    "temp_store = MEMORY",  # a sort never writes plain text into a temporary file
    "journal_mode = WAL",
    "synchronous = FULL",  # what is committed survives a power cut
    "trusted_schema = OFF",
)
_BUSY_MS = 5_000
_ROOM = 16 << 20
"""Bytes that stay free when a database is copied."""


def open_database(path: Path, key: bytes) -> Connection:
    """Open an existing database for the calling thread. Raises VaultDamaged or VaultError."""
    try:
        empty = path.lstat().st_size == 0
    except FileNotFoundError:
        empty = True
    if empty:  # SQLite would make a new database of it
        raise VaultDamaged(f"{path} is missing or empty; put it back, or restore a backup.")
    return _open(path, key, "rw")


def create_database(path: Path, key: bytes) -> Connection:
    """Make a new, empty database without a schema, with mode 0600. Raises VaultError."""
    with explained(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    return _open(path, key, "rw")


def _open(path: Path, key: bytes, mode: str) -> Connection:
    from sqlcipher3 import dbapi2

    with explained(path):
        connection: Connection = dbapi2.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA cipher_log_level = NONE")  # else SQLCipher writes over the screen
            connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # reads a page: is this the key?
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system report about the database at `path` into VaultErrors with a sentence."""
    from sqlcipher3 import dbapi2

    try:
        yield
    except dbapi2.IntegrityError:
        raise  # a broken constraint is a mistake in our code, not in the file
    except dbapi2.OperationalError as error:
        raise _operational(path, str(error)) from error
    except dbapi2.DatabaseError as error:
        if type(error) is dbapi2.DatabaseError:
            raise VaultDamaged(_damaged(path)) from error
        raise
    except OSError as error:
        raise VaultError(unwritable(path, error)) from error


def _damaged(path: Path) -> str:
    return f"{path} is damaged, or does not belong to the keys.json beside it; restore a backup."


def _operational(path: Path, reason: str) -> Exception:
    if "full" in reason:
        return VaultError(f"The disk with {path} is full; free some space, then try again.")
    if "readonly" in reason or "read-only" in reason:
        return VaultError(f"{path} is read-only; make its disk, its folder and the file writable, then try again.")
    if "unable to open" in reason:
        return VaultError(f"{path} cannot be written; see whether the disk has space and its folder is writable.")
    if "locked" in reason:
        return VaultBusy(f"Another program reads or writes {path}; close it, then try again.")
    if "disk I/O error" in reason:
        return VaultError(f"The disk with {path} reports an error; see whether it has space, then try again.")
    return VaultError(f"{path} cannot be used: {reason}.")


def copy_database(connection: Connection, to: Path, key: bytes) -> None:
    """Write a consistent copy of an open database, encrypted with `key`, and wait until it is on the disk.

    `key` may differ from the connection's. A partial copy is removed. Raises VaultError.
    """
    size = _size(connection)
    free = shutil.disk_usage(to.parent).free
    if free < size + _ROOM:
        raise VaultError(
            f"A copy of the vault needs {format_size(size + _ROOM)} in {to.parent}, and {format_size(free)} are free; "
            "free some space, then try again."
        )
    partial = to.with_name(to.name + ".partial")
    remove_database(partial)
    try:
        with closing(create_database(partial, key)) as copy, explained(to):
            connection.backup(copy)
            # One file: a copy in WAL mode would need its -wal file beside it until the first close.
            copy.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with explained(to):
            _sync(partial)
            partial.replace(to)
    except BaseException:
        remove_database(partial)
        raise
    sync_folder(to.parent)


def remove_database(path: Path) -> None:
    """Delete a database and the files that SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def migrate(connection: Connection, path: Path, key: bytes) -> None:
    """Bring a database to the current schema.

    A copy of a database with an older schema is kept beside it until all migrations are done. Each migration is one
    transaction, so a killed program leaves the schema before it or after it. Raises VaultError.
    """
    steps = migrations.steps()
    with explained(path):
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = steps[-1].number if steps else 0
    if found > newest:
        raise VaultError(
            f"{path} was written by a newer edgemed (schema {found}, this one knows {newest}); update edgemed."
        )
    if found == newest:
        _remove_copies(path)
        return
    copy = path.with_name(f"{path.name}.schema-{found}")
    if found:
        copy_database(connection, copy, key)
    for step in steps:
        if step.number > found:
            with explained(path):
                _apply(connection, step)
    _remove_copies(path)


def openings(connection: Connection) -> int:
    """How often this database was opened and closed, as `set_openings` noted it.

    The count is in `application_id`, the one number of SQLite's header that is ours and needs no table.
    """
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def set_openings(connection: Connection, count: int) -> None:
    connection.execute(f"PRAGMA application_id = {count}")


def _apply(connection: Connection, step: migrations.Step) -> None:
    # Outside a transaction, as SQLite wants it. A migration may rebuild a table that others refer to.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        step.run(connection)
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise VaultDamaged(f"The vault cannot be updated to schema {step.number}: rows refer to missing rows.")
        connection.execute(f"PRAGMA user_version = {step.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def _remove_copies(path: Path) -> None:
    for copy in path.parent.glob(f"{path.name}.schema-*"):
        remove_database(copy)


def _size(connection: Connection) -> int:
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
