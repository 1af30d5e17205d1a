"""keys.json: what opens the slots, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgemed.errors import VaultDamaged, VaultError, WrongPassphrase
from edgemed.vault import keys, words
from edgemed.vault.keys import DEFAULT, FLOOR, Cost, Keys, Slot
from tests.vault.conftest import CHEAP, PASSPHRASE

typeable = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda text: text.strip())


@pytest.fixture(scope="module")
def made() -> tuple[Keys, bytes, list[str]]:
    recovery = words.new_recovery_words()
    return (*Keys.new(PASSPHRASE, recovery, CHEAP), recovery)


@given(passphrase=typeable)
@example("胸痛 K 6.2 护士长 abc")
@example("\u212b")  # normalises to another character
def test_each_secret_opens_the_slots_and_no_other_does(passphrase: str) -> None:
    recovery = words.new_recovery_words()
    made, data_key = Keys.new(passphrase, recovery, CHEAP)
    assert made.open(passphrase) == data_key
    assert made.open(" ".join(recovery)) == data_key
    with pytest.raises(WrongPassphrase):
        made.open(passphrase + "x")
    with pytest.raises(WrongPassphrase):
        made.open(" ".join(words.new_recovery_words()))


@given(memory=st.integers(64, 256), iterations=st.integers(1, 3), lanes=st.integers(1, 4))
def test_the_stored_cost_is_used(memory: int, iterations: int, lanes: int) -> None:
    slot = Slot.make("passphrase", "id", b"secret", bytes(32), Cost(memory, iterations, lanes))
    assert slot.open("passphrase", "id", b"secret") == bytes(32)
    assert replace(slot, cost=Cost(memory + 8, iterations, lanes)).open("passphrase", "id", b"secret") is None


def test_a_slot_is_bound_to_its_kind_and_vault() -> None:
    slot = Slot.make("passphrase", "one", b"secret", bytes(32), CHEAP)
    assert slot.open("recovery", "one", b"secret") is None
    assert slot.open("passphrase", "two", b"secret") is None


def test_two_vaults_share_neither_key_nor_salt() -> None:
    (one, first), (two, second) = (Keys.new(PASSPHRASE, words.new_recovery_words(), CHEAP) for _ in range(2))
    assert first != second
    assert len({one.slots[kind].salt for kind in keys.KINDS} | {two.slots[kind].salt for kind in keys.KINDS}) == 4


@pytest.mark.slow
def test_every_flipped_byte_of_the_file_is_refused(made: tuple[Keys, bytes, list[str]], tmp_path: Path) -> None:
    opened, data_key, _ = made
    content = opened.encode(data_key)
    path = tmp_path / keys.NAME
    file = path.open("wb", buffering=0)
    for position in range(len(content)):
        for flip in (0x01, 0x20, 0x80):
            os.pwrite(
                file.fileno(), content[:position] + bytes([content[position] ^ flip]) + content[position + 1 :], 0
            )
            with pytest.raises(VaultDamaged, match=r"keys\.json is damaged"):
                keys.read_keys(tmp_path)
    file.close()
    path.write_bytes(content)
    assert keys.read_keys(tmp_path)[0] == opened


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cut_or_longer_file_is_refused(made: tuple[Keys, bytes, list[str]], tmp_path: Path, length: int) -> None:
    content = made[0].encode(made[1])
    (tmp_path / keys.NAME).write_bytes(content[:length] if length >= 0 else content + b" ")
    with pytest.raises(VaultDamaged):
        keys.read_keys(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"[]", b"null", b"[" * 30000, b'{"sha256": 1}', b"\xff", b"1" * 20000, b"x" * 70000],
    ids=range(7),
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / keys.NAME).write_bytes(content)
    with pytest.raises(VaultDamaged):
        keys.read_keys(tmp_path)


def _resealed(content: bytes, change: dict[str, object], slot: dict[str, object] | None = None) -> bytes:
    """keys.json with changed values and a checksum that fits, as someone without the data key can write it."""
    body = json.loads(content) | change
    body["slots"]["passphrase"] |= slot or {}
    del body["sha256"]
    return keys._pretty(body | {"sha256": keys._digest(body)})


@pytest.mark.parametrize(
    "slot",
    [
        {"memory_kib": 1 << 40},
        {"memory_kib": -1},
        {"memory_kib": "64"},
        {"lanes": 0},
        {"iterations": 1 << 30},
        {"salt": ""},
        {"nonce": "00"},
        {"wrapped": "zz"},
    ],
)
def test_values_that_would_stop_the_machine_are_refused(
    made: tuple[Keys, bytes, list[str]], tmp_path: Path, slot: dict[str, object]
) -> None:
    (tmp_path / keys.NAME).write_bytes(_resealed(made[0].encode(made[1]), {}, slot))
    with pytest.raises(VaultDamaged):
        keys.read_keys(tmp_path)


@pytest.mark.parametrize("name", ["../vault.db", "/etc/passwd", "vault.db\n", "vault-0123.db", "", 1])
def test_the_database_cannot_be_another_file(made: tuple[Keys, bytes, list[str]], tmp_path: Path, name: object) -> None:
    (tmp_path / keys.NAME).write_bytes(_resealed(made[0].encode(made[1]), {"database": name}))
    with pytest.raises(VaultDamaged):
        keys.read_keys(tmp_path)


def test_a_slot_put_in_by_someone_else_is_noticed(made: tuple[Keys, bytes, list[str]], tmp_path: Path) -> None:
    """The passphrase still opens its slot, but the HMAC covers the other one too."""
    opened, data_key, _ = made
    other = Slot.make("recovery", opened.vault_id, bytes(32), bytes(32), CHEAP)
    told = json.loads(replace(opened, slots=opened.slots | {"recovery": other}).encode(bytes(32)))
    content = _resealed(opened.encode(data_key), {"slots": told["slots"]})
    (tmp_path / keys.NAME).write_bytes(content)
    found, mac = keys.read_keys(tmp_path)
    with pytest.raises(VaultDamaged, match="changed by another program"):
        keys.check_mac(found, mac, found.open(PASSPHRASE), tmp_path / keys.NAME)


def test_keys_that_are_missing_or_a_link_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VaultDamaged, match="is missing"):
        keys.read_keys(tmp_path)
    (tmp_path / keys.NAME).symlink_to("/etc/hostname")
    with pytest.raises(VaultDamaged, match="cannot be read"):
        keys.read_keys(tmp_path)
    (tmp_path / keys.NAME).unlink()
    os.mkfifo(tmp_path / keys.NAME)
    with pytest.raises(VaultDamaged, match="cannot be read"):
        keys.read_keys(tmp_path)


def test_the_secrets_are_not_in_the_file(made: tuple[Keys, bytes, list[str]]) -> None:
    opened, data_key, recovery = made
    text = opened.encode(data_key).decode()
    entropy = words.recovery_entropy(" ".join(recovery))
    assert entropy is not None
    assert not any(secret in text for secret in (data_key.hex(), entropy.hex(), PASSPHRASE, " ".join(recovery[:2])))


def test_calibration_stays_between_the_floor_and_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_derive", lambda *_: b"")
    clock = iter([0.0, 0.2] * 1 + [0.0, 1.0] + [0.0, 60.0] + [0.0, 0.2] + [0.0, 0.2])
    monkeypatch.setattr(keys.time, "perf_counter", lambda: next(clock))
    assert keys.calibrated() == DEFAULT
    assert keys.calibrated() == Cost(128 << 10)
    assert keys.calibrated() == FLOOR
    assert keys.calibrated(ram_bytes=300 << 20) == Cost(150 << 10)
    assert keys.calibrated(ram_bytes=1 << 20) == FLOOR


def test_too_little_memory_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("cryptography.hazmat.primitives.kdf.argon2.Argon2id", exhausted)
    with pytest.raises(VaultError, match="needs 256 MiB of memory"):
        keys._derive(b"", b"", DEFAULT)
