"""A backup is one tar file with the keys and a copy of the database, encrypted as they are in the vault.

Anyone can unpack it by hand into a folder and has a vault. It opens with the passphrase of the time it was made.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed import outputs, settings
from edgemed.errors import VaultDamaged, VaultError
from edgemed.private_files import sync_folder, unwritable
from edgemed.vault import database, integrity, keys, place
from edgemed.vault.folder import Vault
from edgemed.vault.keys import Keys
from edgemed.vault.lock import VaultLock

if TYPE_CHECKING:
    from sqlite3 import Connection


def back_up(vault: Vault, to: Path) -> int:
    """Write a backup of an open vault to `to`, read it back and check every page. Returns its size in bytes.

    Needs twice that size beside `to` for a moment. Raises UsageError for a name that is taken, VaultError, SetupError.
    Nothing is left then.
    """
    outputs.check_outputs([to])
    if to.resolve().is_relative_to(vault.folder.resolve()):
        raise VaultError("A backup in the vault's own folder is lost with it; name a place on another disk.")
    with outputs.claimed(to):
        partial = outputs.partial_of(to)
        making = place.new_folder_beside(to)
        try:
            copy = making / "copy"
            opened, data_key = vault.do(lambda store: _snapshot(vault, store.connection, copy)).result()
            _write(partial, opened.encode(data_key), copy, opened.database)
            copy.unlink()
            _verify(partial, making, data_key)
            size = partial.stat().st_size
        except OSError as error:
            raise VaultError(unwritable(to, error)) from None
        finally:
            shutil.rmtree(making, ignore_errors=True)
        outputs.place(to)
    sync_folder(to.absolute().parent)
    return size


def restore(backup: Path, folder: Path, secret: str) -> Path | None:
    """Make a vault in `folder` from a backup. `secret` is the passphrase of the backup's time, or recovery words.

    A vault that is there already is kept beside it; returns where. There is a vault in `folder` at every moment then.
    Raises WrongPassphrase, VaultBusy, VaultDamaged or VaultError; nothing has changed then.
    """
    if not backup.is_file():
        raise VaultError(f"There is no file {backup}; name the backup of a vault.")
    before = _lock_existing(folder)
    making = None
    try:
        making = place.new_folder_beside(folder, kept=before is not None)
        _unpack_and_check(backup, making, secret)
        if before is None:
            making.rename(folder)
        else:
            place.exchange(making, folder)
    except BaseException as error:
        if making:
            shutil.rmtree(making, ignore_errors=True)
        if isinstance(error, OSError):
            raise VaultError(unwritable(folder, error)) from None
        raise
    finally:
        if before:
            before.release()
    sync_folder(folder.parent)
    return making if before else None


def _unpack_and_check(backup: Path, making: Path, secret: str) -> None:
    held = VaultLock(making)
    try:
        opened, mac = _unpack(backup, making)
        data_key = opened.open(secret)
        keys.check_mac(opened, mac, data_key, backup)
        _check(making / opened.database, data_key)
        _count_as_newest(making / opened.database, data_key, opened.vault_id)
    finally:
        held.release()


def _snapshot(vault: Vault, connection: Connection, copy: Path) -> tuple[Keys, bytes]:
    """Runs on the vault's thread, where nothing else changes keys or database."""
    database.copy_database(connection, copy, vault.data_key)
    return vault.keys, vault.data_key


def _write(path: Path, encoded_keys: bytes, copy: Path, name: str) -> None:
    with path.open("r+b") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(_member(keys.NAME, len(encoded_keys)), io.BytesIO(encoded_keys))
            with copy.open("rb") as content:
                archive.addfile(_member(name, copy.stat().st_size), content)
        file.flush()
        os.fsync(file.fileno())
        # Reading it back should ask the disk, not the page cache.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


def _verify(backup: Path, folder: Path, data_key: bytes) -> None:
    """Raise VaultDamaged unless the backup can be restored. Unpacks it into `folder`, encrypted as it is."""
    opened, mac = _unpack(backup, folder)
    keys.check_mac(opened, mac, data_key, backup)
    _check(folder / opened.database, data_key)


def _check(path: Path, data_key: bytes) -> None:
    integrity.check(path, data_key).result()


def _unpack(backup: Path, folder: Path) -> tuple[Keys, str]:
    """Write a backup's two files into `folder`; return its keys and their HMAC. Any other member is ignored."""
    damaged = VaultDamaged(f"{backup} is not a whole backup of a vault; try another one.")
    try:
        with tarfile.open(backup, "r:") as archive:
            _extract(archive, keys.NAME, folder)
            try:
                opened, mac = keys.read_keys(folder)
            except VaultDamaged:
                raise damaged from None
            _extract(archive, opened.database, folder)
    except (tarfile.TarError, KeyError, EOFError, ValueError):
        raise damaged from None
    except OSError as error:
        if error.filename and Path(error.filename) == backup:
            raise VaultError(f"{backup} cannot be read: {error.strerror}.") from None
        raise
    return opened, mac


def _extract(archive: tarfile.TarFile, name: str, folder: Path) -> None:
    """Write a regular file of an archive into `folder`. Raises KeyError if there is none of that name."""
    member = archive.getmember(name)
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise KeyError(name)
    file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as written:
        shutil.copyfileobj(content, written)
        written.flush()
        os.fsync(file)


def _count_as_newest(path: Path, data_key: bytes, vault_id: str) -> None:
    """A restored vault is older on purpose: without this, its next opening would say so."""
    with closing(database.open_database(path, data_key)) as connection, database.explained(path):
        count = max(database.openings(connection), settings.load().vaults.get(vault_id, 0))
        database.set_openings(connection, count)


def _lock_existing(folder: Path) -> VaultLock | None:
    """Lock the vault that is in `folder`; None if there is nothing. Raises VaultBusy, VaultError for anything else."""
    if place.exists(folder):
        place.check_folder(folder)
        return VaultLock(folder)
    place.refuse_taken(folder)
    return None
