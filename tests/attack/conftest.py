"""Fixtures for attacks on the real chat: the demonstration model, and a user's folders with a vault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemed.commands.demo import converted
from edgemed.demo import checkpoint_path
from edgemed.vault.store import Store
from testing.real_chat import Place
from tests.tui.vaults import make_vault


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("demonstration")))
        return converted(checkpoint_path(), fresh=False, quiet=True).path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A user's folders, which this process uses too."""
    place = Place(tmp_path / "home")
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def with_vault(place: Place) -> Callable[[Callable[[Store], Any] | None], Place]:
    """Makes the user's vault and fills it."""

    def make(fill: Callable[[Store], Any] | None = None) -> Place:
        place.vault.parent.mkdir(parents=True)
        make_vault(place.vault, fill)
        return place

    return make
