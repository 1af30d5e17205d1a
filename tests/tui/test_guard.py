"""When the screen hides and locks by itself, and what shows it again."""

from __future__ import annotations

import pytest

from edgemed.tui.hiding.driver import BLANK, Shutter
from edgemed.tui.hiding.guard import LOCK_SECONDS, Guard
from edgemed.tui.hiding.pin import digest_of, matches, normal_pin


class Clocks:
    now = 100.0
    asleep = 5.0


def guard(**options: bool) -> tuple[Guard, Clocks]:
    clocks = Clocks()
    return Guard(180.0, now=lambda: clocks.now, asleep=lambda: clocks.asleep, **options), clocks


def test_it_hides_after_three_minutes_without_a_key() -> None:
    watched, clocks = guard()
    clocks.now += 179
    assert watched.due(answering=True) == ""
    clocks.now += 1
    assert watched.due(answering=True) == "hide"
    watched.touched()
    assert watched.due(answering=False) == ""


def test_it_locks_after_thirty_minutes_hidden() -> None:
    watched, clocks = guard()
    watched.hide()
    clocks.now += LOCK_SECONDS - 1
    assert watched.due(answering=True) == ""
    clocks.now += 1
    assert watched.due(answering=True) == "lock"
    watched.show()
    assert watched.due(answering=True) == ""


def test_on_a_shared_computer_it_locks_when_the_answer_ends() -> None:
    watched, _ = guard(shared=True)
    assert watched.due(answering=False) == ""
    watched.hide()
    assert watched.due(answering=True) == ""
    assert watched.due(answering=False) == "lock"


def test_a_suspend_is_noticed_once() -> None:
    watched, clocks = guard()
    assert not watched.slept()
    clocks.asleep += 0.2  # the two clocks are not read at the same moment
    assert not watched.slept()
    clocks.asleep += 3600
    assert watched.slept()
    assert not watched.slept()


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        *[("1234", "1234"), (" 12345678 ", "12345678"), ("１２３４", "1234"), ("123", None), ("123456789", None)],
        *[("1111", None), ("12a4", None), ("", None), ("٣٤٥٦", None)],
    ],
)
def test_a_pin_has_four_to_eight_digits(text: str, pin: str | None) -> None:
    assert normal_pin(text) == pin


def test_a_digest_matches_its_secret_as_the_vault_would() -> None:
    digest = digest_of("five  random ｗｏｒｄｓ")
    assert matches("five random words", digest)
    assert not matches("five random word", digest)
    assert "words" not in digest
    assert digest != digest_of("five random words")


class Terminal:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return 1


def test_a_shut_terminal_drops_what_was_queued_before_it_is_reopened() -> None:
    terminal = Terminal()
    shutter = Shutter(terminal)  # type: ignore[arg-type]
    shutter.write("one")
    shutter.shut()
    for text in ("two", "three", Shutter.REOPEN, "four"):
        shutter.write(text)
    assert terminal.text == f"one{BLANK}four"
