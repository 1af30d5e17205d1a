"""The user's settings: one JSON file with no patient text in it, `$XDG_CONFIG_HOME/edgemed/settings.json`.

`update` changes single keys of the file as it is at that moment, so keys of other versions, and values that this
version does not understand, stay.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edgemed.clinical.language import Language
from edgemed.clinical.region import DRUG_NAMES, UNITS, DrugNames, Units
from edgemed.errors import SetupError
from edgemed.private_files import read_private, unwritable, write_private

_MOST_BYTES = 1 << 20
FEWEST_HIDE_MINUTES, MOST_HIDE_MINUTES = 1, 10


@dataclass(frozen=True, slots=True)
class Settings:
    """None: the user has not been asked yet. `ram` is in bytes.

    `units`, `drug_names` and `answers_in` are what the model is told of the place (`edgemed.clinical.region`).
    `emergency` is the emergency number as the user typed it.

    `vaults` has the number of openings of each vault id that was opened here, to notice an older copy. `problem` is a
    sentence about a file that could not be read, or could be read in part.
    """

    model: Path | None = None
    ram: int | None = None
    theme: str | None = None
    language: Language | None = None
    shared_computer: bool | None = None
    hide_minutes: int = 3
    units: Units | None = None
    drug_names: DrugNames | None = None
    answers_in: Language | None = None
    emergency: str | None = None
    vault: Path | None = None
    vaults: dict[str, int] = field(default_factory=dict)
    problem: str | None = None


def settings_path() -> Path:
    """Raises SetupError if the user has no home folder."""
    return xdg_folder("XDG_CONFIG_HOME", ".config") / "settings.json"


def xdg_folder(variable: str, otherwise: str) -> Path:
    """edgemed's folder under one of the XDG base directories. A relative path in the variable is ignored, as the
    specification says. Raises SetupError."""
    base = os.environ.get(variable, "")
    if not base.startswith("/"):
        try:
            base = str(Path.home() / otherwise)
        except RuntimeError:
            raise SetupError(f"There is no home folder; set HOME or {variable}.") from None
    return Path(base) / "edgemed"


def load() -> Settings:
    """The settings in the file, defaults for what it lacks. Never fails: `problem` says what could not be used."""
    path = settings_path()
    try:
        told = _read(path)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        return Settings(problem=f"The settings in {path} cannot be used ({reason}); defaults apply until you set them.")
    usable = {name: _decode(name, told[name]) for name in _NAMES if told.get(name) is not None}
    wrong = [name for name, value in usable.items() if value is None]
    problem = f"{', '.join(wrong)} in {path} cannot be used; set it again." if wrong else None
    return Settings(**{name: value for name, value in usable.items() if value is not None}, problem=problem)


def update(**changes: Any) -> Settings:
    """Set fields of Settings in the file and return all of them; None clears a field.

    A damaged file is kept under another name. Raises SetupError if the file cannot be written, TypeError for a field
    that does not exist, ValueError for a value that `load` would refuse.
    """
    for name, value in changes.items():
        if name not in _NAMES:
            raise TypeError(f"there is no setting {name}")
        if value is not None and _decode(name, _encode(value)) is None:
            raise ValueError(f"{name} cannot be {value!r}")
    path = settings_path()
    try:
        with _locked(path):
            try:
                told = _read(path)
            except (ValueError, RecursionError):
                _set_aside(path)
                told = {}
            told |= {name: _encode(value) for name, value in changes.items()}
            write_private(path.resolve(), json.dumps(told, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise SetupError(unwritable(path, error, "make it writable")) from None
    return load()


_NAMES = tuple(field.name for field in fields(Settings) if field.name != "problem")


def _encode(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _decode(name: str, value: Any) -> Any:
    """The value of a field; None if the file's value is not one."""
    valid: bool
    match name:
        case "model" | "vault":
            return Path(value) if isinstance(value, str) and value.startswith("/") and "\0" not in value else None
        case "ram":
            valid = type(value) is int and value > 0
        case "hide_minutes":
            valid = type(value) is int and FEWEST_HIDE_MINUTES <= value <= MOST_HIDE_MINUTES
        case "shared_computer":
            valid = isinstance(value, bool)
        case "language" | "answers_in":
            valid = value in ("en", "zh-CN")
        case "units":
            valid = value in UNITS
        case "drug_names":
            valid = value in DRUG_NAMES
        case "vaults":
            valid = isinstance(value, dict) and all(type(count) is int for count in value.values())
        case _:
            valid = isinstance(value, str)
    return value if valid else None


def _read(path: Path) -> dict[str, Any]:
    """The file's JSON object; empty if there is no file. Raises OSError, ValueError or RecursionError."""
    try:
        told = json.loads(read_private(path.resolve(), _MOST_BYTES))  # a dotfile is often a link
    except FileNotFoundError:
        return {}
    if not isinstance(told, dict):
        raise ValueError("not an object")
    return told


def _set_aside(path: Path) -> None:
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(kept)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other programs from changing the settings between our reading and our writing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF):
                raise
        yield
    finally:
        os.close(file)
