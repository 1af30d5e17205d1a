"""keys.json: the data key of a vault, wrapped once for each secret that opens it.

The data key is 256 random bits. A slot holds it encrypted with AES-256-GCM under a key that Argon2id (RFC 9106) derives
from the passphrase or the recovery words. The associated data of a slot is its kind, cost, salt and vault id, so a slot
cannot be moved or made cheaper. Two checks cover the whole file: a SHA-256 finds accidents before a passphrase is
asked for, and an HMAC under the data key finds slots that others put in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgemed.errors import VaultDamaged, VaultError, WrongPassphrase
from edgemed.private_files import read_private, unwritable, write_private
from edgemed.sizes import format_size
from edgemed.vault import words

Kind = Literal["passphrase", "recovery"]
KINDS: tuple[Kind, ...] = ("passphrase", "recovery")

NAME = "keys.json"
FORMAT = 1
KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_TAG_BYTES = 16
_MOST_FILE_BYTES = 64 << 10
FIRST_DATABASE = "vault.db"
_DATABASE_NAME = re.compile(r"vault(-[0-9a-f]{8})?\.db")
_BESIDE_DATABASE = re.compile(r"(vault(?:-[0-9a-f]{8})?\.db)(?:[.-].*)?")


@dataclass(frozen=True, slots=True)
class Cost:
    """Argon2id's parameters. Memory in KiB."""

    memory_kib: int = 256 << 10
    iterations: int = 3
    lanes: int = 4

    def allowed(self) -> bool:
        """Whether the values are within Argon2's rules and what a machine can be asked for (4 GiB)."""
        return 8 * self.lanes <= self.memory_kib <= 4 << 20 and 1 <= self.iterations <= 64 and 1 <= self.lanes <= 64


DEFAULT = Cost()
FLOOR = Cost(memory_kib=64 << 10)
"""RFC 9106's recommendation where memory is scarce. `calibrated` returns nothing cheaper."""
UNLOCK_SECONDS = 2.0
"""What `calibrated` aims at; opening the database comes on top."""
_MEMORY_SHARE = 0.5
"""The share of --ram that Argon2id may take; the rest is for the screen, whose interpreter is there already."""


def calibrated(ram_bytes: int | None = None, seconds: float = UNLOCK_SECONDS) -> Cost:
    """DEFAULT, or a cost with less memory, but not below FLOOR, if this machine needs more than `seconds` for it.

    Argon2's time is proportional to its memory, so one derivation at FLOOR (about 0.2 s) predicts it.
    """
    started = time.perf_counter()
    _derive(b"calibration", bytes(_SALT_BYTES), FLOOR)
    rate = FLOOR.memory_kib / (time.perf_counter() - started)
    memory = min(DEFAULT.memory_kib, int(rate * seconds))
    if ram_bytes is not None:
        memory = min(memory, int(ram_bytes * _MEMORY_SHARE) >> 10)
    return replace(DEFAULT, memory_kib=max(memory, FLOOR.memory_kib))


@dataclass(frozen=True, slots=True)
class Slot:
    """The data key, wrapped under one secret."""

    cost: Cost
    salt: bytes
    nonce: bytes
    wrapped: bytes

    @classmethod
    def make(cls, kind: Kind, vault_id: str, secret: bytes, data_key: bytes, cost: Cost) -> Slot:
        slot = cls(cost, os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES), b"")
        cipher = _aes_gcm(_derive(secret, slot.salt, cost))
        return replace(slot, wrapped=cipher.encrypt(slot.nonce, data_key, slot._bound_to(kind, vault_id)))

    def open(self, kind: Kind, vault_id: str, secret: bytes) -> bytes | None:
        """The data key; None if the secret is not this slot's."""
        from cryptography.exceptions import InvalidTag

        cipher = _aes_gcm(_derive(secret, self.salt, self.cost))
        try:
            return bytes(cipher.decrypt(self.nonce, self.wrapped, self._bound_to(kind, vault_id)))
        except InvalidTag:
            return None

    def _bound_to(self, kind: Kind, vault_id: str) -> bytes:
        return _canonical({"kind": kind, "vault": vault_id, "salt": self.salt.hex(), **asdict(self.cost)})


