"""Where a vault may lie: checks of its folder, and new folders beside it."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from edgemed.errors import EdgemedError, VaultError
from edgemed.private_files import sync_folder, unwritable
from edgemed.vault import keys, lock
from edgemed.vault.lock import VaultLock

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def exists(folder: Path) -> bool:
    """Whether there is a vault, also one with a file missing: `unlock` says what is wrong, `create` refuses."""
    with suppress(OSError):
        return any(path.name == keys.NAME or keys.database_of(path.name) for path in folder.iterdir())
    return False


def refuse_taken(folder: Path) -> None:
    """Raise VaultError if `folder` is anything but missing or empty."""
    if exists(folder):
        raise VaultError(f"There is a vault in {folder} already; unlock it, or name another folder.")
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise VaultError(unwritable(folder, error)) from None
    if not stat.S_ISDIR(status.st_mode):
        raise VaultError(f"{folder} is not a folder; name another place for the vault.")
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        raise VaultError(f"{folder} cannot be read: {error.strerror}.") from None
    if not empty:
        raise VaultError(f"{folder} holds other files; name a new or an empty folder for the vault.")


def new_folder_beside(folder: Path, *, kept: bool = False) -> Path:
    """An empty folder with mode 0700 on the same disk. Removes those of programs that were killed.

    kept: it will hold a vault that a restored one replaces, so no program may remove it.
    """
    beginning = f".{folder.name}.new-"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{glob.escape(beginning)}*"):
            _remove_abandoned(left)
        name = beginning + secrets.token_hex(4)
        if kept:
            name = f"{folder.name}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
        making = folder.with_name(name)
        making.mkdir(mode=0o700)
    except OSError as error:
        raise VaultError(unwritable(folder, error)) from None
    return making


def _remove_abandoned(left: Path) -> None:
    with suppress(EdgemedError, OSError):
        held = VaultLock(left)  # VaultBusy: another program is making a vault at this moment
        shutil.rmtree(left, ignore_errors=True)
        held.release()


def check_folder(folder: Path) -> bool:
    """Raise VaultError unless `folder` is a vault of ours. Returns whether other users can open the folder."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        raise VaultError(f"There is no vault in {folder}; open `edgemed chat` to make one.") from None
    except OSError as error:
        raise VaultError(f"{folder} cannot be read: {error.strerror}.") from None
    if stat.S_ISLNK(status.st_mode):
        raise VaultError(f"{folder} is a symbolic link; name the folder that it points to.")
    if not stat.S_ISDIR(status.st_mode):
        raise VaultError(f"{folder} is not a folder; name the vault's folder.")
    if status.st_uid != os.geteuid():
        raise VaultError(f"{folder} belongs to another user; each clinician has a vault.")
    if not exists(folder):
        raise VaultError(f"{folder} holds no vault; name another folder.")
    return not _closed(folder)


def _closed(folder: Path) -> bool:
    """Give the folder mode 0700 and its files 0600; False on a disk that keeps no modes."""
    with suppress(OSError):
        for path in (folder, *folder.iterdir()):
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                raise VaultError(f"{path} is a symbolic link; replace it by the file itself.")
            if status.st_mode & 0o077:
                path.chmod(stat.S_IMODE(status.st_mode) & 0o700)
    return not folder.lstat().st_mode & 0o077


def exchange(one: Path, other: Path) -> None:
    """Let two folders trade their names, in one step where the file system can do that. Raises OSError."""
    names = (os.fsencode(one), os.fsencode(other))
    if _libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    between = other.with_name(f".{other.name}.between-{secrets.token_hex(4)}")
    other.rename(between)
    one.rename(other)
    between.rename(one)


def remove_vault_files(folder: Path) -> None:
    """Delete our files in a folder, then the folder if nothing else is in it. Raises OSError."""
    for path in folder.iterdir():
        if path.name == lock.NAME or path.name.startswith(keys.NAME) or keys.database_of(path.name):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
        sync_folder(folder.parent)


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # SQLite removes a file at this moment
            total += path.lstat().st_size
    return total
