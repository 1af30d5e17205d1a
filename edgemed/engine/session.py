"""One conversation with a loaded model: messages in, pieces of text out.

The KV cache keeps the last turn's tokens. A new turn reuses the longest prefix it shares with them and computes only
the rest: at full size a prefill streams most of the experts through memory, so this is what makes a chat bearable.
Reused numbers are rounded differently from recomputed ones (they come from batches of another shape), which can turn a
close draw; who wants an answer bit for bit again gives its seed and pays for the whole prompt.
Earlier answers are tokenised anew from their text, never kept as the ids that were drawn, so that a prompt is the same
ids in this process as in one that was started from a stored conversation.
"""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from llama_cpp import llama_cpp

from edgemed.engine.chat_template import ChatTemplate
from edgemed.engine.model import LoadedModel
from edgemed.engine.periodic import periodically
from edgemed.engine.process.protocol import (
    EngineStats,
    Event,
    Finished,
    Message,
    Piece,
    PromptEncoded,
    PromptProgress,
    Sampling,
    StopReason,
    StoreState,
)
from edgemed.engine.process_memory import peak_rss_bytes, rss_bytes
from edgemed.engine.sampling import Sampler
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineError

_ABORTED = 2  # llama_decode's answer when the abort callback said so


class _Stopped(Exception):  # noqa: N818 - not an error
    """`Session.stop` was called."""


class Session:
    """Generates answers, one at a time. Only `stop` may be called from another thread."""

    def __init__(self, loaded: LoadedModel, vocabulary: Vocabulary, template: ChatTemplate) -> None:
        self.loaded = loaded
        self._ctx = loaded.ctx
        self.vocabulary = vocabulary
        self._template = template
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._n_batch = int(llama_cpp.llama_n_batch(self._ctx))
        self._cached: list[int] = []  # the tokens whose keys and values are in the KV cache, known to be good
        self._stop = threading.Event()
        self.n_ctx = int(llama_cpp.llama_n_ctx(self._ctx))
        self.on_progress: Callable[[PromptProgress], None] | None = None
        """Called from another thread in the middle of a long batch; between batches `generate` tells."""
        self.tokens = 0  # computed, prompts included
        self.tokens_per_s = 0.0

    def stop(self) -> None:
        """End the running answer; its `Finished` follows as soon as the current operation lets go."""
        self._stop.set()
        self.loaded.request_abort()

    def allow(self) -> None:
        """Forget an earlier `stop`. Called before an answer, by whoever decides which answer a stop belongs to."""
        self._stop.clear()
        self.loaded.clear_abort()

    def generate(self, messages: Sequence[Message], sampling: Sampling, *, reuse: bool = True) -> Iterator[Event]:
        """Answer `messages`; the last event is `Finished`.

        Without `reuse` the same messages and seed give the same text, whatever was answered before. Raises
        TemplateError, or EngineError when the prompt does not fit or the computation fails. Whatever happens, the
        session can be used again.
        """
        turn = _Turn(self, messages, sampling)
        try:
            if not reuse:
                self._keep(0)
            yield from turn.events()
        finally:
            # After a failure llama.cpp may hold part of a batch; what is not in our list is taken out again.
            self._keep(len(self._cached))

    def stats(self) -> EngineStats:
        """The engine at this moment; may be called from another thread while an answer is made."""
        loaded = self.loaded.stats()
        lookups = loaded["hits"] + loaded["misses"]
        return EngineStats(
            tokens=self.tokens,
            tokens_per_s=self.tokens_per_s,
            resident_bytes=rss_bytes() + rss_bytes(os.getppid()),
            budget_bytes=self.loaded.budget.ram_bytes,
            hit_rate=loaded["hits"] / lookups if lookups else None,
            bytes_read=int(loaded["bytes_read"]),
            wait_s=float(loaded["wait_s"]),
            peak_rss_bytes=peak_rss_bytes(),
        )

    def store_state(self) -> StoreState:
        """The expert store now, with hits and misses since the last call; callable from any thread, like `stats`."""
        states, hits, misses = self.loaded.store_state()
        return StoreState.of(len(states), (states.tobytes(), hits.tobytes(), misses.tobytes()), self.stats())

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids."""
        return self.vocabulary.encode(self._template.render(messages))

    def prefill(self, tokens: Sequence[int]) -> Iterator[PromptProgress]:
        """Bring `tokens` into the KV cache, the last one always computed, so that its logits are there."""
        reused = min(_common_prefix(self._cached, tokens), len(tokens) - 1)
        self._keep(reused)
        yield PromptProgress(reused, len(tokens), reused)
        # Batches are cut by count alone, so that the same turn gives the same bits whatever the memory budget is.
        for start in range(reused, len(tokens), self._n_batch):
            part = tokens[start : start + self._n_batch]
            with self._telling(len(part), len(tokens), reused):
                self.decode(part)
            yield PromptProgress(len(self._cached), len(tokens), reused)

    def _telling(self, count: int, total: int, reused: int) -> AbstractContextManager[None]:
        """While a batch of `count` tokens is computed, `on_progress` hears how far it is, by its layers."""
        tell, done = self.on_progress, len(self._cached)
        if tell is None:
            return nullcontext()
        self.loaded.begin_batch()

        def tick() -> None:
            tell(PromptProgress(done + int(self.loaded.batch_progress() * count), total, reused))

        return periodically(tick)

    def decode(self, tokens: Sequence[int]) -> None:
        """Compute `tokens` after the cached ones. Raises _Stopped, or EngineError when it cannot be done."""
        if self._stop.is_set():
            raise _Stopped
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        status = llama_cpp.llama_decode(self._ctx, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if status == 0:
            self._cached += tokens
            self.tokens += len(tokens)
            return
        fault = self.loaded.last_error()
        if self._stop.is_set() or status == _ABORTED:
            raise _Stopped
        raise EngineError(fault or f"llama.cpp could not compute the next {len(tokens)} tokens (status {status}).")

    def logits(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The last computed token's logits [n_vocab]; valid until the next `decode`."""
        pointer = llama_cpp.llama_get_logits_ith(self._ctx, -1)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.vocabulary.size,))

    def has_room(self) -> bool:
        return len(self._cached) < self.n_ctx

    def _keep(self, count: int) -> None:
        """Cut the KV cache after `count` tokens."""
        if count == 0 or not llama_cpp.llama_memory_seq_rm(self._memory, 0, count, -1):
            # Clearing also makes the next tokens start at the first cell, as in a new process.
            llama_cpp.llama_memory_clear(self._memory, False)
            count = 0
        del self._cached[count:]


