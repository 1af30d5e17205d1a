"""`edgemed vault`: secrets through standard input or the terminal, and one sentence for what goes wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgemed import settings
from edgemed.commands.vault import ACTIONS, REACH
from edgemed.vault.folder import create, exists, unlock
from edgemed.vault.keys import Cost
from testing.pseudo_terminal import PseudoTerminal

PASSPHRASE = "correct horse battery staple"
NEW = "another long passphrase"
CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vault where the chat's is, in a temporary home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    place = tmp_path / ".local/share/edgemed/vault"
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    return place


def vault(*words: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgemed.cli", "vault", *map(str, words)]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=60)


def test_where_needs_no_passphrase(place: Path) -> None:
    told = vault("where")
    assert told.returncode == 0
    assert re.fullmatch(rf"{place}: \d+(\.\d+)? [KM]iB\n", told.stdout)


def test_settings_name_the_vault_and_damaged_ones_are_told(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    create(other, PASSPHRASE, cost=CHEAP)[0].close()
    settings.update(vault=other)
    assert str(other) in vault("where").stdout
    settings.settings_path().write_text("{")
    told = vault("where")
    assert str(place) in told.stdout
    assert told.stderr.startswith("edgemed: The settings in ")


def test_without_a_vault_there_is_a_sentence_before_any_question(place: Path, tmp_path: Path) -> None:
    for action in ("backup", "passphrase", "recovery", "rekey", "check"):
        file = [tmp_path / "file"] if action == "backup" else []
        told = vault(action, *file, "--vault", tmp_path / "nowhere")
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr == f"edgemed: There is no vault in {tmp_path / 'nowhere'}; name another with --vault.\n"
    assert "no vault yet" in vault("where", "--vault", tmp_path / "nowhere").stdout


@pytest.mark.slow
def test_backup_and_restore(place: Path, tmp_path: Path) -> None:
    backup = tmp_path / "a backup"
    told = vault("backup", backup, said=PASSPHRASE + "\n")
    assert told.returncode == 0, told.stderr
    assert "read back and whole. It opens with today's passphrase." in told.stdout
    told = vault("restore", backup, "--vault", tmp_path / "other", said=PASSPHRASE)
    assert told.stdout == f"The vault in {tmp_path / 'other'} is the one of the backup.\n"
    told = vault("restore", backup, said=PASSPHRASE)
    assert "The vault before it is in " in told.stdout
    assert exists(place)
    told = vault("restore", backup, "--vault", tmp_path / "third", said="wrong passphrase\n")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_secrets_are_changed_and_the_reach_is_said(place: Path) -> None:
    for action in ("recovery", "rekey"):
        told = vault(action, said=PASSPHRASE)
        assert told.returncode == 0, told.stderr
        recovery = re.findall(r"\d+\. ([a-z]+)", told.stdout)
        assert len(recovery) == 24
        assert told.stdout.endswith(REACH[action] + "\n")
    assert "no damage found" in vault("check", said=" ".join(recovery)).stdout
    told = vault("passphrase", "--ram", "100MiB", said=f"{PASSPHRASE}\n{NEW}\n")
    assert told.stdout == f"The passphrase is changed.\n{REACH['passphrase']}\n", told.stderr
    unlock(place, NEW).close()


def test_erasing_asks_for_a_word(place: Path) -> None:
    told = vault("erase", said="yes\n")
    assert (told.returncode, told.stderr) == (
        2,
        "edgemed: Nothing was deleted; type the word erase to delete the vault.\n",
    )
    assert exists(place)
    told = vault("erase", said="erase\n")
    assert told.stdout == f"The vault in {place} is deleted.\n{REACH['erase']}\n"
    assert not place.exists()


@pytest.mark.parametrize(
    ("words", "said", "code", "sentence"),
    [
        (["check"], "", 2, "Standard input ended before the passphrase"),
        (["check"], "\n", 1, "The passphrase is empty"),
        (["check"], "wrong passphrase", 1, "This does not open the vault"),
        (["backup"], PASSPHRASE, 2, "vault backup needs FILE"),
        (["where", "file"], "", 2, "vault where takes no FILE"),
        (["passphrase"], f"{PASSPHRASE}\nshort\n", 1, "at least 12 characters"),
        (["restore", "nowhere"], PASSPHRASE, 1, "There is no file nowhere"),
    ],
)
def test_what_goes_wrong_is_one_sentence(place: Path, words: list[str], said: str, code: int, sentence: str) -> None:
    told = vault(*words, said=said)
    assert (told.returncode, told.stdout) == (code, "")
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1
    unlock(place, PASSPHRASE).close()


def test_a_vault_in_use_names_the_other_program(place: Path) -> None:
    held = unlock(place, PASSPHRASE)
    for told in (vault("check", said=PASSPHRASE).stderr, vault("where").stdout):
        assert f"Another edgemed (process {os.getpid()}) has the vault in {place} open" in told
    held.close()


def test_no_socket_can_be_opened_when_the_passphrase_is_read(place: Path) -> None:
    """The process waits for the passphrase; its status says that the kernel filters its calls."""
    command = [sys.executable, "-m", "edgemed.cli", "vault", "check"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 10
        status = ""
        while "Seccomp:\t2" not in status and time.monotonic() < deadline:
            status = Path(f"/proc/{process.pid}/status").read_text()
            time.sleep(0.01)
        assert "Seccomp:\t2" in status
        out, _ = process.communicate(PASSPHRASE + "\n", timeout=30)
    assert "no damage found" in out


def test_help_says_what_is_not_reached() -> None:
    told = vault("--help").stdout
    assert all(action in told for action in ACTIONS)
    assert "does not reach backups and older copies" in told
    assert "SSD" in told


@pytest.mark.slow
def test_the_terminal_shows_no_passphrase(place: Path) -> None:
    code = "import sys; from edgemed.cli import main; sys.exit(main(['vault', 'passphrase', '--ram', '100MiB']))"
    with PseudoTerminal(code) as terminal:
        terminal.wait_for("Passphrase: ")
        terminal.send(PASSPHRASE + "\n")
        terminal.wait_for("New passphrase (for example: ")
        terminal.wait_for("): ")
        terminal.send(NEW + "\n")
        terminal.wait_for("The same again: ")
        terminal.send(NEW + "\n")
        assert terminal.status() == 0
        assert "The passphrase is changed." in terminal.output
        assert not any(secret in terminal.output for secret in (PASSPHRASE, NEW))
    unlock(place, NEW).close()
