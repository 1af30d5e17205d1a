"""The interface that a chat needs of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from edgemed.engine.process.protocol import EngineInfo, EngineStats, Event, Message, Preview, Sampling, StoreState

Progress = Callable[[str, float], None]
"""Called with a stage's name and the fraction of it that is done, 0 to 1."""


class ChatEngine(Protocol):
    """The part of `edgemed.engine.process.client.Engine` that a chat uses.

    Calls block. All but `generate`, `preview` and `restart` may be made from any thread.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def alive(self) -> bool: ...

    def generate(
        self, messages: Sequence[Message], sampling: Sampling, request: str, *, reuse: bool, continued: str = ""
    ) -> Iterator[Event]: ...

    def preview(self, messages: Sequence[Message], continued: str = "") -> Preview: ...

    def stop(self, request: str) -> None: ...

    def stats(self) -> EngineStats: ...

    def store_state(self) -> StoreState: ...

    def stop_watching(self) -> None: ...

    def restart(self, on_progress: Progress | None = None) -> None: ...

    def close(self) -> None: ...


StartEngine = Callable[[Progress], ChatEngine]
"""Starts an engine. Raises EdgemedError, with a sentence for the user, if that fails."""
