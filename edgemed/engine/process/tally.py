"""The client's own account of an answer, for an answer that is stopped before the engine can send `Finished`."""

from __future__ import annotations

import time

from edgemed.engine.process.protocol import (
    EngineInfo,
    Event,
    Finished,
    Piece,
    PromptEncoded,
    PromptProgress,
    Sampling,
)
from edgemed.engine.process_memory import peak_rss_bytes


class Tally:
    """Counts one answer's events. `pid` is the engine's process; `sampling` has its seed."""

    def __init__(self, info: EngineInfo, pid: int, sampling: Sampling) -> None:
        self._info = info
        self._pid = pid
        self._seed = sampling.seed or 0
        self._text: list[str] = []
        self._tokens = 0
        self._digest: str | None = None
        self._prompt = PromptProgress(0, 0, 0)
        self._asked = self._prefilled = time.perf_counter()

    def take(self, event: Event) -> None:
        """Add one event of the answer."""
        match event:
            case PromptEncoded():
                self._digest = event.digest
            case PromptProgress():
                self._prompt, self._prefilled = event, time.perf_counter()
            case Piece():
                self._text.append(event.text)
                self._tokens += event.tokens

    def stopped(self) -> Finished:
        """`Finished` for the answer so far. The client does not know its hit rate and bytes read."""
        now = time.perf_counter()
        return Finished(
            stop_reason="stopped",
            text="".join(self._text),
            prompt_tokens=self._prompt.total,
            reused_tokens=self._prompt.reused,
            tokens=self._tokens,
            prefill_tokens_per_s=(self._prompt.done - self._prompt.reused) / max(self._prefilled - self._asked, 1e-9),
            decode_tokens_per_s=self._tokens / max(now - self._prefilled, 1e-9),
            hit_rate=None,
            bytes_read=0,
            peak_rss_bytes=peak_rss_bytes(self._pid),
            seed=self._seed,
            n_ctx=self._info.n_ctx,
            prompt_digest=self._digest,
        )
