"""The encrypted database: opening, copying, migrations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgemed.errors import VaultDamaged, VaultError
from edgemed.vault import database, migrations
from edgemed.vault.database import copy_database, create_database, migrate, open_database

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
PLANTED = "PLANTEDWORD 胸痛"


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Replace the migrations by these files."""
    folder = tmp_path / "migrations"

    def use(files: dict[str, str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        monkeypatch.setattr(migrations, "FOLDER", folder)

    return use


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table and 300 rows."""
    path = tmp_path / "vault.db"
    with closing(create_database(path, KEY)) as connection:
        connection.execute("CREATE TABLE note (text TEXT)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO note VALUES (?)", [(PLANTED * 20,)] * 300)
        connection.execute("COMMIT")
    return path


def rows(path: Path, key: bytes = KEY) -> int:
    with closing(open_database(path, key)) as connection:
        return int(connection.execute("SELECT count(*) FROM note WHERE text LIKE '%胸痛%'").fetchone()[0])


def version(path: Path) -> int:
    with closing(open_database(path, KEY)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _read_all(path: Path) -> None:
    with closing(open_database(path, KEY)) as connection, database.explained(path):
        connection.execute("SELECT sum(length(text)) FROM note").fetchall()
        connection.execute("PRAGMA quick_check").fetchall()


def test_the_connection_has_the_settings_that_keep_text_safe(path: Path) -> None:
    with closing(open_database(path, KEY)) as connection:
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("foreign_keys", "secure_delete", "temp_store", "journal_mode", "synchronous", "trusted_schema")
        }
    memory, full = 2, 2
    assert found == {
        "foreign_keys": 1,
        "secure_delete": 1,
        "temp_store": memory,
        "journal_mode": "wal",
        "synchronous": full,
        "trusted_schema": 0,
    }


def test_no_file_holds_plain_text_and_all_are_private(path: Path) -> None:
    with closing(open_database(path, KEY)) as connection:
        connection.execute("INSERT INTO note VALUES (?)", (PLANTED,))
        files = sorted(path.parent.glob("vault.db*"))
        assert len(files) == 3
        for file in files:
            assert file.stat().st_mode & 0o777 == 0o600
            content = file.read_bytes()
            for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                assert PLANTED.encode(encoding) not in content
                assert "胸痛".encode(encoding) not in content


def test_another_key_a_missing_and_an_empty_file_are_refused_and_nothing_is_made(path: Path) -> None:
    with pytest.raises(VaultDamaged, match=r"does not belong to the keys\.json"):
        open_database(path, OTHER)
    path.write_bytes(b"")
    with pytest.raises(VaultDamaged, match="missing or empty"):
        open_database(path, KEY)
    path.unlink()
    with pytest.raises(VaultDamaged, match="missing or empty"):
        open_database(path, KEY)
    assert not path.exists()


def test_every_damaged_page_is_found_when_it_is_read(path: Path) -> None:
    content = path.read_bytes()
    for position in range(100, len(content), 4096):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(VaultDamaged):
            _read_all(path)
    path.write_bytes(content)
    assert rows(path) == 300


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_copy_is_one_private_file_under_the_key_that_was_asked_for(path: Path, tmp_path: Path, key: bytes) -> None:
    to = tmp_path / "copy.db"
    with closing(open_database(path, KEY)) as connection:
        connection.execute("INSERT INTO note VALUES (?)", (PLANTED,))  # still in the write-ahead log
        copy_database(connection, to, key)
    assert [file.name for file in tmp_path.glob("copy.db*")] == ["copy.db"]
    assert to.stat().st_mode & 0o777 == 0o600
    assert rows(to, key) == 301
    with pytest.raises(VaultDamaged):
        open_database(to, bytes(32))


def test_a_copy_that_does_not_fit_is_refused_before_it_is_begun(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(database.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with closing(open_database(path, KEY)) as connection, pytest.raises(VaultError, match=r"needs 16\.\d MiB"):
        copy_database(connection, tmp_path / "copy.db", KEY)
    assert not list(tmp_path.glob("copy.db*"))


def test_migrations_run_once_and_in_order(path: Path, steps: Callable[[dict[str, str]], None]) -> None:
    first = {"0001.sql": "CREATE TABLE one (x);\nINSERT INTO one VALUES ('a;b');"}
    second = first | {"0002.py": "def migrate(connection):\n    connection.execute('INSERT INTO one VALUES (2)')"}
    for files in (first, first, second, second):
        steps(files)
        with closing(open_database(path, KEY)) as connection:
            migrate(connection, path, KEY)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert version(path) == 2
    with closing(open_database(path, KEY)) as connection:
        assert connection.execute("SELECT x FROM one").fetchall() == [("a;b",), (2,)]
    assert not list(path.parent.glob("*.schema-*"))


def test_a_newer_schema_is_refused_in_a_sentence(path: Path, steps: Callable[[dict[str, str]], None]) -> None:
    steps({"0001.sql": "CREATE TABLE one (x);"})
    with closing(open_database(path, KEY)) as connection:
        connection.execute("PRAGMA user_version = 7")
        with pytest.raises(VaultError, match=r"newer edgemed \(schema 7, this one knows 1\); update edgemed"):
            migrate(connection, path, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "def migrate(connection):\n    connection.execute('DROP TABLE one')\n    raise ValueError",
        "def migrate(connection):\n    connection.execute('INSERT INTO child VALUES (99)')",  # refers to a missing row
    ],
)
def test_a_migration_that_fails_changes_nothing_and_leaves_the_copy(
    path: Path, steps: Callable[[dict[str, str]], None], text: str
) -> None:
    first = {
        "0001.sql": "CREATE TABLE one (id INTEGER PRIMARY KEY); CREATE TABLE child (one REFERENCES one (id));",
    }
    steps(first)
    with closing(open_database(path, KEY)) as connection:
        migrate(connection, path, KEY)
    steps(first | {"0002.py": text})
    with closing(open_database(path, KEY)) as connection:
        with pytest.raises((ValueError, VaultDamaged)):
            migrate(connection, path, KEY)
        assert not connection.in_transaction
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM one").fetchone() == (0,)
    assert rows(path.with_name("vault.db.schema-1")) == 300
    steps(first | {"0002.sql": "CREATE TABLE two (x);"})  # the mistake is mended
    with closing(open_database(path, KEY)) as connection:
        migrate(connection, path, KEY)
    assert not list(path.parent.glob("*.schema-*"))


def test_a_folder_that_cannot_be_written_is_told(path: Path) -> None:
    path.parent.chmod(0o500)
    path.chmod(0o400)
    try:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        with pytest.raises(VaultError, match="cannot be written"):
            open_database(path, KEY)
    finally:
        path.parent.chmod(0o700)
