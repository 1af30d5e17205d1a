"""Backup and restore, new secrets, a new data key, erasing."""

from __future__ import annotations

import concurrent.futures
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from edgemed.errors import UsageError, VaultBusy, VaultDamaged, VaultError, WrongPassphrase
from edgemed.vault import database, integrity, keys
from edgemed.vault.backup import back_up, restore
from edgemed.vault.folder import Vault, create, erase, exists, unlock
from tests.vault.conftest import CHEAP, PASSPHRASE, put, texts

NEW = "another long passphrase"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "vault"


@pytest.fixture
def vault(place: Path) -> Vault:
    """An open vault with one text."""
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    put(vault, "one")
    return vault


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def opened_texts(folder: Path, secret: str) -> list[str]:
    vault = unlock(folder, secret)
    try:
        assert vault.notices() == []
        return texts(vault)
    finally:
        vault.close()


def test_a_backup_of_an_open_vault_can_be_restored_elsewhere(vault: Vault, tmp_path: Path) -> None:
    backup = tmp_path / "my.backup"
    assert back_up(vault, backup) == backup.stat().st_size
    assert backup.stat().st_mode & 0o777 == 0o600
    put(vault, "two")
    vault.close()
    assert names(tmp_path) == ["data", "home", "my.backup"]
    other = tmp_path / "other"
    assert restore(backup, other, PASSPHRASE) is None
    assert opened_texts(other, PASSPHRASE) == ["one"]
    assert names(other) == ["keys.json", "lock", "vault.db"]
    assert {path.stat().st_mode & 0o777 for path in other.iterdir()} == {0o600}


