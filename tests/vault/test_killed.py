"""kill -9 at any moment leaves a vault that opens, with everything that was committed.

EDGEMED_KILLS sets how often each action is killed (default 2); the moments differ from run to run.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from edgemed import settings
from edgemed.errors import VaultError, WrongPassphrase
from edgemed.vault import migrations
from edgemed.vault.audit import Entry
from edgemed.vault.audit_check import check_audit
from edgemed.vault.backup import back_up, restore
from edgemed.vault.folder import Vault, create, erase, exists, unlock
from testing.vault_writer import CHEAP, OTHER, PASSPHRASE, ROWS, TEXT, add_migrations, made

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EDGEMED_KILLS", "2"))
LONGEST = 0.25
"""Seconds after which a writer is killed at the latest; each action takes a small part of it."""


def kill(action: str, folder: Path) -> None:
    """Run a writer and kill it after a random time. None of the files that it leaves holds plain text."""
    command = [sys.executable, "-m", "testing.vault_writer", action, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stderr
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
        time.sleep(random.uniform(0, LONGEST))
        assert writer.poll() is None, writer.stderr.read()
        writer.kill()
    for path in folder.rglob("*"):
        if path.is_file():
            assert not plain_text_in(path.read_bytes()), path


def plain_text_in(content: bytes) -> bool:
    """Whether one of the words of every row is in there, in any encoding that SQLite or Python might use."""
    words = [word.encode(encoding) for word in TEXT.split() for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    return any(word in content for word in words)


def rows(vault: Vault) -> int:
    query = "SELECT count(*) FROM test_note WHERE text LIKE '%胸痛%'"
    return int(vault.do(lambda store: store.connection.execute(query).fetchone()[0]).result())


def whole(folder: Path, secret: str = PASSPHRASE) -> int:
    """Open a vault, check every page, and return its rows."""
    vault = unlock(folder, secret)
    try:
        vault.check().result()
        assert vault.notices() == []
        return rows(vault)
    finally:
        vault.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A closed vault with ROWS rows, in a folder with an empty folder `work`."""
    (tmp_path / "data" / "work").mkdir(parents=True)
    made(tmp_path / "data" / "vault")
    return tmp_path / "data"


@pytest.mark.parametrize("_", range(KILLS))
def test_creating(tmp_path: Path, _: int) -> None:
    kill("create", tmp_path / "many")
    for folder in (tmp_path / "many").glob("[0-9]*"):
        unlock(folder, PASSPHRASE).close()
        assert names(folder) == ["keys.json", "lock", "vault.db"]
    for left in (tmp_path / "many").glob(".*.new-*"):  # the next program that makes the same vault removes it
        folder = left.with_name(left.name.split(".")[1])
        create(folder, PASSPHRASE, cost=CHEAP)[0].close()
        assert not left.exists()


@pytest.mark.parametrize("_", range(KILLS))
def test_writing(place: Path, _: int) -> None:
    kill("write", place / "vault")
    assert whole(place / "vault") >= ROWS


@pytest.mark.parametrize("_", range(KILLS))
def test_recording(place: Path, _: int) -> None:
    kill("record", place / "vault")
    vault = unlock(place / "vault", PASSPHRASE)
    try:
        checked = vault.do(check_audit).result()
        assert checked.whole
        vault.do(lambda store: store.record(Entry.of("opened", None, "", {}))).result()
        assert vault.do(check_audit).result().rows == checked.rows + 1
    finally:
        vault.close()


@pytest.mark.parametrize("_", range(KILLS))
def test_changing_the_passphrase(place: Path, _: int) -> None:
    kill("passphrase", place / "vault")
    opened = []
    for secret in (PASSPHRASE, OTHER):
        try:
            assert whole(place / "vault", secret) == ROWS
            opened.append(secret)
        except WrongPassphrase:
            pass
    assert len(opened) == 1
    assert names(place / "vault") == ["keys.json", "lock", "vault.db"]


@pytest.mark.parametrize("_", range(KILLS))
def test_changing_the_key(place: Path, _: int) -> None:
    kill("rekey", place / "vault")
    assert whole(place / "vault") == ROWS
    assert len(names(place / "vault")) == 3


@pytest.mark.parametrize("_", range(KILLS))
def test_migrating(place: Path, monkeypatch: pytest.MonkeyPatch, _: int) -> None:
    kill("migrate", place)
    monkeypatch.setattr(migrations, "FOLDER", migrations.FOLDER)  # restored after the test
    add_migrations(place / "migrations", 0)
    newest = len(migrations.steps())
    for folder in (place / "work").iterdir():
        if names(folder) and (folder / "vault.db").stat().st_size == (place / "vault" / "vault.db").stat().st_size:
            continue  # killed while the test's own copy was made, or before the first migration
        vault = unlock(folder, PASSPHRASE)
        query = f"SELECT count(*) FROM test_note WHERE added_{newest} = text AND text LIKE '%胸痛%'"
        done = vault.do(lambda store, query=query: store.connection.execute(query).fetchone()[0]).result()
        assert done == ROWS
        vault.close()
        assert names(folder) == ["keys.json", "lock", "vault.db"]


@pytest.mark.parametrize("_", range(KILLS))
def test_backing_up(place: Path, _: int) -> None:
    kill("backup", place)
    assert whole(place / "vault") == ROWS
    work = place / "work"
    for backup in work.glob("*.backup"):
        restore(backup, place / backup.stem, PASSPHRASE)
        assert whole(place / backup.stem) == ROWS
    left = {path.name.lstrip(".").split(".")[0] for path in work.iterdir() if path.suffix != ".backup"}
    vault = unlock(place / "vault", PASSPHRASE)
    for number in left:  # a new backup of the same name removes what was left
        (work / f"{number}.backup").unlink(missing_ok=True)
        back_up(vault, work / f"{number}.backup")
    vault.close()
    assert all(name.endswith(".backup") and not name.startswith(".") for name in names(work))


@pytest.mark.parametrize("_", range(KILLS))
def test_erasing(place: Path, _: int) -> None:
    kill("erase", place)
    for folder in (place / "work").iterdir():
        if not exists(folder):
            continue
        try:
            assert whole(folder) == ROWS
        except VaultError:  # the keys are gone, or half overwritten
            erase(folder)
            assert not folder.exists()


@pytest.mark.parametrize("_", range(KILLS))
def test_changing_the_settings(tmp_path: Path, _: int) -> None:
    kill("settings", tmp_path)
    assert settings.load().problem is None
    settings.update(theme="dark")
    assert names(settings.settings_path().parent) == ["settings.json"]


def test_the_search_for_plain_text_finds_it_in_an_ordinary_database(tmp_path: Path) -> None:
    for encoding in ("UTF-8", "UTF-16le", "UTF-16be"):
        with closing(sqlite3.connect(tmp_path / encoding)) as plain:
            plain.execute(f"PRAGMA encoding = '{encoding}'")
            plain.execute("CREATE TABLE note (text TEXT)")
            plain.execute("INSERT INTO note VALUES (?)", (TEXT,))
            plain.commit()
        assert plain_text_in((tmp_path / encoding).read_bytes())
