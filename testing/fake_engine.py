"""A scripted engine for the chat's tests: it answers as the test tells it, with the real engine's types."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edgemed.clinical import notice
from edgemed.engine.process.protocol import (
    RESIDENT,
    EngineInfo,
    EngineStats,
    Event,
    ExpertsSeen,
    Finished,
    Message,
    Piece,
    PromptProgress,
    Sampling,
    StopReason,
)
from edgemed.errors import EngineDied

DIGEST = "ab12cd34" + "0" * 56


def info(intended_use: str = "demonstration", n_ctx: int = 2048) -> EngineInfo:
    """What a small engine says of itself."""
    return EngineInfo(
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
    """A step of a script: wait here until the test releases it or the answer is stopped."""

    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self.released.set()


Step = Event | Hold | Exception | str
"""A string is a piece of text; an exception is raised."""


class FakeEngine:
    """Answers one script after the other; `asked` keeps the messages of every question."""

    def __init__(self, *scripts: Sequence[Step], engine_info: EngineInfo | None = None) -> None:
        self.info = engine_info or info()
        self.asked: list[list[Message]] = []
        self.alive = True
        self.closed = False
        self.restarts = 0
        self.looks = 0
        self.watched = True
        self._scripts = list(scripts)
        self._stopped = threading.Event()

    def generate(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[Event]:
        self._stopped.clear()
        self.asked.append(list(messages))
        script = self._scripts.pop(0)
        prompt = sum(len(message.content) for message in messages)
        text = ""
        tokens = 0
        for step in script:
            if isinstance(step, Hold):
                while not step.released.wait(0.005) and not self._stopped.is_set():
                    pass
            elif isinstance(step, Exception):
                self.alive = not isinstance(step, EngineDied)
                raise step
            elif isinstance(step, Finished):
                yield step
                return
            elif isinstance(step, PromptProgress):
                yield step
            elif not self._stopped.is_set():
                piece = Piece(step) if isinstance(step, str) else step
                text += piece.text
                tokens += piece.tokens
                yield piece
        yield finished(text, tokens=tokens, prompt=prompt, reason="stopped" if self._stopped.is_set() else "end")

    def stop(self) -> None:
        self._stopped.set()

    def stats(self) -> EngineStats:
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

    def look(self) -> ExpertsSeen:
        """Every third expert is in memory; of each layer's, two were found there and the last one was not."""
        self.looks += 1
        count = self.info.n_experts
        states = bytes(RESIDENT if expert % 3 == 0 else 0 for expert in range(count))
        hits = bytes(4 if expert in (0, 3) else 0 for expert in range(count))
        misses = bytes(1 if expert == count - 1 else 0 for expert in range(count))
        rows = self.info.n_layers - 1
        parts = (states * rows, hits * rows, misses * rows)
        stats = dataclasses.replace(self.stats(), bytes_read=self.looks * 10**8, wait_s=self.looks / 10)
        return ExpertsSeen.of(rows, parts, dataclasses.replace(stats, tokens=2 * self.looks))

    def look_away(self) -> None:
        self.watched = False

    def restart(self, on_progress: Callable[[str, float], None] | None = None) -> None:
        self.restarts += 1
        self.alive = True

    def close(self) -> None:
        self.closed = True


def finished(text: str, *, tokens: int, prompt: int, reason: StopReason = "end") -> Finished:
    """Make the last event of an answer."""
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
    """Make a `StartEngine` that returns `engine` at once."""

    def start(progress: Callable[[str, float], None]) -> FakeEngine:
        progress("weights", 1.0)
        return engine

    return start