def test_a_vault_that_is_there_is_kept_when_a_backup_is_restored(vault: Vault, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    back_up(vault, backup)
    put(vault, "two")
    with pytest.raises(VaultBusy):
        restore(backup, vault.folder, PASSPHRASE)
    vault.close()
    kept = restore(backup, vault.folder, PASSPHRASE)
    assert kept is not None
    assert kept.name.startswith("vault.before-restore-")
    assert opened_texts(vault.folder, PASSPHRASE) == ["one"]
    kept_vault = unlock(kept, PASSPHRASE)
    assert texts(kept_vault) == ["one", "two"]
    kept_vault.close()


def test_a_backup_can_be_unpacked_by_hand(vault: Vault, tmp_path: Path) -> None:
    back_up(vault, tmp_path / "backup")
    vault.close()
    with tarfile.open(tmp_path / "backup") as archive:
        archive.extractall(tmp_path / "by-hand", filter="data")
    by_hand = unlock(tmp_path / "by-hand", PASSPHRASE)
    assert texts(by_hand) == ["one"]
    by_hand.close()


def test_a_backup_opens_with_the_passphrase_of_its_time(vault: Vault, tmp_path: Path) -> None:
    back_up(vault, tmp_path / "backup")
    vault.change_passphrase(PASSPHRASE, NEW)
    vault.close()
    with pytest.raises(WrongPassphrase):
        restore(tmp_path / "backup", tmp_path / "other", NEW)
    assert not (tmp_path / "other").exists()
    restore(tmp_path / "backup", tmp_path / "other", PASSPHRASE)


def test_a_backup_never_replaces_a_file_and_not_in_the_vault(vault: Vault, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        back_up(vault, backup)
    assert backup.read_text() == "mine"
    with pytest.raises(VaultError, match="own folder"):
        back_up(vault, vault.folder / "backup")
    (vault.folder / "below").mkdir()
    with pytest.raises(VaultError, match="own folder"):
        back_up(vault, vault.folder / "below" / "backup")
    (vault.folder / "below").rmdir()
    with pytest.raises(UsageError, match="no folder"):
        back_up(vault, tmp_path / "nowhere" / "backup")
    vault.close()
    assert names(vault.folder) == ["keys.json", "lock", "vault.db"]


def test_a_backup_touches_no_other_file_and_needs_no_modes(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as on a memory stick's file system

    others = [tmp_path / f"backup{suffix}" for suffix in (".database", ".db", ".database-wal", ".new", ".copy")]
    for other in others:
        other.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", refuse)
        back_up(vault, tmp_path / "backup")
        vault.close()
        restore(tmp_path / "backup", tmp_path / "other", PASSPHRASE)
    assert [other.read_text() for other in others] == ["mine"] * 5
    assert names(tmp_path) == sorted(["backup", *(other.name for other in others), "data", "home", "other"])


def test_a_backup_that_cannot_be_read_back_is_not_kept(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> Future[None]:
        result: Future[None] = Future()
        result.set_exception(VaultDamaged("vault.db is damaged."))
        return result

    monkeypatch.setattr(integrity, "check", damaged)
    with pytest.raises(VaultDamaged):
        back_up(vault, tmp_path / "backup")
    vault.close()
    assert names(tmp_path) == ["data", "home"]


def test_every_part_of_a_backup_is_checked(vault: Vault, tmp_path: Path) -> None:
    backup, other = tmp_path / "backup", tmp_path / "other"
    back_up(vault, backup)
    vault.close()
    content = backup.read_bytes()
    with tarfile.open(backup) as archive:
        parts = [(member.offset_data, member.size) for member in archive.getmembers()]
    flips = [start + size * step // 7 for start, size in parts for step in range(7)] + [0, 140]
    for position in flips:
        backup.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(VaultDamaged):
            restore(backup, other, PASSPHRASE)
    for length in (0, 100, 512, parts[1][0], parts[1][0] + 4096, parts[1][0] + parts[1][1] - 1):
        backup.write_bytes(content[:length])
        with pytest.raises(VaultDamaged, match="not a whole backup"):
            restore(backup, other, PASSPHRASE)
    assert names(tmp_path) == ["backup", "data", "home"]
    backup.unlink()
    for wrong in (backup, tmp_path):
        with pytest.raises(VaultError, match="There is no file"):
            restore(wrong, other, PASSPHRASE)


def test_an_archive_cannot_write_elsewhere(vault: Vault, tmp_path: Path) -> None:
    """Only the two members are read, and only if they are regular files."""
    back_up(vault, tmp_path / "backup")
    vault.close()
    (tmp_path / "unpacked").mkdir()
    with tarfile.open(tmp_path / "backup") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    hostile = tmp_path / "hostile"
    with tarfile.open(hostile, "w") as archive:
        archive.add(tmp_path / "unpacked" / "keys.json", "keys.json")
        archive.add(tmp_path / "unpacked" / "keys.json", "../escaped")
        link = tarfile.TarInfo("vault.db")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "target")
        archive.addfile(link)
    with pytest.raises(VaultDamaged):
        restore(hostile, tmp_path / "other", PASSPHRASE)
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path / "other").exists()


def test_a_changed_passphrase_replaces_the_old_one(vault: Vault) -> None:
    vault.change_passphrase(PASSPHRASE, NEW)
    vault.close()
    with pytest.raises(WrongPassphrase):
        unlock(vault.folder, PASSPHRASE)
    assert opened_texts(vault.folder, NEW) == ["one"]


def test_recovery_words_are_enough_for_a_new_passphrase(place: Path) -> None:
    vault, recovery = create(place, PASSPHRASE, cost=CHEAP)
    vault.change_passphrase(" ".join(recovery), NEW, cost=keys.Cost(128, 1, 1))
    put(vault, "one")
    vault.close()
    assert opened_texts(place, NEW) == ["one"]
    assert opened_texts(place, " ".join(recovery)) == ["one"]
    found, _ = keys.read_keys(place)
    assert found.slots["passphrase"].cost == keys.Cost(128, 1, 1)


def test_new_recovery_words_replace_the_old_ones(place: Path) -> None:
    vault, old = create(place, PASSPHRASE, cost=CHEAP)
    new = vault.new_recovery_words(PASSPHRASE)
    put(vault, "one")
    vault.close()
    assert old != new
    with pytest.raises(WrongPassphrase):
        unlock(place, " ".join(old))
    assert opened_texts(place, " ".join(new)) == ["one"]
    assert opened_texts(place, PASSPHRASE) == ["one"]


def _passphrase(vault: Vault, secret: str) -> None:
    vault.change_passphrase(secret, NEW)


@pytest.mark.parametrize("change", [_passphrase, Vault.new_recovery_words, Vault.rekey])
def test_an_open_vault_still_asks_for_the_passphrase_before_a_change(
    vault: Vault, change: Callable[[Vault, str], object]
) -> None:
    before = (vault.folder / "keys.json").read_bytes()
    with pytest.raises(WrongPassphrase):
        change(vault, "typed by someone passing by")
    assert (vault.folder / "keys.json").read_bytes() == before
    vault.close()


def test_a_weak_new_passphrase_is_refused(vault: Vault) -> None:
    with pytest.raises(VaultError, match="at least 12"):
        vault.change_passphrase(PASSPHRASE, "short")
    vault.close()
    assert opened_texts(vault.folder, PASSPHRASE) == ["one"]


def test_a_new_key_leaves_nothing_that_the_old_key_opens(place: Path) -> None:
    vault, old_words = create(place, PASSPHRASE, cost=CHEAP)
    put(vault, "one")
    old_key = vault.data_key
    new_words = vault.rekey(PASSPHRASE)
    put(vault, "two")
    assert texts(vault) == ["one", "two"]
    vault.check().result()
    vault.close()
    (name,) = [name for name in names(place) if name.endswith(".db")]
    assert names(place) == ["keys.json", "lock", name]
    with pytest.raises(VaultDamaged):
        database.open_database(place / name, old_key)
    with pytest.raises(WrongPassphrase):
        unlock(place, " ".join(old_words))
    assert opened_texts(place, PASSPHRASE) == ["one", "two"]
    assert opened_texts(place, " ".join(new_words)) == ["one", "two"]


def test_a_new_key_needs_the_passphrase(place: Path) -> None:
    vault, recovery = create(place, PASSPHRASE, cost=CHEAP)
    with pytest.raises(VaultError, match="needs the passphrase"):
        vault.rekey(" ".join(recovery))
    vault.close()


def test_a_change_of_keys_is_finished_although_it_is_interrupted(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = concurrent.futures.wait
    interrupts = iter([True, True])

    def interrupted(futures: list[Future[None]]) -> None:
        if next(interrupts, False):
            raise KeyboardInterrupt
        wait(futures)

    monkeypatch.setattr("edgemed.vault.folder.wait", interrupted)
    recovery = vault.rekey(PASSPHRASE)
    vault.close()
    assert opened_texts(vault.folder, " ".join(recovery)) == ["one"]


@pytest.mark.parametrize("step", ["database.copy_database", "integrity.check", "keys.write_keys"])
def test_a_new_key_that_fails_leaves_the_old_one(vault: Vault, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise VaultError("the disk broke")

    with monkeypatch.context() as patch:
        patch.setattr(f"edgemed.vault.folder.{step}", fail)
        with pytest.raises(VaultError, match="the disk broke"):
            vault.rekey(PASSPHRASE)
    put(vault, "two")
    vault.close()
    assert names(vault.folder) == ["keys.json", "lock", "vault.db"]
    assert opened_texts(vault.folder, PASSPHRASE) == ["one", "two"]


def test_what_an_interrupted_change_of_key_left_is_removed(vault: Vault) -> None:
    vault.close()
    left = [vault.folder / f"vault-0123abcd.db{suffix}" for suffix in ("", "-wal", ".partial")]
    for path in (*left, vault.folder / "keys.json.partial", vault.folder / "vault-copy.db", vault.folder / "notes.txt"):
        path.write_bytes(b"x")
    unlock(vault.folder, PASSPHRASE).close()
    assert names(vault.folder) == ["keys.json", "lock", "notes.txt", "vault-copy.db", "vault.db"]


def test_a_backup_after_a_new_key_can_be_restored(vault: Vault, tmp_path: Path) -> None:
    vault.rekey(PASSPHRASE)
    back_up(vault, tmp_path / "backup")
    vault.close()
    restore(tmp_path / "backup", tmp_path / "other", PASSPHRASE)
    assert opened_texts(tmp_path / "other", PASSPHRASE) == ["one"]


def test_the_check_finds_a_damaged_page_beside_an_open_vault(vault: Vault) -> None:
    for number in range(200):
        put(vault, f"text {number} " * 50)
    vault.check().result()
    vault.do(lambda store: store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()).result()
    with vault.database.open("r+b") as file:
        file.seek(5 * 4096 + 17)
        byte = file.read(1)[0]
        file.seek(5 * 4096 + 17)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(VaultDamaged, match=r"is damaged \(1 pages\); keep a copy"):
        vault.check().result()
    vault.close()


@pytest.mark.slow
def test_the_check_raises_no_false_alarm_while_the_vault_is_written(vault: Vault) -> None:
    checks = []
    for number in range(1500):
        vault.do(lambda store, n=number: store.connection.execute("INSERT INTO test_note VALUES (?)", (str(n) * 900,)))
        if number % 50 == 0:
            checks.append(vault.check())
            vault.do(lambda store: store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())
    for check in checks:
        check.result()
    vault.close()


def test_erasing_removes_our_files_only(vault: Vault) -> None:
    with pytest.raises(VaultBusy):
        erase(vault.folder)
    vault.close()
    (vault.folder / "notes.txt").write_text("mine")
    held = os.open(vault.folder / "keys.json", os.O_RDONLY)
    before = (vault.folder / "keys.json").read_bytes()
    erase(vault.folder)
    assert os.pread(held, len(before), 0) != before  # overwritten before it was unlinked
    os.close(held)
    assert names(vault.folder) == ["notes.txt"]
    assert not exists(vault.folder)
    (vault.folder / "notes.txt").unlink()
    create(vault.folder, PASSPHRASE, cost=CHEAP)[0].close()
    erase(vault.folder)
    assert not vault.folder.exists()
