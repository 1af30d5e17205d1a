"""Vaults for tests: cheap to unlock, with settings in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.vault.folder import Vault
from edgemed.vault.keys import Cost
from edgemed.vault.store import Store

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HOME and XDG folders below tmp_path."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return home


def put(vault: Vault, text: str) -> None:
    def work(store: Store) -> None:
        store.connection.execute("CREATE TABLE IF NOT EXISTS test_note (text TEXT)")
        store.connection.execute("INSERT INTO test_note VALUES (?)", (text,))

    vault.do(work).result()


def texts(vault: Vault) -> list[str]:
    query = "SELECT text FROM test_note"
    return vault.do(lambda store: [row[0] for row in store.connection.execute(query)]).result()
