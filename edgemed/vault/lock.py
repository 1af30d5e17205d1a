"""One program at a time: a program that uses a vault holds a lock on the file `lock` in its folder."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from edgemed.errors import VaultBusy, VaultError
from edgemed.private_files import unwritable

NAME = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class VaultLock:
    """The lock of a vault's folder. It ends with `release`, or with the process.

    The file holds the process id of its holder, for the sentence that a second program prints.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises VaultBusy, which names the holder, or VaultError."""
        self._path = folder / NAME
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise VaultError(f"{self._path} is a symbolic link; remove it.") from None
            raise VaultError(unwritable(self._path, error, "make the folder writable, or choose another")) from None
        try:
            self._hold(folder)
        except BaseException:
            os.close(self._file)
            raise

    def _hold(self, folder: Path) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise VaultError(f"{self._path} is not a regular file; remove it.")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VaultBusy(
                f"Another edgemed{self._holder()} has the vault in {folder} open; close it there first."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:  # a file system without locks cannot keep two programs apart
                raise VaultError(unwritable(self._path, error)) from None
        with suppress(OSError):  # on a full disk the sentence names no process
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> str:
        text = os.pread(self._file, 20, 0).strip()
        return f" (process {int(text)})" if text.isdigit() else ""

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
