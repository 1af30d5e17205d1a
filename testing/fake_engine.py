"""A scripted engine for the chat's tests. It yields what its script says, in the real engine's types."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from edgemed.clinical import notice
from edgemed.engine.process.protocol import (
    RESIDENT,
    EngineInfo,
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
from edgemed.errors import EngineDied

DIGEST = "ab12cd34" + "0" * 56
PROMPT_DIGEST = "5eed" * 16


def info(intended_use: str = "demonstration", n_ctx: int = 2048) -> EngineInfo:
    """The description of a small model."""
    return EngineInfo(
        engine_version="0.0.test",
        model_name="mini",
        architecture="bailingmoe2",
        n_layers=6,
        n_dense_layers=1,
        n_experts=16,
        bits_per_weight=4.5,
        size_bytes=13 << 20,
        weights_digest=DIGEST,
        intended_use=intended_use,
        notice=notice(intended_use),
        verified=True,
        n_ctx=n_ctx,
        ram_bytes=1 << 30,
        defaults=Sampling(max_tokens=256),
    )


@dataclass
class Hold:
    """A step of a script: wait here until the test calls `release` or the answer is stopped."""

    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self.released.set()


Step = Event | Hold | Exception | str
"""A string is a piece of text; an exception is raised."""


class FakeEngine:
    """Answers each question with the next script.

    For every question it records the messages (`asked`), the request id (`requests`), the sampling settings
    (`sampled`), whether the KV cache might be reused (`reused`) and the answer so far (`continued`).
    """

    def __init__(self, *scripts: Iterable[Step], engine_info: EngineInfo | None = None) -> None:
        self.info = engine_info or info()
        self.asked: list[list[Message]] = []
        self.requests: list[str] = []
        self.sampled: list[Sampling] = []
        self.reused: list[bool] = []
        self.continued: list[str] = []
        self.alive = True
        self.death = "The model stopped (SIGKILL)."
        self.closed = False
        self.restarts = 0
        self.states_told = 0
        self.watched = True
        self._scripts = list(scripts)
        self._stopped: set[str] = set()

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, request: str, *, reuse: bool, continued: str = ""
    ) -> Iterator[Event]:
        self.asked.append(list(messages))
        self.requests.append(request)
        self.sampled.append(sampling)
        self.reused.append(reuse)
        self.continued.append(continued)
        script = self._scripts.pop(0)
        prompt = sum(len(message.content) for message in messages) + len(continued)
        text = ""
        tokens = 0
        if request not in self._stopped:
            yield PromptEncoded(prompt, PROMPT_DIGEST)
        for step in script:
            if isinstance(step, Hold):
                while not step.released.wait(0.005) and request not in self._stopped and not self.closed:
                    pass
            elif isinstance(step, Exception):
                if isinstance(step, EngineDied):
                    self.alive, self.death = False, str(step)
                raise step
            elif isinstance(step, Finished):
                yield step
                return
            elif isinstance(step, PromptProgress):
                yield step
            elif request not in self._stopped:
                piece = Piece(step) if isinstance(step, str) else step
                text += piece.text
                tokens += piece.tokens
                yield piece
        yield finished(text, tokens=tokens, prompt=prompt, reason="stopped" if request in self._stopped else "end")

    def answer_next(self, text: str, *, cut: bool = False) -> None:
        """Add a script: this text, ended by the model or cut off at the length limit."""
        reason: StopReason = "length" if cut else "end"
        self._scripts.append([text, finished(text, tokens=1, prompt=1, reason=reason)])

    def preview(self, messages: Sequence[Message], continued: str = "") -> Preview:
        """The prompt as `generate` counts it: a token for each character."""
        text = "".join(f"<{message.role}>{message.content}" for message in messages) + continued
        tokens = sum(len(message.content) for message in messages) + len(continued)
        return Preview(tokens, PROMPT_DIGEST, text)

    def stop(self, request: str) -> None:
        self._stopped.add(request)

    def stats(self) -> EngineStats:
        if not self.alive:
            raise EngineDied(self.death)
        return EngineStats(
            tokens=100,
            tokens_per_s=12.3,
            resident_bytes=812 << 20,
            budget_bytes=1 << 30,
            hit_rate=0.87,
            bytes_read=5 << 20,
            wait_s=0.1,
            peak_rss_bytes=900 << 20,
        )

    def store_state(self) -> StoreState:
        """Every third expert is in memory. In each layer, experts 0 and 3 were hits and the last one was a miss."""
        self.states_told += 1
        count = self.info.n_experts
        states = bytes(RESIDENT if expert % 3 == 0 else 0 for expert in range(count))
        hits = bytes(4 if expert in (0, 3) else 0 for expert in range(count))
        misses = bytes(1 if expert == count - 1 else 0 for expert in range(count))
        rows = self.info.n_layers - 1
        parts = (states * rows, hits * rows, misses * rows)
        stats = dataclasses.replace(self.stats(), bytes_read=self.states_told * 10**8, wait_s=self.states_told / 10)
        return StoreState.of(rows, parts, dataclasses.replace(stats, tokens=2 * self.states_told))

    def stop_watching(self) -> None:
        self.watched = False

    def restart(self, on_progress: Callable[[str, float], None] | None = None) -> None:
        self.restarts += 1
        self.alive = True

    def close(self) -> None:
        self.closed = True


def finished(text: str, *, tokens: int, prompt: int, reason: StopReason = "end") -> Finished:
    """The last event of an answer."""
    return Finished(
        stop_reason=reason,
        text=text,
        prompt_tokens=prompt,
        reused_tokens=0,
        tokens=tokens,
        prefill_tokens_per_s=100.0,
        decode_tokens_per_s=12.3,
        hit_rate=0.87,
        bytes_read=1 << 20,
        peak_rss_bytes=900 << 20,
        seed=1,
        n_ctx=2048,
    )


def starting(engine: FakeEngine) -> Callable[[Callable[[str, float], None]], FakeEngine]:
    """A `StartEngine` that returns `engine` at once."""

    def start(progress: Callable[[str, float], None]) -> FakeEngine:
        progress("weights", 1.0)
        return engine

    return start