class _Turn:
    """One answer in the making, and the numbers told about it at the end."""

    def __init__(self, session: Session, messages: Sequence[Message], sampling: Sampling) -> None:
        self._session = session
        self._messages = messages
        self._sampling = sampling.seeded()
        self._seed = self._sampling.seed or 0
        self._digest: str | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._tokens = self._decoded = self._prompt = self._reused = 0
        self._started = time.perf_counter()
        self._first: float | None = None  # when the prompt was in
        self._before = session.loaded.stats()

    def events(self) -> Iterator[Event]:
        reason: StopReason
        try:
            prompt = self._session.encode(self._messages)
            self._digest = token_digest(prompt)
            yield PromptEncoded(len(prompt), self._digest)
            self._refuse_too_long(len(prompt))
            self._started = time.perf_counter()  # rendering the template is no prefill
            for progress in self._session.prefill(prompt):
                self._prompt, self._reused = progress.total, progress.reused
                yield progress
            reason = yield from self._answer(Sampler(self._sampling, self._seed, prompt))
        except _Stopped:
            reason = "stopped"
        if rest := self._utf8.decode(b"", final=True):
            self._text.append(rest)
            yield Piece(rest, 0)
        yield self._finished(reason)

    def _answer(self, sampler: Sampler) -> Generator[Event, None, StopReason]:
        """Yields pieces; returns the reason to stop."""
        session, vocabulary, first = self._session, self._session.vocabulary, time.perf_counter()
        self._first = first
        while True:
            token = sampler.pick(session.logits())
            if token in vocabulary.ends:
                return "end"
            self._tokens += 1
            text = self._utf8.decode(vocabulary.piece(token))
            self._text.append(text)
            # An unfinished character waits for its next token; the count goes out at once.
            yield Piece(text, 1)
            if self._tokens >= self._sampling.max_tokens:
                return "length"
            if not session.has_room():
                return "context"
            session.decode([token])
            self._decoded += 1
            session.tokens_per_s = _rate(self._decoded, time.perf_counter() - first)

    def _refuse_too_long(self, length: int) -> None:
        n_ctx = self._session.n_ctx
        if length >= n_ctx:
            raise EngineError(
                f"The conversation has {length} tokens and the context holds {n_ctx}, answer included; "
                "start a new chat, shorten the text, or load the model with a larger context (--ctx)."
            )

    def _finished(self, reason: StopReason) -> Finished:
        now, after = time.perf_counter(), self._session.loaded.stats()
        hits, misses, read = (after[key] - self._before[key] for key in ("hits", "misses", "bytes_read"))
        prefilled = self._prompt - self._reused
        return Finished(
            stop_reason=reason,
            text="".join(self._text),
            prompt_tokens=self._prompt,
            reused_tokens=self._reused,
            tokens=self._tokens,
            prefill_tokens_per_s=_rate(prefilled, (self._first or now) - self._started) if self._first else 0.0,
            decode_tokens_per_s=_rate(self._decoded, now - (self._first or now)),
            hit_rate=hits / (hits + misses) if hits + misses else None,
            bytes_read=int(read),
            peak_rss_bytes=peak_rss_bytes(),
            seed=self._seed,
            n_ctx=self._session.n_ctx,
            prompt_digest=self._digest,
        )


def token_digest(tokens: Sequence[int]) -> str:
    """SHA-256 in hexadecimal of token ids as int32, little-endian."""
    return hashlib.sha256(np.asarray(tokens, "<i4").tobytes()).hexdigest()


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count and seconds > 0 else 0.0


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
