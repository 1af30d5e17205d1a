"""Does one thing to a vault again and again until it is killed: `python -m testing.vault_writer ACTION FOLDER`.

It prints a line when it starts. The tests kill it at any moment and look at what it left.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from edgemed import settings
from edgemed.vault import migrations
from edgemed.vault.backup import back_up
from edgemed.vault.folder import create, erase, unlock
from edgemed.vault.keys import Cost
from edgemed.vault.recorder import Recorder
from edgemed.vault.store import Store

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
PASSPHRASE = "correct horse battery staple"
OTHER = "another long passphrase"
ROWS = 400
"""Rows that every vault of these tests holds."""
TEXT = "PLANTEDWORD 胸痛伴大汗 "
MIGRATIONS = 6


def made(folder: Path) -> None:
    """A closed vault with ROWS texts in a table of its own."""
    vault, _ = create(folder, PASSPHRASE, cost=CHEAP)
    vault.do(fill).result()
    vault.close()


def fill(store: Store) -> None:
    store.connection.execute("CREATE TABLE test_note (id INTEGER PRIMARY KEY, text TEXT)")
    store.connection.execute("BEGIN")
    store.connection.executemany("INSERT INTO test_note (text) VALUES (?)", [(TEXT * 20,)] * ROWS)
    store.connection.execute("COMMIT")


def add_migrations(folder: Path, count: int = MIGRATIONS) -> None:
    """Use the real migrations and `count` more, each of which rewrites every row of the test's table."""
    shutil.copytree(migrations.FOLDER, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__*"))
    real = len(list(folder.iterdir()))
    for number in range(real + 1, real + 1 + count):
        (folder / f"{number:04}.sql").write_text(
            f"ALTER TABLE test_note ADD COLUMN added_{number} TEXT;\nUPDATE test_note SET added_{number} = text;\n"
        )
    migrations.FOLDER = folder


def _create(folder: Path, number: int) -> None:
    create(folder / str(number), PASSPHRASE, cost=CHEAP)[0].close()


def _write(folder: Path, number: int) -> None:
    vault = unlock(folder, PASSPHRASE)
    for _ in range(50):
        vault.do(lambda store: store.connection.execute("INSERT INTO test_note (text) VALUES (?)", (TEXT,))).result()
    vault.close()


def _record(folder: Path, number: int) -> None:
    vault = unlock(folder, PASSPHRASE)
    recorder = Recorder(vault)
    for count in range(50):
        recorder.record("copied", count=count)
    recorder.record("closed").result()
    vault.close()


def _passphrase(folder: Path, number: int) -> None:
    old, new = (PASSPHRASE, OTHER) if number % 2 == 0 else (OTHER, PASSPHRASE)
    vault = unlock(folder, old)
    vault.change_passphrase(old, new)
    vault.close()


def _rekey(folder: Path, number: int) -> None:
    vault = unlock(folder, PASSPHRASE)
    vault.rekey(PASSPHRASE)
    vault.close()


def _migrate(folder: Path, number: int) -> None:
    copy = folder / "work" / str(number)
    shutil.copytree(folder / "vault", copy)
    unlock(copy, PASSPHRASE).close()


def _backup(folder: Path, number: int) -> None:
    vault = unlock(folder / "vault", PASSPHRASE)
    back_up(vault, folder / "work" / f"{number}.backup")
    vault.close()


def _erase(folder: Path, number: int) -> None:
    copy = folder / "work" / str(number)
    shutil.copytree(folder / "vault", copy)
    erase(copy)


def _settings(folder: Path, number: int) -> None:
    settings.update(theme="x" * (number % 5000), ram=number + 1)


ACTIONS: dict[str, Callable[[Path, int], None]] = {
    "create": _create,
    "write": _write,
    "record": _record,
    "passphrase": _passphrase,
    "rekey": _rekey,
    "migrate": _migrate,
    "backup": _backup,
    "erase": _erase,
    "settings": _settings,
}


def main() -> None:
    action, folder = ACTIONS[sys.argv[1]], Path(sys.argv[2])
    if action is _migrate:
        add_migrations(folder / "migrations")
    print("ready", flush=True)
    for number in itertools.count():
        action(folder, number)


if __name__ == "__main__":
    main()
