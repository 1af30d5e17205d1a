"""`ask` on a tiny real model in a real engine process: the digest is that of the prompt that was computed."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import threading
from pathlib import Path

import pytest
from llama_cpp import llama_cpp

from edgemed import __version__
from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import ask
from edgemed.engine.chat_template import ChatTemplate
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Message, Piece, Sampling
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineDied, EngineError
from edgemed.model_file import open_model


def independent_digest(path: Path, messages: list[Message]) -> str:
    """The prompt's digest, computed in this process with a separate vocabulary; `struct` packs each id."""
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
    try:
        file = open_model(path)
        vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(model), file.end_ids, file.hparams.END_TOKENS)
        source = file.metadata["tokenizer.chat_template"]
        template = ChatTemplate(source, vocabulary.reserved_texts, vocabulary.template_variables())
        ids = vocabulary.encode(template.render(messages))
    finally:
        llama_cpp.llama_model_free(model)
    return hashlib.sha256(b"".join(struct.pack("<i", token) for token in ids)).hexdigest()


def answer(engine: Engine, conversation: Conversation, question: str, sampling: Sampling) -> Turn:
    turn = conversation.ask(question)
    list(ask(engine, conversation, turn, sampling))
    return turn


@pytest.mark.slow
def test_the_digest_is_of_the_prompts_tokens(engine: Engine, models: dict[str, Path]) -> None:
    conversation = Conversation(system="Be brief.")
    for question in ("What is a fever?", "胸痛三天? <|role_end|>"):
        messages = [*conversation.messages(), Message("user", question)]
        turn = answer(engine, conversation, question, Sampling(max_tokens=5))
        assert turn.prompt_digest == independent_digest(models["llama.cpp"], messages)
    assert len({turn.prompt_digest for turn in conversation.turns}) == 2


def test_a_finished_answer_is_known_completely(engine: Engine) -> None:
    conversation = Conversation()
    turn = answer(engine, conversation, "What is a fever?", Sampling(max_tokens=5))
    assert turn.state == "length"
    assert turn.weights_digest == engine.info.weights_digest
    assert len(turn.weights_digest or "") == 64
    assert turn.engine_version == __version__
    again = answer(engine, Conversation(), turn.question, Sampling(max_tokens=5, seed=turn.seed))
    assert again.prompt_digest == turn.prompt_digest


def test_a_prompt_beyond_the_context_has_its_digest_too(engine: Engine) -> None:
    conversation = Conversation()
    turn = conversation.ask("fever " * engine.info.n_ctx)
    with pytest.raises(EngineError, match="start a new chat"):
        list(ask(engine, conversation, turn))
    assert turn.state == "failed"
    assert turn.prompt_digest is not None


def test_a_stop_that_comes_first_sends_nothing(engine: Engine) -> None:
    conversation = Conversation()
    turn = conversation.ask("What is a fever?")
    engine.stop(turn.request)
    (finished,) = ask(engine, conversation, turn)
    assert (turn.state, turn.raw, turn.prompt_digest) == ("stopped", "", None)
    assert finished.seed == turn.seed  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_stopped_answer_and_one_whose_engine_dies_keep_their_text_and_their_origin(model_path: Path) -> None:
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        for end in ("stopped", "failed"):
            conversation = Conversation()
            turn = conversation.ask("What is a fever?")
            events = ask(engine, conversation, turn, Sampling(max_tokens=100_000))
            next(event for event in events if isinstance(event, Piece) and event.text)
            if end == "stopped":
                threading.Thread(target=engine.stop, args=(turn.request,)).start()
                list(events)
            else:
                os.kill(engine.pid, signal.SIGKILL)
                with pytest.raises(EngineDied):
                    list(events)
                assert "SIGKILL" in turn.reason
            assert turn.state == end
            assert turn.raw
            assert turn.prompt_digest is not None
            assert turn.seed is not None
            assert turn.weights_digest == engine.info.weights_digest
