"""One conversation with a loaded model: messages in, pieces of text out.

The KV cache keeps the tokens of the last turn. A new turn reuses the longest common prefix and computes only the rest.
This makes a chat with a full-size model usable, because a prefill reads most of the experts from disk.

Reused keys and values are rounded differently from recomputed ones, since they come from batches of another shape, and
that can change a close draw. To reproduce an answer bit for bit, pass its seed; the whole prompt is then computed.

Earlier answers are tokenised again from their text. The drawn ids are not kept, so a prompt has the same ids in this
process as in one that starts from a stored conversation.
"""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from llama_cpp import llama_cpp

from edgemed.engine.chat_template import ChatTemplate, Span
from edgemed.engine.model import LoadedModel
from edgemed.engine.periodic import periodically
from edgemed.engine.process.protocol import (
    EngineStats,
    Event,
    Finished,
    Message,
    Piece,
    Preview,
    PromptEncoded,
    PromptProgress,
    Sampling,
    StopReason,
    StoreState,
)
from edgemed.engine.process_memory import interface_rss_bytes, peak_rss_bytes, rss_bytes
from edgemed.engine.sampling import Sampler
from edgemed.engine.vocabulary import Vocabulary
from edgemed.errors import EngineError

_ABORTED = 2  # llama_decode's status after an abort


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
        self._cached: list[int] = []  # the tokens whose keys and values are in the KV cache and valid
        self._stop = threading.Event()
        self.n_ctx = int(llama_cpp.llama_n_ctx(self._ctx))
        self.on_progress: Callable[[PromptProgress], None] | None = None
        """Called from another thread during a long batch. Between batches `generate` yields the progress."""
        self.tokens = 0  # tokens computed so far, prompts included
        self.tokens_per_s = 0.0

    def stop(self) -> None:
        """End the running answer. Its `Finished` follows as soon as the current operation is aborted."""
        self._stop.set()
        self.loaded.request_abort()

    def allow(self) -> None:
        """Clear an earlier `stop`. The caller, who knows which answer a stop belongs to, calls it before an answer."""
        self._stop.clear()
        self.loaded.clear_abort()

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, *, reuse: bool = True, continued: str = ""
    ) -> Iterator[Event]:
        """Answer `messages`, or continue the answer `continued`; the last event is `Finished`.

        Without `reuse` the text depends only on messages and seed, not on earlier answers. Raises TemplateError, and
        EngineError if the prompt does not fit or the computation fails. The session remains usable in any case.
        """
        turn = _Turn(self, messages, sampling, continued)
        try:
            if not reuse:
                self._keep(0)
            yield from turn.events()
        finally:
            # After a failure llama.cpp may have cached part of a batch, so remove everything that is not in our list.
            self._keep(len(self._cached))

    def preview(self, messages: Sequence[Message], continued: str = "") -> Preview:
        """The prompt that `generate` would compute. Raises TemplateError or EngineError."""
        prompt = self.encode(messages, continued)
        text = b"".join(map(self.vocabulary.piece, prompt)).decode(errors="replace")
        return Preview(len(prompt), token_digest(prompt), text, _common_prefix(self._cached, prompt))

    def stats(self) -> EngineStats:
        """The engine's current statistics. Callable from another thread during an answer."""
        loaded = self.loaded.stats()
        lookups = loaded["hits"] + loaded["misses"]
        return EngineStats(
            tokens=self.tokens,
            tokens_per_s=self.tokens_per_s,
            resident_bytes=rss_bytes() + interface_rss_bytes(),
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

    def encode(self, messages: Sequence[Message], continued: str = "") -> list[int]:
        """The prompt's token ids: the rendered messages, then the answer so far as message text."""
        spans = self._template.render(messages)
        return self.vocabulary.encode([*spans, Span(continued, from_message=True)] if continued else spans)

    def prefill(self, tokens: Sequence[int]) -> Iterator[PromptProgress]:
        """Bring `tokens` into the KV cache. The last one is always computed, because its logits are needed."""
        reused = min(_common_prefix(self._cached, tokens), len(tokens) - 1)
        self._keep(reused)
        yield PromptProgress(reused, len(tokens), reused)
        # The batch size is fixed, so that the same turn gives the same bits with any memory budget.
        for start in range(reused, len(tokens), self._n_batch):
            part = tokens[start : start + self._n_batch]
            with self._telling(len(part), len(tokens), reused):
                self.decode(part)
            yield PromptProgress(len(self._cached), len(tokens), reused)

    def _telling(self, count: int, total: int, reused: int) -> AbstractContextManager[None]:
        """Report the progress of a batch of `count` tokens, measured in layers, to `on_progress`."""
        tell, done = self.on_progress, len(self._cached)
        if tell is None:
            return nullcontext()
        self.loaded.begin_batch()

        def tick() -> None:
            tell(PromptProgress(done + int(self.loaded.batch_progress() * count), total, reused))

        return periodically(tick)

    def decode(self, tokens: Sequence[int]) -> None:
        """Compute `tokens` after the cached ones. Raises _Stopped, or EngineError if the computation fails."""
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
        """The logits [n_vocab] of the last computed token, valid until the next `decode`."""
        pointer = llama_cpp.llama_get_logits_ith(self._ctx, -1)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.vocabulary.size,))

    def has_room(self) -> bool:
        return len(self._cached) < self.n_ctx

    def _keep(self, count: int) -> None:
        """Keep only the first `count` tokens in the KV cache."""
        if count == 0 or not llama_cpp.llama_memory_seq_rm(self._memory, 0, count, -1):
            # Clearing also makes the next token use the first cell, as in a new process.
            llama_cpp.llama_memory_clear(self._memory, False)
            count = 0
        del self._cached[count:]


class _Turn:
    """One answer while it is generated, and its statistics."""

    def __init__(self, session: Session, messages: Sequence[Message], sampling: Sampling, continued: str) -> None:
        self._session = session
        self._messages = messages
        self._continued = continued
        self._sampling = sampling.seeded()
        self._seed = self._sampling.seed or 0
        self._digest: str | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._tokens = self._decoded = self._prompt = self._reused = 0
        self._started = time.perf_counter()
        self._first: float | None = None  # when the prefill ended
        self._before = session.loaded.stats()

    def events(self) -> Iterator[Event]:
        reason: StopReason
        try:
            prompt = self._session.encode(self._messages, self._continued)
            self._digest = token_digest(prompt)
            yield PromptEncoded(len(prompt), self._digest)
            self._refuse_too_long(len(prompt))
            self._started = time.perf_counter()  # the prefill begins after the template is rendered
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
        """Yield pieces of text; return the reason to stop."""
        session, vocabulary, first = self._session, self._session.vocabulary, time.perf_counter()
        self._first = first
        while True:
            token = sampler.pick(session.logits())
            if token in vocabulary.ends:
                return "end"
            self._tokens += 1
            text = self._utf8.decode(vocabulary.piece(token))
            self._text.append(text)
            # The bytes of an incomplete character wait for the next token; the token is counted at once.
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