@dataclass(frozen=True, slots=True)
class Keys:
    """The content of keys.json. `database` is the name of the database that the data key opens."""

    vault_id: str
    database: str
    slots: dict[Kind, Slot]

    @classmethod
    def new(cls, passphrase: str, recovery: list[str], cost: Cost) -> tuple[Keys, bytes]:
        """Keys of a new vault, and its data key."""
        return cls(secrets.token_hex(16), FIRST_DATABASE, {}).renewed(passphrase, recovery, cost)

    def renewed(self, passphrase: str, recovery: list[str], cost: Cost) -> tuple[Keys, bytes]:
        """The same vault with a new data key, which is returned too, for a database under another name."""
        name = f"vault-{secrets.token_hex(4)}.db" if self.slots else self.database
        keys = replace(self, database=name, slots={})
        data_key = os.urandom(KEY_BYTES)
        keys = keys.with_passphrase(passphrase, data_key, cost)
        return keys.with_recovery(recovery, data_key, cost), data_key

    def with_passphrase(self, passphrase: str, data_key: bytes, cost: Cost) -> Keys:
        return self._with("passphrase", words.passphrase_bytes(passphrase), data_key, cost)

    def with_recovery(self, recovery: list[str], data_key: bytes, cost: Cost) -> Keys:
        entropy = words.recovery_entropy(" ".join(recovery))
        assert entropy is not None, "these words come from words.new_recovery_words"
        return self._with("recovery", entropy, data_key, cost)

    def _with(self, kind: Kind, secret: bytes, data_key: bytes, cost: Cost) -> Keys:
        return replace(self, slots=self.slots | {kind: Slot.make(kind, self.vault_id, secret, data_key, cost)})

    def open(self, secret: str) -> bytes:
        """The data key for a passphrase or recovery words. Raises WrongPassphrase, VaultError without enough memory."""
        entropy = words.recovery_entropy(secret)
        tries: list[tuple[Kind, bytes]] = [("recovery", entropy)] if entropy is not None else []
        for kind, typed in (*tries, ("passphrase", words.passphrase_bytes(secret))):
            if (data_key := self.slots[kind].open(kind, self.vault_id, typed)) is not None:
                return data_key
        raise WrongPassphrase(
            words.typing_error(secret)
            or "This does not open the vault; check capital letters, the keyboard layout and the input method."
        )

    def _body(self) -> dict[str, Any]:
        slots = {
            kind: asdict(slot.cost)
            | {"salt": slot.salt.hex(), "nonce": slot.nonce.hex(), "wrapped": slot.wrapped.hex()}
            for kind, slot in self.slots.items()
        }
        return {"format": FORMAT, "vault": self.vault_id, "database": self.database, "slots": slots}

    def _mac(self, data_key: bytes) -> str:
        # A key derived for this one purpose: the data key itself is given to the database only.
        mac_key = hmac.digest(data_key, b"edgemed keys.json", "sha256")
        return hmac.digest(mac_key, _canonical(self._body()), "sha256").hex()

    def encode(self, data_key: bytes) -> bytes:
        body = self._body() | {"mac": self._mac(data_key)}
        return _pretty(body | {"sha256": _digest(body)})


def database_of(name: str) -> str | None:
    """The database that a file in a vault's folder is or belongs to (its log, its copies); None for other files."""
    match = _BESIDE_DATABASE.fullmatch(name)
    return match[1] if match else None


def read_keys(folder: Path) -> tuple[Keys, str]:
    """The keys in a vault's folder and the HMAC in the file, for `check_mac`. Raises VaultDamaged."""
    path = folder / NAME
    try:
        content = read_private(path, _MOST_FILE_BYTES)
    except FileNotFoundError:
        raise VaultDamaged(
            f"{path} is missing, and without it nobody can open the vault; put it back, or restore a backup."
        ) from None
    except OSError as error:
        raise VaultDamaged(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return _decoded(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VaultDamaged(
            f"{path} is damaged, and without it nobody can open the vault; put back a copy of it, or restore a backup."
        ) from None


def check_mac(keys: Keys, mac: str, data_key: bytes, path: Path) -> None:
    """Raise VaultDamaged if keys.json was put together by someone who did not know the data key."""
    if not hmac.compare_digest(keys._mac(data_key).encode(), mac.encode()):
        raise VaultDamaged(f"{path} was changed by another program; put back a copy of it, or restore a backup.")


def write_keys(folder: Path, keys: Keys, data_key: bytes) -> None:
    """Replace keys.json at once: after a crash there is the old file or the new one. Raises VaultError."""
    try:
        write_private(folder / NAME, keys.encode(data_key))
    except OSError as error:
        raise VaultError(unwritable(folder / NAME, error)) from None


def _decoded(content: bytes) -> tuple[Keys, str]:
    """Raises ValueError, KeyError, TypeError or AttributeError for anything that `encode` would not have written."""
    body = json.loads(content)
    digest, mac = body.pop("sha256"), str(body["mac"])
    if _digest(body) != digest or _pretty(body | {"sha256": digest}) != content or body["format"] != FORMAT:
        raise ValueError
    if not _DATABASE_NAME.fullmatch(body["database"]):
        raise ValueError
    slots = {kind: _slot(body["slots"][kind]) for kind in KINDS}
    return Keys(str(body["vault"]), body["database"], slots), mac


def _slot(told: dict[str, Any]) -> Slot:
    cost = Cost(told["memory_kib"], told["iterations"], told["lanes"])
    slot = Slot(cost, *(bytes.fromhex(told[name]) for name in ("salt", "nonce", "wrapped")))
    sizes = (len(slot.salt), len(slot.nonce), len(slot.wrapped))
    if not cost.allowed() or sizes != (_SALT_BYTES, _NONCE_BYTES, KEY_BYTES + _TAG_BYTES):
        raise ValueError
    return slot


def _derive(secret: bytes, salt: bytes, cost: Cost) -> bytes:
    """Argon2id's 32 bytes. Releases the GIL."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        return Argon2id(
            salt=salt, length=KEY_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
        ).derive(secret)
    except MemoryError:
        needed = format_size(cost.memory_kib << 10)
        raise VaultError(f"Opening the vault needs {needed} of memory; close other programs, then try again.") from None


def _aes_gcm(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _pretty(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()
