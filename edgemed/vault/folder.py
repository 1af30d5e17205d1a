"""A vault's folder: where it is, and how it is created, opened and closed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edgemed import settings
from edgemed.clinical.language import Language
from edgemed.errors import EdgemedError, VaultError
from edgemed.private_files import sync_folder, unwritable
from edgemed.vault import database, integrity, keys, notices, place, words
from edgemed.vault.keys import DEFAULT, Cost, Keys
from edgemed.vault.lock import VaultLock
from edgemed.vault.place import exists as exists  # callers find it beside create and unlock
from edgemed.vault.store import Store

T = TypeVar("T")

_REMEMBERED = 16
"""Vaults whose openings are remembered; the demonstration makes a new one at each start."""


def default_folder() -> Path:
    """`$XDG_DATA_HOME/edgemed/vault`. Raises SetupError if the user has no home folder."""
    return settings.xdg_folder("XDG_DATA_HOME", ".local/share") / "vault"


def create(folder: Path, passphrase: str, *, cost: Cost = DEFAULT) -> tuple[Vault, list[str]]:
    """Make a vault and open it. Returns its recovery words too, which nothing stores.

    It is made in a folder beside its place and then renamed, so that there is a whole vault or none. Raises VaultError.
    """
    words.refuse_weak(passphrase)
    place.refuse_taken(folder)
    making = place.new_folder_beside(folder)
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
    open_to_others = place.check_folder(folder)
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

    def check(self) -> Future[None]:
        """Read the whole database in the background; the future raises VaultDamaged. Start it after the first paint."""
        return integrity.check(self.database, self.data_key)

    def change_passphrase(self, secret: str, new: str, *, cost: Cost | None = None) -> None:
        """`secret` is the current passphrase or the recovery words; `cost` is as before unless it is given.

        Copies and backups made before still open with the old passphrase. Raises WrongPassphrase, VaultError.
        """
        words.refuse_weak(new)
        self._confirm(secret)
        cost = cost or self.keys.slots["passphrase"].cost
        self._replace_keys(self.keys.with_passphrase(new, self.data_key, cost))

    def new_recovery_words(self, secret: str) -> list[str]:
        """Replace the recovery words. The old ones still open older copies. Raises WrongPassphrase, VaultError."""
        self._confirm(secret)
        recovery = words.new_recovery_words()
        cost = self.keys.slots["recovery"].cost
        self._replace_keys(self.keys.with_recovery(recovery, self.data_key, cost))
        return recovery

    def rekey(self, passphrase: str) -> list[str]:
        """Encrypt everything again with a new data key. Returns new recovery words; the passphrase stays.

        Someone who copied the old data key can read older copies, but nothing written from now on. Killed at any time,
        the vault has the old key or the new one. Raises WrongPassphrase, VaultError.
        """
        self._confirm(passphrase)
        if words.recovery_entropy(passphrase) is not None:
            raise VaultError("A new key needs the passphrase, not the recovery words; change the passphrase first.")
        recovery = words.new_recovery_words()
        renewed, data_key = self.keys.renewed(passphrase, recovery, self.keys.slots["passphrase"].cost)
        self._change(self._rekey, renewed, data_key)
        return recovery

    def notices(self, language: Language = "en") -> list[str]:
        """Sentences that the user should see now."""
        told = [notices.sentence(notice, language) for notice in self.found]
        return told + list(filter(None, [notices.low_disk(self.folder, language)]))

    def size(self) -> int:
        """Bytes of the vault's files."""
        return place.size(self.folder)

    def close(self) -> None:
        """Finish the work that was given, close the database and release the lock. Closing twice does nothing."""
        with suppress(RuntimeError):  # closed already
            self._thread.submit(self._close)
        self._thread.shutdown()
        self._lock.release()

    def _confirm(self, secret: str) -> None:
        """Raise WrongPassphrase unless `secret` opens this vault: an unlocked screen may be someone else's."""
        self.keys.open(secret)

    def _replace_keys(self, changed: Keys) -> None:
        self._change(keys.write_keys, self.folder, changed, self.data_key)
        self.keys = changed

    def _change(self, work: Callable[..., None], *args: object) -> None:
        """Run a change of keys on the vault's thread. It cannot be interrupted: the user must see the new words."""
        change = self._thread.submit(work, *args)
        while not change.done():
            with suppress(KeyboardInterrupt):
                wait([change])
        change.result()

    def _open(self) -> None:
        self._connection = database.open_database(self.database, self.data_key)
        try:
            database.migrate(self._connection, self.database, self.data_key)
            with database.explained(self.database):
                self._count_opening()
                self._remove_leftovers()
            self._store = Store(self._connection)
            with database.explained(self.database):
                self._store.recover()
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

    def _rekey(self, renewed: Keys, data_key: bytes) -> None:
        """Runs on the vault's thread, so that nothing is written during the copy. keys.json decides which database
        counts: replacing it is the moment of the change, and the other database is deleted now or at the next opening.
        """
        path = self.folder / renewed.database
        database.copy_database(self._connection, path, data_key)
        connection = None
        try:
            integrity.check(path, data_key).result()
            connection = database.open_database(path, data_key)
            keys.write_keys(self.folder, renewed, data_key)
        except BaseException:
            if connection:
                connection.close()
            database.remove_database(path)
            raise
        self._connection.close()
        before = self.database
        self.keys, self.data_key = renewed, data_key
        self._connection, self._store = connection, Store(connection)
        with suppress(OSError):  # the next opening tries again
            database.remove_database(before)

    def _close(self) -> None:
        with suppress(EdgemedError), database.explained(self.database):
            self._count_opening()
        self._connection.close()

    def _count_opening(self) -> None:
        """Count openings and closings in the database and in the settings. A copy that is put back has counted less."""
        count = database.openings(self._connection) + 1
        known = settings.load().vaults
        last = known.get(self.keys.vault_id, 0)
        if count <= last:
            self.found.append("older copy")
            count = last + 1  # said once
        database.set_openings(self._connection, count)
        known.pop(self.keys.vault_id, None)
        recent = dict(list(known.items())[1 - _REMEMBERED :])
        with suppress(EdgemedError):  # settings that cannot be written only cost this check
            settings.update(vaults=recent | {self.keys.vault_id: count})

    def _remove_leftovers(self) -> None:
        """Delete what an interrupted change of keys left: databases that keys.json does not name, and half a file."""
        for path in self.folder.iterdir():
            if path.name == f"{keys.NAME}.partial" or keys.database_of(path.name) not in (None, self.keys.database):
                path.unlink(missing_ok=True)


def erase(folder: Path) -> None:
    """Delete a vault that nobody has open: its keys first, since without them the rest is unreadable.

    Backups and older copies stay, and so may the deleted blocks of a disk (an SSD keeps them for a while). Raises
    VaultError.
    """
    place.check_folder(folder)
    held = VaultLock(folder)
    try:
        with suppress(FileNotFoundError), (folder / keys.NAME).open("r+b") as file:
            file.write(os.urandom(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        (folder / keys.NAME).unlink(missing_ok=True)
        sync_folder(folder)
        place.remove_vault_files(folder)
    except OSError as error:
        raise VaultError(unwritable(folder, error)) from None
    finally:
        held.release()
