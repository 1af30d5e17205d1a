"""A disk that fails at each write of each action on a vault, in one process with full_disk.so preloaded.

python -m testing.vault_faults FOLDER MOST ERRNO      (LD_PRELOAD=full_disk.so)

For each action, the disk fails from the first, second, ... call that needs space; of more than MOST calls, some are
tried, spread over all. Prints one line for each action: how many calls failed, and
the sentences that were shown. An action must succeed or raise an EdgemedError, and the vault must be whole afterwards.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemed import settings
from edgemed.errors import EdgemedError
from edgemed.vault.audit import Entry
from edgemed.vault.audit_check import check_audit
from edgemed.vault.backup import back_up, restore
from edgemed.vault.folder import create, exists, unlock
from testing.vault_writer import CHEAP, OTHER, PASSPHRASE, ROWS, TEXT, add_migrations, made

_disk = ctypes.CDLL(None)


def fail_from(folder: Path | None, error: int, skip: int) -> None:
    """Let the disk fail below `folder` after `skip` calls; None mends it."""
    _disk.full_disk(str(folder).encode() if folder else b"", error, ctypes.c_long(skip))


NEVER = 1 << 30
_skipped = [0]
"""How many more calls would have been let through when the last action ended."""


def failed() -> int:
    return int(_disk.full_disk_failed())


def whole(folder: Path, secret: str = PASSPHRASE, least: int = ROWS) -> None:
    """Raise unless the vault opens, every page is right and every committed row is there."""
    vault = unlock(folder, secret)
    try:
        vault.check().result()
        found = vault.do(
            lambda store: store.connection.execute("SELECT count(*) FROM test_note").fetchone()[0]
        ).result()
        assert found >= least, f"{found} rows of {least}"
    finally:
        vault.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _create(at: Path) -> None:
    create(at / "new" / "vault", PASSPHRASE, cost=CHEAP)[0].close()


def _create_left(at: Path, done: bool) -> None:
    if done:
        unlock(at / "new" / "vault", PASSPHRASE).close()
    assert names(at / "new") == (["vault"] if done else []), names(at / "new")


def _unlock(at: Path) -> None:
    unlock(at / "vault", PASSPHRASE).close()


def _whole(at: Path, done: bool) -> None:
    whole(at / "vault")


_committed: list[int] = []
"""Rows that the last `_write` or `_record` was told are on the disk."""


def _write(at: Path) -> None:
    _committed[:] = [ROWS]
    vault = unlock(at / "vault", PASSPHRASE)
    insert = "INSERT INTO test_note (text) VALUES (?)"
    try:
        for _ in range(3):
            vault.do(lambda store: store.connection.execute(insert, (TEXT,))).result()
            _committed[0] += 1
    finally:
        vault.close()


def _written(at: Path, done: bool) -> None:
    whole(at / "vault", least=_committed[0])


def _record(at: Path) -> None:
    _committed[:] = [0]
    vault = unlock(at / "vault", PASSPHRASE)
    try:
        for _ in range(3):
            vault.do(lambda store: store.record(Entry.of("copied", None, "", {}))).result()
            _committed[0] += 1
    finally:
        vault.close()


def _recorded(at: Path, done: bool) -> None:
    whole(at / "vault")
    vault = unlock(at / "vault", PASSPHRASE)
    checked = vault.do(check_audit).result()
    vault.close()
    assert checked.whole
    assert checked.rows >= _committed[0]


def _passphrase(at: Path) -> None:
    vault = unlock(at / "vault", PASSPHRASE)
    try:
        vault.change_passphrase(PASSPHRASE, OTHER)
    finally:
        vault.close()


def _one_passphrase(at: Path, done: bool) -> None:
    whole(at / "vault", OTHER if done else PASSPHRASE)


def _rekey(at: Path) -> None:
    vault = unlock(at / "vault", PASSPHRASE)
    try:
        vault.rekey(PASSPHRASE)
    finally:
        vault.close()


def _backup(at: Path) -> None:
    vault = unlock(at / "vault", PASSPHRASE)
    try:
        back_up(vault, at / "backup")
    finally:
        vault.close()


def _backup_left(at: Path, done: bool) -> None:
    whole(at / "vault")
    if done:
        restore(at / "backup", at / "restored", PASSPHRASE)
        whole(at / "restored")
    else:
        assert names(at) == ["vault"], names(at)


def _restore(at: Path) -> None:
    restore(at.parent / "backup", at / "vault", PASSPHRASE)


def _restored(at: Path, done: bool) -> None:
    assert exists(at / "vault")
    whole(at / "vault")
    assert len(names(at)) == (2 if done else 1), names(at)


def _settings(at: Path) -> None:
    settings.update(theme="dark")


def _settings_left(at: Path, done: bool) -> None:
    assert settings.load().problem is None
    assert settings.load().theme == ("dark" if done else "light")


@dataclass(frozen=True)
class Action:
    do: Callable[[Path], None]
    check: Callable[[Path, bool], None]
    """Gets whether the action succeeded."""


ACTIONS = {
    "create": Action(_create, _create_left),
    "unlock": Action(_unlock, _whole),
    "write": Action(_write, _written),
    "record": Action(_record, _recorded),
    "passphrase": Action(_passphrase, _one_passphrase),
    "rekey": Action(_rekey, _whole),
    "backup": Action(_backup, _backup_left),
    "restore": Action(_restore, _restored),
    "settings": Action(_settings, _settings_left),
    "migrate": Action(_unlock, _whole),  # the last: its migrations stay
}


def tried(action: Action, pattern: Path, at: Path, error: int, skip: int) -> tuple[int, str]:
    """Run an action on a copy of a vault with a disk that fails; return how many calls failed, and the sentence."""
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    shutil.copytree(pattern, at / "vault")
    settings.update(theme="light")
    sentence = ""
    fail_from(at if action is not ACTIONS["settings"] else settings.settings_path().parent, error, skip)
    try:
        action.do(at)
    except EdgemedError as told:
        sentence = str(told)
        assert sentence.endswith("."), sentence
    finally:
        count = failed()
        _skipped[0] = int(_disk.full_disk_skips())
        fail_from(None, 0, 0)
    action.check(at, not sentence)
    return count, sentence


def main() -> None:
    folder, most, error = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    pattern, at = folder / "pattern", folder / "at"
    made(pattern)
    backed_up = unlock(pattern, PASSPHRASE)
    back_up(backed_up, folder / "backup")
    backed_up.close()
    for name, action in ACTIONS.items():
        if name == "migrate":
            add_migrations(folder / "migrations", 2)
        total = _calls(action, pattern, at, error)
        step = max(1, total // most)
        sentences = set()
        tries = range(0, total, step)
        for skip in tries:
            count, sentence = tried(action, pattern, at, error, skip)
            assert count or not sentence, f"{name} at {skip}: {sentence}"
            sentences.add(sentence.replace(str(folder), "..."))
        print(f"{name}: {len(tries)} of {total}: {sorted(sentences - {''})}", flush=True)


def _calls(action: Action, pattern: Path, at: Path, error: int) -> int:
    """How many calls of an action need space."""
    count, sentence = tried(action, pattern, at, error, NEVER)
    assert not count, "the disk did not fail"
    assert not sentence, sentence
    return NEVER - _skipped[0]


if __name__ == "__main__":
    main()
