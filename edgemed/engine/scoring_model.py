"""A model that scores given texts: passages of tokens in, logits of every position out.

Used by calibration and evaluation, only in a child process (`edgemed.engine.process.job`).
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
from edgemed.engine.cores import usable_cores
from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import load_model
from edgemed.engine.offload import HOST, Offload
from edgemed.engine.process.protocol import Message
from edgemed.engine.residual import ResidualSize
from edgemed.engine.sampling import refuse_non_finite
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineError, UsageError
from edgemed.model_file import ModelFile

SHORTEST, LONGEST = 32, 8192  # tokens of a passage
Turns = Sequence[tuple[str, str]]  # (role, content)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of a text. The first `lead` ones (of the chat template, or a start token) precede the text itself."""

    tokens: list[int]
    lead: int


class ScoringModel:
    """Loads a model to read passages of up to `passage` tokens, and keeps the logits of all their positions.

    residual: also collect the size of the residual stream; caller_bytes: the part of ram_bytes that the caller will
    allocate. Raises what `load_model` raises, and UsageError for an impossible length of a passage.
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
                f"Passages of {passage} tokens are not possible with this model; choose from {SHORTEST} to {longest}."
            )
        self.file = file
        self.passage = passage
        self.residual = ResidualSize(file.hparams.n_layer, file.hparams.n_embd) if residual else None
        self.loaded = load_model(
            file,
            LoadSettings(
                ram_bytes=ram_bytes,
                n_ctx=passage,
                threads=threads or usable_cores(),
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
        """Encode a plain text. Special tokens in it are treated as text."""
        start = []
        if llama_cpp.llama_vocab_get_add_bos(self.loaded.vocab):
            start = [int(llama_cpp.llama_vocab_bos(self.loaded.vocab))]
        return Encoded([*start, *self.vocabulary.encode([Span(text, True)])], len(start))

    def encode_chat(self, turns: Turns) -> Encoded:
        """Encode a conversation with the model's chat template.

        It ends where the assistant's next turn begins or, if the last turn is the assistant's, at the end of that turn.
        Without a chat template the turns are joined by line breaks.
        """
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
        # After the assistant's last turn keep the template's tokens up to the first one that ends a turn.
        ends = next((at + 1 for at, token in enumerate(closing) if token in self.vocabulary.ends), 0)
        return Encoded([*lead, *self.vocabulary.encode(body), *closing[:ends]], len(lead))

    def logits(self, tokens: Sequence[int], first: int = 0) -> NDArray[np.float32]:
        """Logits [len(tokens) - first, vocabulary] from position `first` on, valid until the next call.

        Every passage starts with an empty context. Raises EngineError.
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
        refuse_non_finite(logits)  # here, before hours of computing end in a card or statistics of NaN
        return logits

    def _framed(self, turns: tuple[tuple[str, str], ...]) -> list[Span]:
        """The rendered conversation. Rendering starts a process, so it is done once per sequence of roles, with
        placeholders for the contents."""
        spans = list(self._frame(tuple(role for role, _ in turns)))
        places = [at for at, span in enumerate(spans) if span.from_message]
        if [spans[at].text for at in places] == [_stand_in(number) for number in range(len(turns))]:
            for at, (_, content) in zip(places, turns, strict=True):
                spans[at] = Span(content, True)
            return spans
        return self._render(turns)  # the template changes or omits contents, so placeholders do not work

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one model lives as long as its process
    def _frame(self, roles: tuple[str, ...]) -> tuple[Span, ...]:
        return tuple(self._render([(role, _stand_in(number)) for number, role in enumerate(roles)]))

    def _render(self, turns: Turns) -> list[Span]:
        assert self._template is not None
        return self._template.render([Message(role, content) for role, content in turns])  # type: ignore[arg-type]


def _stand_in(number: int) -> str:
    return f"turn{number}"


def tokenizer_digest(file: ModelFile) -> str:
    """SHA-256 of the tokenizer: models with the same digest turn a text into the same tokens."""
    state = hashlib.sha256()
    for name in ("model", "pre", "tokens", "token_type", "merges", "add_bos_token"):
        key = f"tokenizer.ggml.{name}"
        state.update(file.metadata.raw(key) if key in file.metadata else key.encode())
    return state.hexdigest()
