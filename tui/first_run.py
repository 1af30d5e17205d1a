"""The questions of the first run, in order, and what becomes of the answers. The screen and line mode share them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgemed.errors import EdgemedError, UsageError, VaultError
from edgemed.sizes import format_size, parse_size
from edgemed.tui.entrance import Entrance
from edgemed.tui.hiding.pin import normal_pin
from edgemed.vault.folder import create
from edgemed.vault.keys import calibrated
from edgemed.vault.words import refuse_weak, suggest_passphrase

if TYPE_CHECKING:
    from edgemed.vault.folder import Vault

Step = Literal["passphrase", "repeat", "model", "memory", "others", "pin", "make", "words", "check", "done"]
CHECKED_WORDS = 2

Make = Callable[[Path, str, int | None], "tuple[Vault, list[str]]"]


def make(folder: Path, passphrase: str, ram_bytes: int | None) -> tuple[Vault, list[str]]:
    """`create`, at the cost that suits this machine and its memory."""
    return create(folder, passphrase, cost=calibrated(ram_bytes))


@dataclass(frozen=True, slots=True)
class Question:
    """What to show for a step. `secret`: do not show what is typed. `listed`: words to show above the field."""

    heading: str
    text: str
    placeholder: str
    secret: bool = False
    listed: tuple[str, ...] = ()


class FirstRun:
    """Call `answer` for each question until `step` is "done"; at "make", call `make_vault` instead."""

    def __init__(self, entrance: Entrance, make: Make = make) -> None:
        self._words = entrance.words
        self._entrance = entrance
        self._make = make
        self._steps: list[Step] = ["passphrase", "repeat"]
        self._steps += ["model"] if entrance.settings.model is None else []
        self._steps += ["memory"] if entrance.suggested_ram else []
        self._steps += ["others", "pin", "make", "words"]
        self._steps += ["check"] * CHECKED_WORDS
        self._steps += ["done"]
        self._at = 0
        self._suggestion = suggest_passphrase()
        self._recovery: list[str] = []
        self._numbers: list[int] = []
        self.passphrase = ""
        self.pin = ""
        self._changes: dict[str, Any] = {"model": entrance.settings.model} if entrance.settings.model else {}
        self.settings = entrance.settings
        self.vault: Vault | None = None

    @property
    def step(self) -> Step:
        return self._steps[self._at]

    @property
    def question(self) -> Question:
        """The current question. Not for the steps "make" and "done"."""
        heading, text, placeholder = self._words.steps[self.step]
        number = self._numbers[self._checks_left] if self.step == "check" else 0
        fields = {"number": number, "suggested": format_size(self._entrance.suggested_ram or 0)}
        listed: tuple[str, ...] = ()
        if self.step == "passphrase":
            listed = (self._words.suggestion.format(words=self._suggestion),)
        elif self.step == "words":
            listed = tuple(f"{place:2} {word}" for place, word in enumerate(self._recovery, 1))
        secret = self.step in ("passphrase", "repeat", "pin")
        return Question(heading.format(**fields), text.format(**fields), placeholder.format(**fields), secret, listed)

    @property
    def _checks_left(self) -> int:
        return self._steps.count("check") - self._steps[: self._at].count("check") - 1

    def suggest_again(self) -> None:
        """Offer five other words."""
        self._suggestion = suggest_passphrase()

    def show_words_again(self) -> None:
        """Return from checking the recovery words to showing them."""
        if self.step == "check":
            self._at = self._steps.index("words")

    def answer(self, text: str) -> str:
        """Take the answer to the current question and go to the next one; return why not, as a sentence, or ""."""
        handler: Callable[[str], str] = getattr(self, f"_take_{self.step}")
        sentence = handler(text)
        if not sentence:
            self._at += 1
        return sentence

    def make_vault(self) -> None:
        """Make the vault. Blocks for seconds. Raises VaultError, SetupError."""
        ram_bytes = self._changes.get("ram", self.settings.ram)
        self.vault, self._recovery = self._make(self._entrance.folder, self.passphrase, ram_bytes)
        self.settings = self._entrance.remember(**self._changes)
        self._numbers = sorted(secrets.SystemRandom().sample(range(1, len(self._recovery) + 1), CHECKED_WORDS))[::-1]
        self._at += 1

    def _take_passphrase(self, text: str) -> str:
        self.passphrase = text.strip() or self._suggestion
        try:
            refuse_weak(self.passphrase)
        except VaultError:
            return self._words.too_weak
        return ""

    def _take_repeat(self, text: str) -> str:
        if " ".join(text.split()) == " ".join(self.passphrase.split()):
            return ""
        self._at = self._steps.index("passphrase")
        return self._words.differs

    def _take_model(self, text: str) -> str:
        model = Path(text.strip()).expanduser().absolute()
        try:
            self._entrance.open_session(replace(self._entrance.settings, model=model))
        except EdgemedError as error:
            return str(error)
        self._changes["model"] = model
        return ""

    def _take_memory(self, text: str) -> str:
        if text.strip():
            try:
                self._changes["ram"] = parse_size(text.strip())
            except UsageError:
                return self._words.not_a_size
        return ""

    def _take_others(self, text: str) -> str:
        said = text.strip().lower()
        if said not in (*self._words.yes, *self._words.no):
            return self._words.not_yes_or_no
        self._changes["shared_computer"] = said in self._words.yes
        return ""

    def _take_pin(self, text: str) -> str:
        if text.strip() and normal_pin(text) is None:
            return self._words.not_a_pin
        self.pin = normal_pin(text) or ""
        return ""

    def _take_words(self, text: str) -> str:
        return ""

    def _take_check(self, text: str) -> str:
        number = self._numbers[self._checks_left]
        if text.strip().lower() == self._recovery[number - 1]:
            return ""
        return self._words.wrong_word.format(number=number)

    def start_again(self) -> None:
        """Return to the first question, because the vault could not be made."""
        self._at = 0
