"""A model that reads: passages of tokens in, the logits of every position out. Used by calibration and evaluation.

Only a child process opens one (`edgemed.engine.process.job`).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llama_cpp import llama_cpp
from numpy.typing import NDArray

from edgemed.engine.chat_template import ChatTemplate, Span
from edgemed.engine.cores import physical_cores
from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import load_model
from edgemed.engine.offload import HOST, Offload
from edgemed.engine.process.protocol import Message
from edgemed.engine.residual import ResidualSize
from edgemed.engine.sampling import refuse_no_numbers
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineError, UsageError
from edgemed.model_file import ModelFile

SHORTEST, LONGEST = 32, 8192  # tokens of a passage
Turns = Sequence[tuple[str, str]]  # (role, content)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a text; `lead` of them stand before its first own word (the chat template's, or a start token)."""

    tokens: list[int]
    lead: int


class ScoringModel:
    """Loads the model. `passage`: the most tokens read at once; their logits are all there afterwards, and with
    `residual` the size of the residual stream too. `caller_bytes`: of ram_bytes, what the caller is about to take.

    Raises what `load_model` raises, and UsageError for a passage that the model cannot read.
    """

    def __init__(
        self,
        file: ModelFile,
        *,
        passage: int,
        ram_bytes: int | None,
        threads: int | None,
        offload: Offload = HOST,
        residual: bool = False,
        caller_bytes: int = 0,
    ) -> None:
        longest = min(LONGEST, file.hparams.n_ctx_train)
        if not SHORTEST <= passage <= longest:
            raise UsageError(
                f"Passages of {passage} tokens are not possible with this model; take {SHORTEST} to {longest}."
            )
        self.file = file
        self.passage = passage
        self.residual = ResidualSize(file.hparams.n_layer, file.hparams.n_embd) if residual else None
        self.loaded = load_model(
            file,
            LoadSettings(
                ram_bytes=ram_bytes,
                n_ctx=passage,
                threads=threads or physical_cores(),
                n_batch=passage,
                n_outputs=passage,
                offload=offload,
                watch=self.residual.callback if self.residual else None,
                caller_bytes=caller_bytes,
            ),
        )
        self.vocabulary = Vocabulary(self.loaded.vocab, file.end_ids, file.hparams.END_TOKENS)
        source = file.metadata.get("tokenizer.chat_template")
        self._template = (
            ChatTemplate(source, self.vocabulary.reserved_texts, self.vocabulary.template_variables())
            if isinstance(source, str) and source.strip()
            else None
        )

    def close(self) -> None:
        self.loaded.close()

    def encode_text(self, text: str) -> Encoded:
        """A plain text; special tokens in it are text like any other."""
        start = []
        if llama_cpp.llama_vocab_get_add_bos(self.loaded.vocab):
            start = [int(llama_cpp.llama_vocab_bos(self.loaded.vocab))]
        return Encoded([*start, *self.vocabulary.encode([Span(text, True)])], len(start))

    def encode_chat(self, turns: Turns) -> Encoded:
        """A conversation in the model's own framing; it ends where the next turn of the assistant begins, or, if the
        assistant spoke last, with the end of that turn. Without a chat template the turns follow one another."""
        if self._template is None:
            return self.encode_text("\n".join(content for _, content in turns))
        spans = self._framed(tuple(turns))
        first = next((at for at, span in enumerate(spans) if span.from_message), 0)
        lead = self.vocabulary.encode(spans[:first])
        body = spans[first:]
        if turns[-1][0] != "assistant":
            return Encoded([*lead, *self.vocabulary.encode(body)], len(lead))
        tail = [] if body[-1].from_message else [body.pop()]
        closing = self.vocabulary.encode(tail)
        ends = next((at + 1 for at, token in enumerate(closing) if token in self.vocabulary.ends), 0)
        return Encoded([*lead, *self.vocabulary.encode(body), *closing[:ends]], len(lead))

    def logits(self, tokens: Sequence[int], first: int = 0) -> NDArray[np.float32]:
        """Logits [len(tokens) - first, vocabulary] from position `first` on; valid until the next call.

        The passage is read by itself, from an empty context. Raises EngineError.
        """
        assert 0 <= first < len(tokens) <= self.passage
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.loaded.ctx), False)
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for at, token in enumerate(tokens):
                batch.token[at], batch.pos[at] = token, at
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, 0
                batch.logits[at] = at >= first
            status = llama_cpp.llama_decode(self.loaded.ctx, batch)
        finally:
            llama_cpp.llama_batch_free(batch)
        if status != 0:
            fault = self.loaded.last_error()
            raise EngineError(fault or f"llama.cpp could not read a passage of {len(tokens)} tokens (status {status}).")
        pointer = ctypes.cast(llama_cpp.llama_get_logits(self.loaded.ctx), ctypes.POINTER(ctypes.c_float))
        logits = np.ctypeslib.as_array(pointer, (len(tokens) - first, self.vocabulary.size))
        refuse_no_numbers(logits)  # now, and not when hours of reading have become a card or statistics of NaN
        return logits

    def _framed(self, turns: tuple[tuple[str, str], ...]) -> list[Span]:
        """The conversation rendered. Rendering takes a process, so conversations of the same roles share one."""
        spans = list(self._frame(tuple(role for role, _ in turns)))
        places = [at for at, span in enumerate(spans) if span.from_message]
        if [spans[at].text for at in places] == [_stand_in(number) for number in range(len(turns))]:
            for at, (_, content) in zip(places, turns, strict=True):
                spans[at] = Span(content, True)
            return spans
        return self._render(turns)  # a template that changes or leaves out what was said

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one reader lives as long as its process
    def _frame(self, roles: tuple[str, ...]) -> tuple[Span, ...]:
        return tuple(self._render([(role, _stand_in(number)) for number, role in enumerate(roles)]))

    def _render(self, turns: Turns) -> list[Span]:
        assert self._template is not None
        return self._template.render([Message(role, content) for role, content in turns])  # type: ignore[arg-type]


def _stand_in(number: int) -> str:
    return f"turn{number}"


def tokenizer_digest(file: ModelFile) -> str:
    """SHA-256 of what turns text into tokens: two models with the same one read the same tokens."""
    state = hashlib.sha256()
    for name in ("model", "pre", "tokens", "token_type", "merges", "add_bos_token"):
        key = f"tokenizer.ggml.{name}"
        state.update(file.metadata.raw(key) if key in file.metadata else key.encode())
    return state.hexdigest()
