"""The settings file: what cannot be used is told, and never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemed import settings
from edgemed.errors import SetupError
from edgemed.settings import Settings, load, update


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = settings.settings_path()
    path.parent.parent.mkdir()
    return path


def test_without_a_file_there_are_defaults(path: Path) -> None:
    assert load() == Settings()
    assert not path.exists()


def test_what_is_set_is_there_later(path: Path) -> None:
    update(model=Path("/models/a b.gguf"), ram=8 << 30, language="zh-CN")
    told = update(hide_minutes=5, shared_computer=True, vaults={"ab": 3}, vault=Path("/v"), theme="dark")
    assert told == load()
    assert told == Settings(
        model=Path("/models/a b.gguf"),
        ram=8 << 30,
        theme="dark",
        language="zh-CN",
        shared_computer=True,
        hide_minutes=5,
        vault=Path("/v"),
        vaults={"ab": 3},
    )
    assert update(units="mg/dL", drug_names="paracetamol", answers_in="en").units == "mg/dL"
    with pytest.raises(ValueError, match="units"):
        update(units="grains")
    assert update(ram=None).ram is None
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["settings.json"]


def test_keys_and_values_of_other_versions_stay(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"from_the_future": {"a": [1]}, "language": "fr", "hide_minutes": 99}))
    told = load()
    assert (told.language, told.hide_minutes) == (None, 3)
    assert told.problem == f"language, hide_minutes in {path} cannot be used; set it again."
    update(ram=1 << 30)
    assert json.loads(path.read_text()) == {
        "from_the_future": {"a": [1]},
        "language": "fr",
        "hide_minutes": 99,
        "ram": 1 << 30,
    }
    assert update(language="en", hide_minutes=4).problem is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 50000], ids=range(5))
def test_a_damaged_file_is_told_and_kept(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert load() == Settings(problem=load().problem)
    assert "damaged" in str(load().problem)
    assert path.read_bytes() == content
    assert update(theme="dark") == Settings(theme="dark")
    assert path.with_name("settings.json.damaged-1").read_bytes() == content
    path.write_bytes(content)
    update(theme="dark")
    assert path.with_name("settings.json.damaged-2").read_bytes() == content


def test_a_linked_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "dotfile")
    update(theme="dark")
    assert path.is_symlink()
    assert load().theme == "dark"
    assert (tmp_path / "dotfile").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_told(path: Path) -> None:
    path.parent.write_text("not a folder")
    assert "cannot be used" in str(load().problem)
    with pytest.raises(SetupError, match="cannot be written"):
        update(theme="dark")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ram", -1),
        ("ram", True),
        ("hide_minutes", 0),
        ("hide_minutes", 11),
        ("language", "de"),
        ("shared_computer", 1),
        ("model", "relative.gguf"),
        ("vaults", {"a": "b"}),
    ],
)
def test_a_wrong_value_is_a_mistake_of_the_caller(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        update(**{name: value})


def test_an_unknown_field_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError):
        update(colour="red")


def test_without_a_home_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(SetupError, match="set HOME or XDG_CONFIG_HOME"):
        settings.settings_path()
