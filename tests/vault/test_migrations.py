"""A vault of every schema that ever was opens with today's program, and holds what it held."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgemed.vault import migrations
from edgemed.vault.backup import restore
from edgemed.vault.folder import create, unlock
from edgemed.vault.store import Store
from testing import vault_fixture
from tests.vault.conftest import CHEAP, PASSPHRASE

NUMBERS = [step.number for step in migrations.steps()]


def version(store: Store) -> int:
    return int(store.connection.execute("PRAGMA user_version").fetchone()[0])


def schema(store: Store) -> list[tuple[str, str]]:
    """The statements that would make this database."""
    return list(store.connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name"))


def test_every_schema_has_a_fixture() -> None:
    assert sorted(path.name for path in vault_fixture.FOLDER.iterdir()) == [f"{n:04}.backup" for n in NUMBERS]


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_the_vault_of_each_schema_opens(number: int, tmp_path: Path) -> None:
    fresh, _ = create(tmp_path / "fresh", PASSPHRASE, cost=CHEAP)
    fresh.do(vault_fixture.fill).result()
    expected = fresh.do(vault_fixture.told).result()
    statements = fresh.do(schema).result()
    fresh.close()
    backup = shutil.copy(vault_fixture.FOLDER / f"{number:04}.backup", tmp_path / "backup")
    restore(backup, tmp_path / "vault", vault_fixture.PASSPHRASE)
    vault = unlock(tmp_path / "vault", vault_fixture.PASSPHRASE)
    assert vault.do(version).result() == NUMBERS[-1]
    assert vault.do(vault_fixture.told).result() == expected
    assert vault.do(schema).result() == statements, "a migration was changed after its fixture was made"
    assert vault.do(lambda store: store.connection.execute("PRAGMA foreign_key_check").fetchall()).result() == []
    if number >= 2:
        assert len(vault.do(lambda store: list(store.connection.execute("SELECT * FROM audit"))).result()) == 4
    if number >= 3:
        (turn,) = vault.do(lambda store: store.load("b" * 32)).result().turns
        assert (turn.template, turn.instruction) == ("soap", "Write a SOAP note.")
        assert (turn.note, turn.reviewed_by, turn.reviewed) == ("K 6.2 mmol/l.", "王医生", vault_fixture.ASKED)
    vault.check().result()
    vault.close()
