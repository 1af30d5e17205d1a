"""Writes the fixture vault of the newest schema: `python -m testing.vault_fixture`.

A commit that adds a migration runs this and adds `tests/data/vaults/NNNN.backup`, a backup of a vault at that schema.
It is never written again: tests/vault/test_migrations.py opens all of them with today's program.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgemed.chat.conversation import Conversation, Queued, Turn
from edgemed.engine.process.protocol import Sampling
from edgemed.vault import migrations
from edgemed.vault.audit import Entry
from edgemed.vault.backup import back_up
from edgemed.vault.folder import create
from edgemed.vault.keys import FLOOR
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "vaults"
PASSPHRASE = "fictitious patients only"
CASE = ("王先生，胸痛", "Mr W, 54, K 6.2 mmol/l")
ASKED = datetime(2026, 11, 29, 16, 30, tzinfo=UTC)


def conversation(case_id: str | None) -> Conversation:
    """A chat with every state and field that the first schema knows: siblings, a cut answer, provenance, a draft."""
    first = Turn(
        "患者主诉胸痛伴大汗，下一步？",
        "先做心电图和肌钙蛋白。",
        "whole",
        id="1" * 32,
        length="brief",
        asked=ASKED,
        sampling=Sampling(temperature=0.5, seed=7),
        seed=(1 << 64) - 1,
        weights_digest="ab" * 32,
        engine_version="0.1.0",
        prompt_digest="cd" * 32,
        context_used=321,
    )
    again = replace(first, id="2" * 32, raw="ECG and troponin first.", seed=8)
    cut = Turn("K 6.2: what now?", "Calcium gluconate 10 %", "stopped", id="3" * 32, parent=again.id, asked=ASKED)
    failed = Turn("And then?", "", "failed", "The engine ended.", id="4" * 32, parent=cut.id, asked=ASKED)
    return Conversation(
        id="a" * 32,
        title="First look",
        case_id=case_id,
        system="Answer briefly.",
        draft="half a quest",
        queued=[Queued("Waiting?", "full")],
        turns=[first, again, cut, failed],
        shown=[again.id, cut.id, failed.id],
    )


def fill(store: Store) -> None:
    case_id = store.new_case(*CASE)
    store.keep(Snapshot.of(conversation(case_id)))
    store.note("3" * 32, "asked the cardiologist")
    store.pin("cases", case_id)
    store.delete("cases", store.new_case("deleted", ""))
    store.set_setting("pin", "a hash")


def fill_audit(store: Store) -> None:
    """Rows of the audit, which the second schema has: of an answer, of an unsaved chat, and with a name."""
    chat = store.load("a" * 32)
    turn = next(turn for turn in chat.all_turns if turn.id == "1" * 32)
    store.record(Entry.asked(chat, turn, "rules"))
    store.record(Entry.answered(chat, turn, "rules"))
    store.set_setting("clinician", "王医生")
    store.record(Entry.of("copied", chat, "rules", {"turn": turn.id, "kind": "text"}))
    store.record(Entry.of("asked", Conversation(saved=False), "rules", {"kind": "secret"}))


def fill_note(store: Store) -> None:
    """A chat with a reviewed note, which the third schema has. No case, so that `told` does not see it."""
    turn = Turn("Write: SOAP note", "K 6.2.", "whole", id="5" * 32, asked=ASKED)
    turn.template, turn.instruction = "soap", "Write a SOAP note."
    store.keep(Snapshot.of(Conversation(id="b" * 32, turns=[turn])))
    store.note(turn.id, "K 6.2 mmol/l.", "王医生", ASKED)


def told(store: Store) -> dict[str, Any]:
    """Everything that `fill` wrote, as today's program reads it."""
    (case,) = store.cases()
    chat = store.load("a" * 32)
    fields = [name for name in Turn.__slots__ if name != "request"]
    return {
        "case": (case.title, case.header, case.pinned, case.chats),
        "deleted": [case.title for case in store.cases(deleted=True)],
        "chat": (chat.title, chat.system, chat.draft, chat.queued, chat.case_id == case.id),
        "turns": [[getattr(turn, name) for name in fields] for turn in chat.all_turns],
        "shown": [turn.id for turn in chat.turns],
        "setting": store.setting("pin"),
    }


def main() -> None:
    path = FOLDER / f"{migrations.steps()[-1].number:04}.backup"
    if path.exists():
        sys.exit(f"{path} exists; a fixture is made once, by the commit that adds its schema.")
    with TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        vault, _ = create(Path(folder) / "vault", PASSPHRASE, cost=FLOOR)
        vault.do(fill).result()
        vault.do(fill_audit).result()
        vault.do(fill_note).result()
        FOLDER.mkdir(exist_ok=True)
        back_up(vault, path)
        vault.close()
    print(path)


if __name__ == "__main__":
    main()
