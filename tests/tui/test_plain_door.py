"""Line mode on a vault: the same questions, without a screen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.errors import WrongPassphrase
from edgemed.tui.plain import door
from edgemed.vault.folder import unlock
from testing.fake_engine import FakeEngine
from tests.tui.vaults import PASSPHRASE, entrance, forty_cases, make, make_vault


class Typed:
    """Answers each prompt with the next line, and remembers which were secret."""

    def __init__(self, *lines: str) -> None:
        self._lines: Iterator[str] = iter(lines)
        self.secret: list[bool] = []
        self.prompts: list[str] = []

    def __call__(self, prompt: str, *, secret: bool) -> str | None:
        self.secret.append(secret)
        self.prompts.append(prompt)
        return next(self._lines, None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user asks one question, then leaves."""
    monkeypatch.setattr("sys.stdin", io.StringIO("And now?\n"))


@pytest.mark.usefixtures("asked")
def test_a_vault_is_unlocked_and_its_last_chat_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, engine = make_vault(tmp_path / "vault", forty_cases), FakeEngine(["Wait."])
    typed = Typed("not the passphrase", PASSPHRASE)
    assert door.chat_in_lines(entrance(folder, engine), ask=typed) == 0
    assert typed.secret == [True, True]
    said = capsys.readouterr().out
    assert "Your chats are locked" in said
    assert "This does not open the vault" in said
    assert "Wait." in said
    assert [message.content for message in engine.asked[0]][-1].startswith("And now?")
    assert "Drugazole00" in engine.asked[0][1].content, "the last chat"
    vault = unlock(folder, PASSPHRASE)
    chat = vault.do(lambda store: store.load(store.chats()[0].id)).result()
    vault.close()
    assert [turn.raw for turn in chat.turns][-1] == "Wait."


def test_three_wrong_passphrases_are_enough(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    with pytest.raises(WrongPassphrase):
        door.chat_in_lines(entrance(folder), ask=Typed(*["wrong"] * 5))
    assert door.chat_in_lines(entrance(folder), ask=Typed()) == 0  # Ctrl+D


@pytest.mark.usefixtures("asked")
def test_the_first_run_asks_the_same_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemed.tui.first_run.create", lambda folder, passphrase, cost: make(folder, passphrase))
    monkeypatch.setattr("edgemed.tui.first_run.calibrated", lambda ram: None)

    class Following(Typed):
        def __call__(self, prompt: str, *, secret: bool) -> str | None:
            if prompt.startswith("Word "):
                number = int(prompt.removeprefix("Word ").rstrip(": "))
                said = capsys.readouterr().out
                self.words = getattr(self, "words", {}) | dict(
                    line.split() for line in said.splitlines() if len(line.split()) == 2 and line.split()[0].isdigit()
                )
                return str(self.words[str(number)])
            return super().__call__(prompt, secret=secret)

    typed = Following(PASSPHRASE, PASSPHRASE, "n", "2580", "")
    folder = tmp_path / "vault"
    assert door.chat_in_lines(entrance(folder, FakeEngine(["Wait."])), ask=typed) == 0
    assert typed.secret == [True, True, False, True, False]
    vault = unlock(folder, PASSPHRASE)
    assert len(vault.do(lambda store: store.chats()).result()) == 1
    vault.close()
