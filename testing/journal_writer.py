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


def paced(draw: random.Random) -> Iterator[Step]:
    """A script with a little time before each piece, as a model needs it. Sometimes the engine dies."""
    dies_at = draw.randrange(150)
    for number in range(30):
        time.sleep(draw.choice([0.0, 0.001, 0.01, 0.1]))
        yield (
            EngineDied("It died.") if number == dies_at else f"{draw.randrange(10**6)} mg 胸痛 " * draw.choice([1, 20])
        )


def chat(vault: Vault, draw: random.Random) -> None:
    """Ask, regenerate, resume and tidy up for ever."""
    journal, conversation = Journal(vault), Conversation()
    while True:
        resumable = [turn for turn in conversation.all_turns if conversation.resumable(turn)]
        if resumable and draw.random() < 0.5:
            turn = conversation.resume(resumable[-1])
        elif conversation.turns and draw.random() < 0.3:
            turn = conversation.regenerate(draw.choice(conversation.turns))
        else:
            turn = conversation.ask(f"question {draw.randrange(10**6)} " * draw.choice([1, 2000]))
        answer(FakeEngine(paced(draw)), conversation, turn, journal)
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
