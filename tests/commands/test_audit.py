"""`edgemed audit`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from edgemed.commands.audit import ACTIONS, UNSEEN
from edgemed.vault.audit import Entry
from edgemed.vault.audit_table import selected
from edgemed.vault.folder import create, unlock
from edgemed.vault.rows import Snapshot, microseconds
from edgemed.vault.store import Store
from testing.vault_fixture import conversation
from tests.commands.test_vault import CHEAP, PASSPHRASE

TEXTS = ("胸痛", "心电图", "ECG", "Calcium", "Answer briefly", "王先生", "Bed 4")


def fill(store: Store) -> None:
    """Two cases: one with two answers on two days, one that was opened."""
    store.set_setting("clinician", "Dr 李")
    case = store.new_case("王先生 Bed 4")
    chat = conversation(case)
    store.keep(Snapshot.of(chat))
    for day, turn in ((27, chat.turns[0]), (28, chat.turns[1])):
        time = microseconds(datetime(2026, 11, day, 12, tzinfo=UTC))
        store.record(Entry.asked(chat, turn, "abc123"), time)
        store.record(Entry.answered(chat, turn, "abc123"), time + 1)
    store.record(Entry.of("flag_shown", chat, "abc123", {"rule": "ACS-1"}), time + 2)
    other = conversation(store.new_case("other"))
    store.record(Entry.of("copied", other, "abc123", {}), time + 3)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    place = tmp_path / ".local/share/edgemed/vault"
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    vault.do(fill).result()
    vault.close()
    return place


def change(place: Path, work: Callable[[Store], object]) -> None:
    vault = unlock(place, PASSPHRASE)
    vault.do(work).result()
    vault.close()


def audit(*words: str | Path, said: str = PASSPHRASE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgemed.cli", "audit", *map(str, words)]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=60)


def head_of(told: subprocess.CompletedProcess[str]) -> str:
    match = re.search(r"^Head: (\d+:[0-9a-f]{32})$", told.stdout, re.MULTILINE)
    assert match, told
    return match[1]


@pytest.mark.slow
def test_a_whole_audit_is_verified_and_says_what_it_cannot_see(place: Path) -> None:
    told = audit("verify")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0] == "6 rows, each in its place and unchanged."
    assert lines[1] == "Stored answers compared with their rows: 2, no difference."
    assert tuple(lines[3:]) == UNSEEN
    again = audit("verify", "--head", head_of(told))
    assert f"The head {head_of(told)} is in the chain." in again.stdout
    assert again.returncode == 0


@pytest.mark.slow
def test_tampering_and_a_cut_tail_are_told(place: Path) -> None:
    head = head_of(audit("verify"))

    def cut(store: Store) -> None:
        store.connection.execute("DROP TRIGGER audit_rows_stay")
        store.connection.execute("DELETE FROM audit WHERE sequence = 6")

    change(place, cut)
    assert audit("verify").returncode == 0
    told = audit("verify", "--head", head)
    assert told.returncode == 1
    assert "The head's row 6 is not there: the end is cut off, or an older copy was put back." in told.stdout
    assert "does not hold in 1 place; keep a copy" in told.stderr
    assert told.stderr.count("\n") == 1

    def edit(store: Store) -> None:
        store.connection.execute("DROP TRIGGER audit_rows_do_not_change")
        store.connection.execute("UPDATE audit SET who = 'me' WHERE sequence = 2")
        store.connection.execute("UPDATE answers SET answer = 'another' WHERE answer LIKE 'ECG%'")

    change(place, edit)
    told = audit("verify")
    assert told.returncode == 1
    assert "Row 2 was changed, or was not written by edgemed.\n" in told.stdout
    assert "Answer 22222222: the stored text is not the one that was recorded.\n" in told.stdout
    assert "does not hold in 2 places" in told.stderr


@pytest.mark.slow
def test_show_is_a_table_that_can_be_narrowed(place: Path) -> None:
    told = audit("show").stdout
    heading, *lines, head = told.splitlines()
    assert heading.split() == ["row", "time", "event", "case", "turn", "rules", "who", "details"]
    assert len(lines) == 6
    assert head.startswith("Head: 6:")
    asked = r"1    2026-11-27 12:00:00  asked       [0-9a-f]{8}  22222222  abc123  Dr 李  length=brief language=en"
    assert re.fullmatch(asked, lines[0])
    assert "rule=ACS-1" in lines[4]
    assert not any(text in told for text in TEXTS)
    narrowed = [
        ("bed", None, None, 5),
        (lines[0].split()[4], None, None, 5),
        ("nobody", None, None, 0),
        (None, date(2026, 11, 28), None, 4),
        (None, None, date(2026, 11, 27), 2),
        ("other", date(2026, 11, 28), date(2026, 11, 28), 1),
    ]
    vault = unlock(place, PASSPHRASE)
    for *wanted, count in narrowed:
        assert len(vault.do(lambda store, wanted=wanted: selected(store, *wanted)).result()) == count, wanted
    vault.close()
    assert len(audit("show", "--case", "BED", "--since", "2026-11-28").stdout.splitlines()) == 5
    assert "The last 2 of 6 rows; --last 0 shows all." in audit("show", "--last", "2").stdout


@pytest.mark.slow
def test_export_has_no_text_and_prints_the_head_that_verifies(place: Path, tmp_path: Path) -> None:
    lines, table = tmp_path / "audit.jsonl", tmp_path / "audit.csv"
    told = audit("export", lines)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"{lines}: 7 rows, without text, not encrypted.\nHead: 7:")
    assert stat.S_IMODE(lines.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["event"] for row in rows][-2:] == ["copied", "audit_exported"]
    assert rows[0]["time"] == "2026-11-27T12:00:00+00:00"
    assert rows[4]["details"] == {"rule": "ACS-1"}
    assert f"{rows[-1]['sequence']}:{rows[-1]['mac']}" == head_of(told)
    assert audit("verify", "--head", head_of(told)).returncode == 0
    assert audit("export", table, "--case", "bed").stdout.startswith(f"{table}: 5 rows")
    (first, *_) = csv.DictReader(io.StringIO(table.read_text()))
    assert (first["event"], first["who"]) == ("asked", "Dr 李")
    for written in (lines.read_text(), table.read_text()):
        assert "cd" * 32 not in written, "a prompt's digest tells whether a text is that prompt"
        assert not any(text in written for text in TEXTS)
    assert audit("export", lines).stderr.startswith(f"edgemed: {lines} exists already")


@pytest.mark.slow
def test_rows_that_something_else_wrote_are_shown_and_exported(place: Path, tmp_path: Path) -> None:
    def edit(store: Store) -> None:
        store.connection.execute("DROP TRIGGER audit_rows_do_not_change")
        for number, written in enumerate(["x", "[]", '{"units": "stones", "language": 5}']):
            values = (written, written, number)
            store.connection.execute("UPDATE audit SET details = ?, sampling = ? WHERE sequence % 3 = ?", values)
        store.connection.execute(f"UPDATE audit SET time = {1 << 62} WHERE sequence = 1")
        store.connection.execute(f"UPDATE audit SET time = {-(1 << 62)} WHERE sequence = 2")

    change(place, edit)
    shown = audit("show")
    assert shown.returncode == 0, shown.stderr
    assert str(1 << 62) in shown.stdout
    for name in ("audit.csv", "audit.jsonl"):
        assert audit("export", tmp_path / name).returncode == 0
    reported = subprocess.run(
        [sys.executable, "-m", "edgemed.cli", "report", "-o", str(tmp_path / "incident.json")],
        input=PASSPHRASE,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert reported.returncode == 0, reported.stderr
    assert not json.loads((tmp_path / "incident.json").read_text())["audit"]["whole"]
    assert audit("verify").returncode == 1


@pytest.mark.slow
def test_the_vaults_own_commands_are_recorded(place: Path, tmp_path: Path) -> None:
    def vault(*words: str | Path, said: str = PASSPHRASE) -> None:
        command = [sys.executable, "-m", "edgemed.cli", "vault", *map(str, words)]
        subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=True)

    vault("backup", tmp_path / "backup")
    vault("recovery")
    vault("rekey")
    vault("passphrase", "--ram", "100MiB", said=f"{PASSPHRASE}\nanother long passphrase\n")
    vault("check", said="another long passphrase")
    told = audit("show", "--last", "4", said="another long passphrase").stdout.splitlines()
    assert [line.split()[3] for line in told[1:5]] == [
        *("backed_up", "recovery_words_changed", "key_changed", "passphrase_changed")
    ]
    vault("restore", tmp_path / "backup")
    told = audit("show", "--last", "2").stdout.splitlines()
    assert [line.split()[3] for line in told[1:3]] == ["copied", "restored"]
    assert audit("verify").returncode == 0


def test_a_vault_that_is_open_is_named(place: Path) -> None:
    held = unlock(place, PASSPHRASE)
    told = audit("verify")
    held.close()
    assert (told.returncode, told.stdout) == (1, "")
    assert "has the vault in" in told.stderr


@pytest.mark.parametrize(
    ("words", "said", "code", "sentence"),
    [
        (["verify"], "wrong passphrase", 1, "This does not open the vault"),
        (["verify", "--head", "7"], PASSPHRASE, 2, "7 is not a head of the audit"),
        (["show", "--head", "7"], PASSPHRASE, 2, "audit show takes no --head"),
        (["export"], PASSPHRASE, 2, "audit export needs FILE"),
        (["show", "file"], PASSPHRASE, 2, "audit show takes no FILE"),
        (["show", "--vault", "/nowhere"], PASSPHRASE, 1, "There is no vault in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_sentence(place: Path, words: list[str], said: str, code: int, sentence: str) -> None:
    told = audit(*words, said=said)
    assert (told.returncode, told.stdout) == (code, "")
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1


def test_help_says_what_it_cannot_show() -> None:
    told = audit("--help").stdout
    assert all(action in told for action in ACTIONS)
    assert "It cannot show" in told
    assert "write it down" in told
    assert "2026-11-31 is not a day" in audit("show", "--since", "2026-11-31").stderr
