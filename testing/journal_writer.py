"""Chats with a scripted engine on a real vault until it is killed: `python -m testing.journal_writer FOLDER SEED`.

Prints a line of JSON for everything that a person would have seen: a question sent, a piece of an answer shown, a chat
renamed, a draft kept. `at` is CLOCK_MONOTONIC, which all processes share.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import ask
from edgemed.engine.process.protocol import Piece
from edgemed.errors import EngineDied
from edgemed.vault.folder import Vault, unlock
from edgemed.vault.journal import Journal
from testing.fake_engine import FakeEngine, Step

PASSPHRASE = "correct horse battery staple"


def tell(what: str, **facts: str | float) -> None:
    line = json.dumps({"what": what, "at": time.monotonic()} | facts) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


class Pacing(FakeEngine):
    """Waits a little before each piece, as a model does."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self._draw = draw

    def add(self, *script: Step) -> None:
        self._scripts.append(script)

    def generate(self, *arguments: object, **named: object) -> Iterator[object]:  # type: ignore[override]
        for event in super().generate(*arguments, **named):  # type: ignore[arg-type]
            time.sleep(self._draw.choice([0.0, 0.001, 0.01, 0.1]))
            yield event


def chat(vault: Vault, draw: random.Random) -> None:
    """Ask, regenerate, resume and tidy up for ever."""
    engine, journal, conversation = Pacing(draw), Journal(vault), Conversation()
    while True:
        pieces: list[Step] = [f"{draw.randrange(10**6)} mg 胸痛 " * draw.choice([1, 20]) for _ in range(30)]
        if draw.random() < 0.2:
            pieces.insert(draw.randrange(30), EngineDied("It died."))
        engine.add(*pieces)
        resumable = [turn for turn in conversation.all_turns if conversation.resumable(turn)]
        if resumable and draw.random() < 0.5:
            turn = conversation.resume(resumable[-1])
        elif conversation.turns and draw.random() < 0.3:
            turn = conversation.regenerate(draw.choice(conversation.turns))
        else:
            turn = conversation.ask(f"question {draw.randrange(10**6)} " * draw.choice([1, 2000]))
        answer(engine, conversation, turn, journal)
        tidy(vault, conversation, journal, draw)
        if draw.random() < 0.2:
            conversation = Conversation()


def answer(engine: FakeEngine, conversation: Conversation, turn: Turn, journal: Journal) -> None:
    try:
        for event in ask(engine, conversation, turn, hooks=[journal]):
            if isinstance(event, Piece):
                names = {"chat": conversation.id, "turn": turn.id, "question": turn.question}
                tell("shown", text=turn.raw, behind=journal.behind, **names)
    except EngineDied:
        pass


def tidy(vault: Vault, conversation: Conversation, journal: Journal, draw: random.Random) -> None:
    title, draft = f"title {draw.randrange(10**6)}", f"draft {draw.randrange(10**6)}"
    vault.do(lambda store: store.rename("chats", conversation.id, title)).result()
    tell("titled", chat=conversation.id, text=title)
    conversation.draft = draft
    journal.keep(conversation).result()
    tell("drafted", chat=conversation.id, text=draft)


def main() -> None:
    vault = unlock(Path(sys.argv[1]), PASSPHRASE)
    tell("ready")
    chat(vault, random.Random(int(sys.argv[2])))


if __name__ == "__main__":
    main()
