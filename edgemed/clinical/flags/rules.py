"""The rule files of the red flags: their digest, their sources, and who has reviewed them (nobody yet)."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

_REVIEW = "review.toml"
NOT_READ = "source not read here"


@cache
def files(start: str = "", ending: str = ".toml") -> tuple[tuple[str, str], ...]:
    """Name and text of every rule file whose name begins with `start`, by name. The signature is none of them."""
    folder = resources.files("edgemed.clinical.flags")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(ending))
    return tuple(
        (name, (folder / name).read_text(encoding="utf-8"))
        for name in names
        if name.startswith(start) and name != _REVIEW
    )


@cache
def digest() -> str:
    """SHA-256 over the names and texts of the rule files and of the code that applies them, in hexadecimal digits."""
    total = hashlib.sha256()
    for name, text in (*files(), *files(ending=".py")):
        for part in (name.encode(), text.encode()):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def rules_version() -> str:
    """The first 12 digits of the digest, for records and reports."""
    return digest()[:12]


def reviewed_by() -> str:
    """Who has signed exactly these rule files; empty if nobody has, or if a file has changed since."""
    text = (resources.files("edgemed.clinical.flags") / _REVIEW).read_text(encoding="utf-8")
    return signed(tomllib.loads(text), digest())


def signed(review: Mapping[str, object], rules_digest: str) -> str:
    """The name in `review` if it stands beside this digest."""
    name = review.get("clinically_reviewed_by")
    return name.strip() if isinstance(name, str) and review.get("digest") == rules_digest else ""


@cache
def _sources() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(dict(files("sources.")).get("sources.toml", ""))


def enabled(key: str) -> bool:
    """Whether the rules of a source are on by default: only if the source was read in the words of its edition."""
    return _sources().get(key, {}).get("read") is True


def source(key: str) -> str:
    """Publication and edition, as a flag shows them."""
    words = str(_sources().get(key, {}).get("short", key))
    return words if enabled(key) else f"{words}, {NOT_READ}"
