"""A scripted engine as slow as a large model on a small machine, on a clock that runs faster.

It reads `read_per_s` prompt tokens a second and writes `write_per_s`, keeps the last prompt as the KV cache does, and
reports the speeds of the slow machine. `factor` seconds of that machine pass in one real second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgemed.engine.process.protocol import (
    Event,
    Message,
    Piece,
    Preview,
    PromptEncoded,
    PromptProgress,
    Sampling,
)
from testing.fake_engine import PROMPT_DIGEST, FakeEngine, finished, info

STEPS = 20
TEMPLATE_TOKENS = 10
CHARACTERS_PER_TOKEN = 4.4
"""Of English medical text with a large vocabulary; a Chinese character is about 0.7 tokens."""


def token_count(text: str) -> int:
    """The tokens of this engine's tokenizer. It is not the estimate that the screen makes."""
    ascii_characters = sum(map(str.isascii, text))
    return round(ascii_characters / CHARACTERS_PER_TOKEN + 0.9 * (len(text) - ascii_characters))


class SlowEngine(FakeEngine):
    """Writes `answer` to every question. `first_words` are the waits for a first word, in its seconds."""

    def __init__(self, answer: str, *, read_per_s: float, write_per_s: float, factor: float, n_ctx: int = 8192) -> None:
        super().__init__(engine_info=info(n_ctx=n_ctx))
        self.first_words: list[float] = []
        self._answer = answer.split(" ")
        self._read_per_s = read_per_s
        self._write_per_s = write_per_s
        self._factor = factor
        self._cache: list[str] = []

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, request: str, *, reuse: bool, continued: str = ""
    ) -> Iterator[Event]:
        self.requests.append(request)
        texts = [message.content for message in messages]
        counts = [token_count(text) + TEMPLATE_TOKENS for text in texts]
        common = next((i for i, pair in enumerate(zip(texts, self._cache, strict=False)) if pair[0] != pair[1]), None)
        shared = min(len(texts), len(self._cache)) if common is None else common
        total, reused = sum(counts), sum(counts[:shared])
        yield PromptEncoded(total, PROMPT_DIGEST)
        for step in range(STEPS):
            done = reused + (total - reused) * (step + 1) // STEPS
            self._wait((total - reused) / self._read_per_s / STEPS)
            if request in self._stopped:
                break
            yield PromptProgress(done, total, reused)
        text = ""
        for word in self._answer:
            if request in self._stopped:
                break
            if text:
                self._wait(1 / self._write_per_s)
            else:  # the first token follows from the prompt alone
                self.first_words.append((total - reused) / self._read_per_s)
            piece = f" {word}" if text else word
            text += piece
            yield Piece(piece)
        self._cache = [*texts, text]
        reason = "stopped" if request in self._stopped else "end"
        ended = finished(text, tokens=len(self._answer), prompt=total, reason=reason)
        yield replace(
            ended,
            reused_tokens=reused,
            prefill_tokens_per_s=self._read_per_s,
            decode_tokens_per_s=self._write_per_s,
        )

    def preview(self, messages: Sequence[Message], continued: str = "") -> Preview:
        text = "".join(message.content for message in messages)
        return Preview(token_count(text), PROMPT_DIGEST, text)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds / self._factor)
