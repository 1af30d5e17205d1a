"""Line mode on a vault: the first run's questions or the passphrase, then the chat."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

from edgemed.chat.conversation import Conversation
from edgemed.errors import WrongPassphrase
from edgemed.tui.entrance import Entrance
from edgemed.tui.first_run import FirstRun
from edgemed.tui.kept import Kept
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.unlock import explained
from edgemed.vault.folder import exists, unlock

if TYPE_CHECKING:
    from edgemed.settings import Settings
    from edgemed.vault.folder import Vault

TRIES = 3


class Ask(Protocol):
    def __call__(self, prompt: str, *, secret: bool) -> str | None:
        """One line that the user types after `prompt`; None at the end of the input."""


def chat_in_lines(entrance: Entrance, ask: Ask) -> int:
    """Open the vault and chat in line mode; return the exit code. Raises EdgemedError."""
    if entrance.demonstration:
        _say(entrance.demonstration)
    opened = _unlock(entrance, ask) if exists(entrance.folder) else _first_run(entrance, ask)
    if opened is None:
        return 0
    vault, settings, secret = opened
    try:
        kept = asyncio.run(Kept.open(vault, secret))
        session = kept.joined_to(entrance.open_session(settings))
        for notice in vault.notices(entrance.language):
            _say(notice)
        conversation = Conversation() if entrance.passphrase else asyncio.run(kept.last_conversation())
        try:
            return PlainChat(session, conversation).run()
        finally:
            kept.recorder.record("closed")
            kept.close()
    finally:
        vault.close()


def _unlock(entrance: Entrance, ask: Ask) -> tuple[Vault, Settings, str] | None:
    if entrance.passphrase:
        return unlock(entrance.folder, entrance.passphrase), entrance.settings, entrance.passphrase
    heading, _, placeholder = entrance.words.unlock
    _say(heading)
    for left in reversed(range(TRIES)):
        secret = ask(f"{placeholder}: ", secret=True)
        if secret is None:
            return None
        try:
            return unlock(entrance.folder, secret), entrance.settings, secret
        except WrongPassphrase as error:
            if not left:
                raise
            _say(explained(error, entrance.language, entrance.words))
    return None


def _first_run(entrance: Entrance, ask: Ask) -> tuple[Vault, Settings, str] | None:
    run = FirstRun(entrance)
    while run.step != "done":
        if run.step == "make":
            _say(entrance.words.making)
            run.make_vault()
            continue
        question = run.question
        for line in ("", question.heading, question.text, *question.listed):
            _say(line)
        typed = ask(f"{question.placeholder}: ", secret=question.secret)
        if typed is None:
            if run.vault is not None:
                run.vault.close()
            return None
        _say(run.answer(typed))
    assert run.vault is not None
    return run.vault, run.settings, run.passphrase


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
