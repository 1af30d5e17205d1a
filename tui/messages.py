"""What the engine's thread tells the screen, and the screen the application.

Every message about an answer names its turn, so that an answer that was abandoned cannot write into the next one.
"""

from __future__ import annotations

from textual.message import Message

from edgemed.chat.conversation import Turn
from edgemed.engine.process.protocol import EngineInfo, EngineStats, Event, StoreState


class Opened(Message):
    """The chat is on the screen."""


class EngineLoading(Message):
    """The model is being loaded: which stage, and how much of it (0 to 1) is done."""

    def __init__(self, stage: str, fraction: float) -> None:
        super().__init__()
        self.stage = stage
        self.fraction = fraction


class EngineReady(Message):
    """The engine can be asked."""

    def __init__(self, info: EngineInfo) -> None:
        super().__init__()
        self.info = info


class EngineFailed(Message):
    """A sentence to show. `alive` says whether the engine can still be asked; `turn` which question it was about."""

    def __init__(self, sentence: str, *, alive: bool, turn: Turn | None = None) -> None:
        super().__init__()
        self.sentence = sentence
        self.alive = alive
        self.turn = turn


class Answering(Message):
    """One event of an answer, which `turn` holds already."""

    def __init__(self, turn: Turn, event: Event) -> None:
        super().__init__()
        self.turn = turn
        self.event = event


class StatsChanged(Message):
    """New figures for the status line."""

    def __init__(self, stats: EngineStats) -> None:
        super().__init__()
        self.stats = stats


class StoreStateChanged(Message):
    """The state of the expert store, for the live view."""

    def __init__(self, state: StoreState) -> None:
        super().__init__()
        self.state = state
