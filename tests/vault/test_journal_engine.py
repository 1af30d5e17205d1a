"""The journal beside a real engine process that is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Piece, Sampling
from edgemed.errors import EngineDied
from edgemed.vault.folder import create, unlock
from edgemed.vault.journal import Journal
from tests.engine.conftest import model_path, models
from tests.vault.conftest import CHEAP, PASSPHRASE

__all__ = ["model_path", "models"]


@pytest.mark.slow
def test_the_text_of_a_killed_engine_is_kept_and_continued_after_a_restart(tmp_path: Path, model_path: Path) -> None:
    vault, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    conversation, journal = Conversation(), Journal(vault)
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        turn = conversation.ask("What is a fever?")
        events = ask(engine, conversation, turn, Sampling(max_tokens=100_000), [journal])
        next(event for event in events if isinstance(event, Piece) and event.text)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineDied):
            list(events)
        vault.close()
        vault = unlock(tmp_path / "vault", PASSPHRASE)
        loaded = vault.do(lambda store: store.load(conversation.id)).result()
        kept = loaded.turns[0]
        assert (kept.raw, kept.state, kept.prompt_digest) == (turn.raw, "failed", turn.prompt_digest)
        engine.restart()
        list(ask(engine, loaded, loaded.resume(kept), Sampling(max_tokens=5), [Journal(vault)]))
        assert kept.raw.startswith(turn.raw)
        assert len(kept.raw) > len(turn.raw)
        assert engine.preview(loaded.messages(kept), kept.continued).digest == kept.prompt_digest
        again = vault.do(lambda store: store.load(conversation.id)).result().turns[0]
        assert (again.raw, again.state, again.resumed_at) == (kept.raw, "length", len(turn.raw))
    vault.close()
