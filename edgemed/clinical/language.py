"""The interface's languages, and how the user's language is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh-CN"]


def language_of(environment: Mapping[str, str]) -> Language:
    """The interface's language for a process environment, by POSIX's order of precedence for messages."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value:
            return "zh-CN" if value.lower().startswith("zh") else "en"
    return "en"
