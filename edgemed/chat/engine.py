"""What a chat needs of an engine, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from edgemed.engine.process.protocol import EngineInfo, EngineStats, Event, Message, Sampling, StoreState

Progress = Callable[[str, float], None]
"""Called with a stage's name and how much of it is done, 0 to 1."""


class ChatEngine(Protocol):
    """The part of `edgemed.engine.process.client.Engine` that a chat uses. Calls block; all but `generate` and
    `restart` may come from any thread."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def alive(self) -> bool: ...

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, request: str, *, reuse: bool
    ) -> Iterator[Event]: ...

    def stop(self, request: str) -> None: ...

    def stats(self) -> EngineStats: ...

    def store_state(self) -> StoreState: ...

    def stop_watching(self) -> None: ...

    def restart(self, on_progress: Progress | None = None) -> None: ...

    def close(self) -> None: ...


StartEngine = Callable[[Progress], ChatEngine]
"""Starts an engine; raises EdgemedError with a sentence when it cannot."""
