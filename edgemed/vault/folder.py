"""A vault's folder: where it is, and how it is created, opened and closed."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edgemed import settings
from edgemed.clinical.language import Language
from edgemed.errors import EdgemedError, VaultError
from edgemed.private_files import sync_folder, unwritable
from edgemed.vault import database, keys, notices, words
from edgemed.vault.keys import DEFAULT, Cost, Keys
from edgemed.vault.lock import VaultLock
from edgemed.vault.store import Store

T = TypeVar("T")

FIRST_DATABASE = "vault.db"


def default_folder() -> Path:
    """`$XDG_DATA_HOME/edgemed/vault`. Raises SetupError if the user has no home folder."""
    return settings.xdg_folder("XDG_DATA_HOME", ".local/share") / "vault"


def exists(folder: Path) -> bool:
    """Whether there is a vault, also one with a file missing: `unlock` says what is wrong, `create` refuses."""
    return any(os.path.lexists(folder / name) for name in (keys.NAME, FIRST_DATABASE))


def create(folder: Path, passphrase: str, *, cost: Cost = DEFAULT) -> tuple[Vault, list[str]]:
    """Make a vault and open it. Returns its recovery words too, which nothing stores.

    It is made in a folder beside its place and then renamed, so that there is a whole vault or none. Raises VaultError.
    """
    words.refuse_weak(passphrase)
    _refuse_taken(folder)
    making = _new_folder_beside(folder)
    held = None
    try:
        held = VaultLock(making)
        recovery = words.new_recovery_words()
        made, data_key = Keys.new(passphrase, recovery, cost)
        keys.write_keys(making, made, data_key)
        path = making / made.database
        connection = database.create_database(path, data_key)
        try:
            database.migrate(connection, path, data_key)
        finally:
            connection.close()
        try:
            making = making.rename(folder)
        except OSError as error:
            raise VaultError(unwritable(folder, error)) from None
        sync_folder(folder.parent)
        return Vault(folder, held, made, data_key), recovery
    except BaseException:
        if held:
            held.release()
        shutil.rmtree(making, ignore_errors=True)
        raise


def unlock(folder: Path, secret: str) -> Vault:
    """Open a vault with its passphrase or recovery words. Takes about a second and the memory of the stored cost.

    Raises WrongPassphrase, VaultBusy, VaultDamaged or VaultError.
    """
    open_to_others = _check_folder(folder)
    held = VaultLock(folder)
    try:
        found, mac = keys.read_keys(folder)
        data_key = found.open(secret)
        keys.check_mac(found, mac, data_key, folder / keys.NAME)
        vault = Vault(folder, held, found, data_key)
    except BaseException:
        held.release()
        raise
    if open_to_others:
        vault.found.append("open to others")
    return vault


class Vault:
    """An open vault. Its one thread owns the database connection; `do` gives it work.

    `folder` and `keys` are public for the modules of this package. `found` lists what the user should be told.
    """

    def __init__(self, folder: Path, held: VaultLock, opened: Keys, data_key: bytes) -> None:
        """Open the database. Raises VaultError; the caller keeps the lock then."""
        self.folder = folder
        self.keys = opened
        self.data_key = data_key
        self.found: list[notices.Notice] = []
        self._lock = held
        self._thread = ThreadPoolExecutor(1, "vault")
        try:
            self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    @property
    def database(self) -> Path:
        return self.folder / self.keys.database

    def do(self, work: Callable[[Store], T]) -> Future[T]:
        """Run `work` on the vault's thread, after all work given before.

        A transaction that `work` leaves open is rolled back. The future raises VaultError for a full or broken disk or
        a damaged database, and so does this method once the vault is closed.
        """
        try:
            return self._thread.submit(self._do, work)
        except RuntimeError:
            raise VaultError("The vault is closed; unlock it again.") from None

    def notices(self, language: Language = "en") -> list[str]:
        """Sentences that the user should see now."""
        told = [notices.sentence(notice, language) for notice in self.found]
        return told + list(filter(None, [notices.low_disk(self.folder, language)]))

    def size(self) -> int:
        """Bytes of the vault's files."""
        total = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                total += path.lstat().st_size
        return total

    def close(self) -> None:
        """Finish the work that was given, close the database and release the lock. Closing twice does nothing."""
        with suppress(RuntimeError):  # closed already
            self._thread.submit(self._close)
        self._thread.shutdown()
        self._lock.release()

    def _open(self) -> None:
        self._connection = database.open_database(self.database, self.data_key)
        try:
            database.migrate(self._connection, self.database, self.data_key)
            with database.explained(self.database):
                self._count_opening()
            self._remove_leftovers()
            self._store = Store(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def _do(self, work: Callable[[Store], T]) -> T:
        with database.explained(self.database):
            try:
                return work(self._store)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _close(self) -> None:
        with suppress(EdgemedError), database.explained(self.database):
            self._count_opening()
        self._connection.close()

    def _count_opening(self) -> None:
        """Count openings and closings in the database and in the settings. A copy that is put back has counted less.

        `application_id` is the one number of SQLite's header that is ours and needs no table.
        """
        count: int = self._connection.execute("PRAGMA application_id").fetchone()[0] + 1
        known = settings.load().vaults
        last = known.get(self.keys.vault_id, 0)
        if count <= last:
            self.found.append("older copy")
            count = last + 1  # said once
        self._connection.execute(f"PRAGMA application_id = {count}")
        with suppress(EdgemedError):  # settings that cannot be written only cost this check
            settings.update(vaults=known | {self.keys.vault_id: count})

    def _remove_leftovers(self) -> None:
        """Delete what an interrupted `rekey` left: databases that keys.json does not name."""
        for path in self.folder.iterdir():
            if keys.is_database(path.name) and path.name != self.keys.database:
                database.remove_database(path)


def _refuse_taken(folder: Path) -> None:
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
    if any(folder.iterdir()):
        raise VaultError(f"{folder} holds other files; name a new or an empty folder for the vault.")


def _new_folder_beside(folder: Path) -> Path:
    """An empty folder with mode 0700 on the same disk. Removes those of programs that were killed."""
    beginning = f".{folder.name}.new-"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{glob.escape(beginning)}*"):
            _remove_abandoned(left)
        making = folder.with_name(beginning + secrets.token_hex(4))
        making.mkdir(mode=0o700)
    except OSError as error:
        raise VaultError(unwritable(folder, error)) from None
    return making


def _remove_abandoned(left: Path) -> None:
    with suppress(EdgemedError, OSError):
        held = VaultLock(left)  # VaultBusy: another program is making a vault at this moment
        shutil.rmtree(left, ignore_errors=True)
        held.release()


def _check_folder(folder: Path) -> bool:
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
