"""kill -9 of the process that shows an answer: what was on the screen a second before is in the vault.

EDGEMED_KILLS sets how often it is killed (default 3). The moments differ from run to run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.vault.folder import Vault, create, unlock
from testing.journal_writer import PASSPHRASE
from tests.vault.conftest import CHEAP

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EDGEMED_KILLS", "3"))
LONGEST = 4.0
PROMISED = 1.0
"""Seconds after which what was shown is on the disk, unless the screen said that the disk is behind."""


def killed(folder: Path, seed: int) -> tuple[list[dict[str, Any]], float]:
    """Let a process chat for a random time and kill it. Returns what it showed, and when it was killed."""
    command = [sys.executable, "-m", "testing.journal_writer", str(folder), str(seed)]
    told = folder.with_name(f"told-{seed}")
    with told.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE) as writer:
        while not told.stat().st_size:
            assert writer.poll() is None, writer.communicate()[1].decode()
            time.sleep(0.01)
        time.sleep(random.uniform(0, LONGEST))
        assert writer.poll() is None, writer.communicate()[1].decode()
        at = time.monotonic()
        writer.kill()
    lines = told.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")], at


class Kept(dict[str, Conversation]):
    """The chats in a vault, loaded when they are asked for."""

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._vault = vault

    def __missing__(self, chat: str) -> Conversation:
        self[chat] = self._vault.do(lambda store: store.load(chat)).result()
        return self[chat]


@pytest.mark.parametrize("seed", range(KILLS))
def test_what_was_shown_is_kept(tmp_path: Path, seed: int) -> None:
    place = tmp_path / "vault"
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    told, at = killed(place, seed)
    vault = unlock(place, PASSPHRASE)
    try:
        vault.check().result()
        kept = Kept(vault)
        titles: dict[str, str] = {}
        drafts: dict[str, str] = {}
        for line in told[1:]:
            if line["what"] == "titled":
                titles[line["chat"]] = line["text"]
            elif line["what"] == "drafted":
                drafts[line["chat"]] = line["text"]
            else:
                (turn,) = [turn for turn in kept[line["chat"]].all_turns if turn.id == line["turn"]]
                assert turn.question == line["question"]
                assert turn.state != "open"
                if line["at"] < at - PROMISED and line["behind"] < PROMISED:
                    assert turn.raw.startswith(line["text"]), f"{at - line['at']:.2f} s, {line['behind']:.2f} behind"
        for chat, title in titles.items():
            conversation = kept[chat]
            assert title == conversation.title or chat == told[-1].get("chat")  # one more rename may have come through
            assert conversation.draft == drafts.get(chat, "") or chat == told[-1].get("chat")
        if told[-1]["what"] == "shown":
            last = next(turn for turn in kept[told[-1]["chat"]].all_turns if turn.id == told[-1]["turn"])
            assert last.state in ("interrupted", "whole", "failed")
    finally:
        vault.close()
