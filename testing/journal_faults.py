"""A chat on a disk that is full at one write after the other: `python -m testing.journal_faults FOLDER`.

Needs LD_PRELOAD=full_disk.so. Prints after how many writes nothing failed any more, for a disk that is full once and
for one that stays full. Raises AssertionError if a fault loses something, or is told in anything but a sentence.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from errno import ENOSPC
from pathlib import Path
from typing import Any

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import ask
from edgemed.engine.process.protocol import Sampling
from edgemed.errors import EngineDied, VaultError
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.journal import Journal
from testing.fake_engine import FakeEngine, Step
from testing.timing import soon
from testing.vault_faults import fail_from
from testing.vault_faults import failed as failed_writes
from testing.vault_writer import CHEAP, PASSPHRASE

LONG = "case " * 1000


def attempt(work: Callable[[], Any]) -> bool:
    """Do this; return whether it worked. Only a sentence of the vault may be raised."""
    try:
        work()
    except VaultError as error:
        sentence = str(error)
        assert sentence.endswith("."), sentence
        assert "vault.db" in sentence, sentence
        return False
    except EngineDied:
        pass
    return True


def answer(conversation: Conversation, turn: Turn, journal: Journal, *script: Step) -> None:
    """Answer a turn. An answer that began is complete in memory, whatever the disk does."""
    engine = FakeEngine(script)
    attempt(lambda: list(ask(engine, conversation, turn, Sampling(seed=1), [journal])))
    if engine.asked:
        assert turn.raw.endswith("".join(step for step in script if isinstance(step, str))), turn
        assert turn.state in ("whole", "failed"), turn
    else:
        assert (turn.state, bool(turn.reason)) == ("failed", True), turn


def day(vault: Vault, journal: Journal, conversation: Conversation) -> None:
    """A little of everything that writes."""
    answer(conversation, conversation.ask(LONG), journal, "A 5", " mg")
    answer(conversation, conversation.ask("second"), journal, LONG, EngineDied("It died."))
    answer(conversation, conversation.resume(conversation.turns[-1]), journal, "C")
    conversation.draft = "draft"
    conversation.queue("next")
    for work in (
        lambda store: store.rename("chats", conversation.id, "title"),
        lambda store: store.set_setting("pin", "hash"),
        lambda store: store.delete("chats", store.chats()[-1].id),
        lambda store: store.purge(0),
    ):
        attempt(lambda work=work: vault.do(work).result())  # type: ignore[misc]
    attempt(journal.keep(conversation).result)


def facts(conversation: Conversation) -> list[dict[str, Any]]:
    return [asdict(turn) | {"request": ""} for turn in conversation.all_turns]


def run(folder: Path, skip: int, times: int) -> int:
    """One day with a full disk. Returns how many writes failed."""
    vault = unlock(folder, PASSPHRASE)
    journal, conversation = Journal(vault), Conversation()
    fail_from(folder, ENOSPC, skip)
    ctypes.CDLL(None).full_disk_times(ctypes.c_long(times))
    day(vault, journal, conversation)
    failed = failed_writes()
    fail_from(None, 0, 0)
    assert soon(lambda: not journal.fault and not journal.behind, 10), (journal.fault, journal.behind)
    for turn in conversation.all_turns:
        if turn.raw and turn.state == "failed":  # it could not be resumed, and its stored end is that before
            answer(conversation, conversation.resume(turn), journal, "E")
    journal.keep(conversation).result()
    vault.close()
    later = unlock(folder, PASSPHRASE)
    later.check().result()
    stored = later.do(lambda store: store.load(conversation.id)).result()
    for there, here in zip(facts(stored), facts(conversation), strict=True):
        different = {name: (there[name], here[name]) for name in here if there[name] != here[name]}
        assert not different, (skip, times, different)
    assert (stored.draft, stored.queued) == (conversation.draft, conversation.queued)
    later.close()
    return failed


def main() -> None:
    base = Path(sys.argv[1]) / "base"
    vault, _ = create(base, PASSPHRASE, cost=CHEAP)
    Journal(vault).keep(Conversation(draft=LONG)).result()
    vault.close()
    faults = {}
    for times in (1, -1):
        for skip in itertools.count(step=1 if times == 1 else 3):
            folder = Path(sys.argv[1]) / f"{times}-{skip}"
            shutil.copytree(base, folder)
            failed = run(folder, skip, times)
            shutil.rmtree(folder)
            if not failed:
                break
        faults[str(times)] = skip
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
