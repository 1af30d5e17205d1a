"""The templates of one language: those that come with the program, and the user's files, which replace them by name."""

from __future__ import annotations

import re
from pathlib import Path

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.language import Language
from edgemed.clinical.notes.template import Template, TemplateError
from edgemed.private_files import read_private, write_private

SHIPPED = Path(__file__).parent / "templates"
NAMES = ("soap", "progress", "discharge", "referral", "patient")
"""The shipped ones, in the order in which they are offered."""
MOST_BYTES = 64 << 10
_NAME = re.compile(r"[\w-]{1,40}")


class Library:
    """`folder` has one folder of `NAME.txt` files for each language; None: shipped templates only."""

    def __init__(self, folder: Path | None, language: Language) -> None:
        self._shipped = SHIPPED / language
        self._own = folder / language if folder is not None else None

    @property
    def names(self) -> list[str]:
        """The shipped ones, then the user's by name."""
        own = sorted(path.stem for path in self._own.glob("*.txt")) if self._own and self._own.is_dir() else []
        return [*NAMES, *(name for name in own if name not in NAMES and _NAME.fullmatch(name))]

    def named(self, name: str) -> str | None:
        """The name of a template as it is spelt, for one typed in any case; None if there is no such template."""
        names = self.names
        return name if name in names else next((each for each in names if each.casefold() == name.casefold()), None)

    def path(self, name: str) -> Path | None:
        """Where the user's version of a template is, or would be; None if nothing can be stored under this name."""
        return self._own / f"{name}.txt" if self._own is not None and _NAME.fullmatch(name) else None

    def text(self, name: str) -> str:
        """The text of a template's file. Raises TemplateError if it cannot be read."""
        own = self.path(name)
        try:
            if own is not None and own.exists():
                return read_private(own.resolve(), MOST_BYTES).decode()
            return (self._shipped / f"{name}.txt").read_text("utf-8")
        except (OSError, ValueError):
            raise TemplateError("unreadable") from None

    def get(self, name: str) -> Template:
        """Raises TemplateError."""
        return Template.parse(name, self.text(name))

    def title(self, name: str) -> str:
        """The title, or the name if the template is broken."""
        try:
            return self.get(name).title
        except TemplateError:
            return name

    def save(self, name: str, text: str) -> Path:
        """Store the user's version, also if it is broken. Raises OSError, ValueError for a name that cannot be used."""
        own = self.path(name)
        if own is None:
            raise ValueError(f"{name!r} cannot name a template")
        own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(own, text.encode(errors="replace"))
        return own


def identity_in(text: str, header: CaseHeader) -> str:
    """A birth date or number of the case that stands in a template's text; empty if none does."""
    return next((value for value in (header.born, header.number) if len(value) > 3 and value in text), "")
