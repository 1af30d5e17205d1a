"""A vault's folder: made whole or not at all, opened by one program, refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed import settings
from edgemed.errors import VaultBusy, VaultDamaged, VaultError, WrongPassphrase
from edgemed.vault import folder as vaults
from edgemed.vault import notices
from edgemed.vault.folder import create, exists, unlock
from tests.vault.conftest import CHEAP, PASSPHRASE, put, texts


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a vault is made."""
    return tmp_path / "data" / "vault"


@pytest.fixture
def closed(place: Path) -> Path:
    """The folder of a vault that is not open."""
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    return place


def test_a_vault_keeps_what_it_is_given(place: Path) -> None:
    vault, recovery = create(place, PASSPHRASE, cost=CHEAP)
    put(vault, "one")
    vault.close()
    for secret in (PASSPHRASE, " ".join(recovery)):
        vault = unlock(place, secret)
        assert texts(vault) == ["one"]
        assert vault.notices() == []
        assert vault.size() > 4096
        vault.close()
    assert sorted(path.name for path in place.iterdir()) == ["keys.json", "lock", "vault.db"]


def test_files_are_for_their_owner_only(place: Path) -> None:
    old = os.umask(0)
    try:
        vault, _ = create(place, PASSPHRASE, cost=CHEAP)
        put(vault, "one")
        modes = {path.name: path.stat().st_mode & 0o777 for path in (place, *place.iterdir())}
        vault.close()
    finally:
        os.umask(old)
    assert modes.pop("vault") == 0o700
    assert len(modes) == 5
    assert set(modes.values()) == {0o600}
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_files_that_others_could_read_are_closed_at_unlock(closed: Path) -> None:
    closed.chmod(0o755)
    (closed / "keys.json").chmod(0o644)
    unlock(closed, PASSPHRASE).close()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert (closed / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_disk_without_modes_is_told(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda *_, **__: None)
    vault = unlock(closed, PASSPHRASE)
    assert vault.notices() == [notices.sentence("open to others")]
    assert "其他用户" in vault.notices("zh-CN")[0]
    vault.close()


def test_work_runs_in_order_on_one_other_thread(place: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    ran: list[tuple[int, int]] = []
    for number in range(50):
        vault.do(lambda _, number=number: ran.append((number, threading.get_ident())))  # type: ignore[misc]
    vault.close()
    assert [number for number, _ in ran] == list(range(50))
    assert len({thread for _, thread in ran} - {threading.get_ident()}) == 1


def test_work_that_fails_leaves_no_transaction_open(place: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    put(vault, "one")

    def fail(store: vaults.Store) -> None:
        store.connection.execute("BEGIN")
        store.connection.execute("DELETE FROM test_note")
        raise ValueError("mistake")

    with pytest.raises(ValueError, match="mistake"):
        vault.do(fail).result()
    assert texts(vault) == ["one"]
    vault.close()


def test_a_closed_vault_says_so(place: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    vault.close()
    vault.close()
    with pytest.raises(VaultError, match="closed"):
        vault.do(lambda _: None)


def test_a_wrong_passphrase_is_one_sentence_and_changes_nothing(closed: Path) -> None:
    before = {path.name: path.read_bytes() for path in closed.iterdir() if path.name != "lock"}
    with pytest.raises(WrongPassphrase, match="does not open the vault"):
        unlock(closed, "another passphrase")
    assert before == {path.name: path.read_bytes() for path in closed.iterdir() if path.name != "lock"}
    unlock(closed, PASSPHRASE).close()


def test_a_weak_passphrase_makes_nothing(place: Path) -> None:
    with pytest.raises(VaultError, match="at least 12"):
        create(place, "short", cost=CHEAP)
    assert not place.parent.exists()


def test_the_second_program_names_the_first(place: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    code = (
        "import sys; from pathlib import Path; from edgemed.vault.folder import unlock\n"
        "try: unlock(Path(sys.argv[1]), sys.argv[2])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", code, str(place), PASSPHRASE]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"VaultBusy Another edgemed (process {os.getpid()}) has the vault in {place} open;")
    with pytest.raises(VaultBusy):  # in the same program too
        unlock(place, PASSPHRASE)
    vault.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_a_vault_is_never_made_over_something(closed: Path, tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="There is a vault"):
        create(closed, PASSPHRASE, cost=CHEAP)
    (closed / "keys.json").unlink()
    with pytest.raises(VaultError, match="There is a vault"):  # its database may still be of use
        create(closed, PASSPHRASE, cost=CHEAP)
    with pytest.raises(VaultError, match="holds other files"):
        create(closed.parent, PASSPHRASE, cost=CHEAP)
    file = tmp_path / "file"
    file.write_text("x")
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for taken in (file, link):
        with pytest.raises(VaultError, match="is not a folder"):
            create(taken, PASSPHRASE, cost=CHEAP)
    with pytest.raises(VaultError, match="cannot be written"):
        create(file / "vault", PASSPHRASE, cost=CHEAP)


def test_an_empty_folder_becomes_a_vault(place: Path) -> None:
    place.mkdir(parents=True)
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    assert exists(place)


def test_what_a_killed_creation_left_is_removed(place: Path) -> None:
    left = place.with_name(".vault.new-01234567")
    left.mkdir(parents=True)
    (left / "keys.json").write_text("{}")
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    assert [path.name for path in place.parent.iterdir()] == ["vault"]


@pytest.mark.parametrize("step", ["keys.write_keys", "database.create_database", "database.migrate", "Vault.__init__"])
def test_a_creation_that_fails_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise VaultError("the disk broke")

    monkeypatch.setattr(f"edgemed.vault.folder.{step}", fail)
    with pytest.raises(VaultError, match="the disk broke"):
        create(place, PASSPHRASE, cost=CHEAP)
    assert list(place.parent.iterdir()) == []


def _remove(name: str) -> Callable[[Path], None]:
    return lambda vault: (vault / name).unlink()


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda vault: (vault / name).write_bytes(content) and None


def _link(name: str) -> Callable[[Path], None]:
    def link(vault: Path) -> None:
        (vault / name).rename(vault / f"{name}.moved")
        (vault / name).symlink_to(vault / f"{name}.moved")

    return link


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_remove("keys.json"), r"keys\.json is missing, and without it nobody can open the vault"),
        (_remove("vault.db"), r"vault\.db is missing or empty"),
        (_write("vault.db", b""), r"vault\.db is missing or empty"),
        (_write("vault.db", b"x" * 8192), r"vault\.db is damaged, or does not belong"),
        (_write("keys.json", b"{}"), r"keys\.json is damaged"),
        (_link("keys.json"), r"keys\.json is a symbolic link"),
        (_link("vault.db"), r"vault\.db is a symbolic link"),
        (_link("lock"), r"lock is a symbolic link"),
    ],
)
def test_a_damaged_vault_is_told_in_one_sentence(closed: Path, harm: Callable[[Path], None], sentence: str) -> None:
    harm(closed)
    with pytest.raises(VaultError, match=sentence) as told:
        unlock(closed, PASSPHRASE)
    assert str(told.value).endswith(".")
    assert "\n" not in str(told.value)


def test_the_database_of_another_vault_is_refused(closed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    create(other, PASSPHRASE, cost=CHEAP)[0].close()
    (closed / "vault.db").write_bytes((other / "vault.db").read_bytes())
    with pytest.raises(VaultDamaged, match="does not belong"):
        unlock(closed, PASSPHRASE)


def test_what_is_no_vault_is_told(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="There is no vault"):
        unlock(tmp_path / "missing", PASSPHRASE)
    with pytest.raises(VaultError, match="holds no vault"):
        unlock(tmp_path, PASSPHRASE)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(VaultError, match="symbolic link; name the folder that it points to"):
        unlock(link, PASSPHRASE)
    (tmp_path / "file").write_text("")
    with pytest.raises(VaultError, match="is not a folder"):
        unlock(tmp_path / "file", PASSPHRASE)


def test_another_users_vault_is_refused(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(VaultError, match="belongs to another user"):
        unlock(closed, PASSPHRASE)


@pytest.mark.parametrize("whole", [True, False])
def test_an_older_copy_that_was_put_back_is_noticed_once(closed: Path, whole: bool) -> None:
    """Whether the folder or only the database is put back."""
    names = ["vault.db", "keys.json"] if whole else ["vault.db"]
    copy = {name: (closed / name).read_bytes() for name in names}
    vault = unlock(closed, PASSPHRASE)
    put(vault, "written after the copy")
    vault.close()
    for name, content in copy.items():
        (closed / name).write_bytes(content)
    for expected in ([notices.sentence("older copy")], []):
        vault = unlock(closed, PASSPHRASE)
        assert vault.notices() == expected
        vault.close()


def test_only_the_vaults_opened_last_are_remembered(closed: Path, tmp_path: Path) -> None:
    (kept,) = settings.load().vaults
    for number in range(20):
        create(tmp_path / str(number), PASSPHRASE, cost=CHEAP)[0].close()
        if number == 9:
            unlock(closed, PASSPHRASE).close()
    remembered = settings.load().vaults
    assert len(remembered) == 16
    assert kept in remembered


def test_settings_that_cannot_be_written_do_not_keep_a_vault_closed(closed: Path) -> None:
    path = settings.settings_path()
    path.unlink()
    path.mkdir()
    vault = unlock(closed, PASSPHRASE)
    assert vault.notices() == []
    vault.close()


def test_low_disk_is_told_in_both_languages(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = vaults.shutil.disk_usage(closed)
    monkeypatch.setattr(notices.shutil, "disk_usage", lambda _: usage._replace(free=100 << 20))
    vault = unlock(closed, PASSPHRASE)
    assert vault.notices() == [
        "Only 100 MiB are free on the disk with the vault; free some space, or new answers will not be kept."
    ]
    assert "100 MiB" in vault.notices("zh-CN")[0]
    vault.close()


def test_the_default_place_follows_xdg(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vaults.default_folder() == private_home / ".local/share/edgemed/vault"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert vaults.default_folder() == Path("/data/edgemed/vault")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert vaults.default_folder() == private_home / ".local/share/edgemed/vault"


def test_a_check_that_nobody_waits_for_any_more_ends_quietly(tmp_path: Path) -> None:
    made, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    result = made.check()
    assert not result.cancel(), "the chat cancels what it waits for when it ends"
    result.result()  # the thread did not fail
    made.close()
