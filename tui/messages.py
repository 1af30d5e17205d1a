"""What the engine's thread tells the screen, and the screen the application.

Every message of an answer carries the ticket of its question, so that an answer that was abandoned cannot write into
the next one.
"""

from __future__ import annotations

from textual.message import Message as TextualMessage

from edgemed.tui.contract import EngineInfo, EngineStats, Event, StoreState


class Opened(TextualMessage):
    """The chat is on the screen."""


class EngineLoading(TextualMessage):
    """The model is being loaded: which stage, and how much of it (0 to 1) is done."""

    def __init__(self, stage: str, fraction: float) -> None:
        super().__init__()
        self.stage = stage
        self.fraction = fraction


class EngineReady(TextualMessage):
    """The engine can be asked."""

    def __init__(self, info: EngineInfo) -> None:
        super().__init__()
        self.info = info


class EngineFailed(TextualMessage):
    """A sentence to show. `alive` says whether the engine can still be asked; `ticket` which question it was about."""

    def __init__(self, sentence: str, *, alive: bool, ticket: int | None) -> None:
        super().__init__()
        self.sentence = sentence
        self.alive = alive
        self.ticket = ticket


class Answering(TextualMessage):
    """One event of an answer."""

    def __init__(self, ticket: int, event: Event) -> None:
        super().__init__()
        self.ticket = ticket
        self.event = event


class StatsChanged(TextualMessage):
    """New figures for the status line."""

    def __init__(self, stats: EngineStats) -> None:
        super().__init__()
        self.stats = stats


class StoreStateChanged(TextualMessage):
    """The state of the expert store, for the live view."""

    def __init__(self, state: StoreState) -> None:
        super().__init__()
        self.state = state
