"""How long the vault takes with 2,000 messages: search, lists, opening a chat, storing a question and a second of text.

    python -m benchmarks.chats [--messages 2000] [--words 250] [--rounds 20] [--json]

Makes a vault with chats of 50 messages and one chat with all of them again. Times are medians in milliseconds; `search`
is the slowest query, `unlock` at the default cost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from edgemed.chat.conversation import Conversation
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.rows import Snapshot, answer_row
from edgemed.vault.search import Index

PASSPHRASE = "correct horse battery staple"
SENTENCE = "the patient has chest pain 患者主诉 胸痛伴大汗 K 6.2 mmol/L lactate 3.4 dose 500 mg twice a day with food"
WORDS = SENTENCE.split()
QUERIES = ("胸痛", "K 6.2", "500mg", "pain arm dose", "patient", "absent")


def chat(messages: int, words: int, draw: random.Random) -> Conversation:
    """An answered conversation. A question and its answer are two messages."""
    conversation = Conversation()
    for _ in range(messages // 2):
        turn = conversation.ask(" ".join(draw.choices(WORDS, k=words // 2)))
        turn.raw, turn.state = " ".join(draw.choices(WORDS, k=words + words // 2)), "whole"
    return conversation


def milliseconds(work: Callable[[], Any], rounds: int) -> float:
    """Median time of a call."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def measure(vault: Vault, long: Conversation, rounds: int) -> dict[str, float]:
    """Milliseconds by name."""
    snapshot, answer = Snapshot.of(long), answer_row(long.turns[-1])
    index = Index()
    found = {"read_for_search": milliseconds(lambda: (index.clear(), index.load(vault)), 3)}
    vault.do(lambda store: store.keep(snapshot)).result()
    found["search"] = max(milliseconds(lambda query=query: index.find(query), rounds) for query in QUERIES)  # type: ignore[misc]
    found["list"] = milliseconds(lambda: vault.do(lambda store: store.chats()).result(), rounds)
    found["open_chat"] = milliseconds(lambda: vault.do(lambda store: store.load(long.id)).result(), rounds)
    found["store_question"] = milliseconds(lambda: vault.do(lambda s: s.begin(snapshot, answer)).result(), rounds)
    found["store_answer"] = milliseconds(lambda: vault.do(lambda store: store.write_answer(answer)).result(), rounds)
    return found


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--words", type=int, default=250, help="words in an average message")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
        place = Path(folder) / "vault"
        vault, _ = create(place, PASSPHRASE)
        chats = [chat(50, args.words, draw) for _ in range(args.messages // 50)]
        for each in chats:
            vault.do(lambda store, each=each: store.keep(Snapshot.of(each))).result()  # type: ignore[misc]
        vault.close()
        began = time.perf_counter()
        vault = unlock(place, PASSPHRASE)
        found = {"unlock": 1000 * (time.perf_counter() - began)}
        long = chat(args.messages, args.words, draw)
        found |= measure(vault, long, args.rounds)
        vault.close()
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:16} {value:8.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
