"""Messages from the engine's threads to the screen, and from the screen to the application.

Every message about an answer names its turn, so an abandoned answer cannot write into the next one.
"""

from __future__ import annotations

from textual.message import Message
from textual.message_pump import MessagePump

from edgemed.chat.conversation import Turn
from edgemed.engine.process.protocol import EngineInfo, EngineStats, Event, Preview, StoreState


class Opened(Message):
    """The chat is on the screen."""


class Followed(Message):
    """Follows a key's path from the focused widget to the application, and so arrives after the key's action has run.

    `key`: the key's number. `target`: that widget. `second`: it goes the same way for the second time.
    """

    def __init__(self, key: int, target: MessagePump, *, second: bool = False) -> None:
        super().__init__()
        self.key = key
        self.target = target
        self.second = second


class EngineLoading(Message):
    """The model is being loaded: the stage's name, and the fraction of it that is done (0 to 1)."""

    def __init__(self, stage: str, fraction: float) -> None:
        super().__init__()
        self.stage = stage
        self.fraction = fraction


class EngineReady(Message):
    """The engine is ready for questions."""

    def __init__(self, info: EngineInfo) -> None:
        super().__init__()
        self.info = info


class EngineFailed(Message):
    """A call to the engine failed; `sentence` says why.

    `alive`: whether the engine still takes questions. `turn`: the question that failed, None for a failed start.
    """

    def __init__(self, sentence: str, *, alive: bool, turn: Turn | None = None) -> None:
        super().__init__()
        self.sentence = sentence
        self.alive = alive
        self.turn = turn


class Answering(Message):
    """One event of an answer. `turn` already contains it."""

    def __init__(self, turn: Turn, event: Event) -> None:
        super().__init__()
        self.turn = turn
        self.event = event


class Previewed(Message):
    """The prompt that `EngineDriver.preview` was asked for under `key`; None if the engine could not tell."""

    def __init__(self, key: object, preview: Preview | None) -> None:
        super().__init__()
        self.key = key
        self.preview = preview


class StatsChanged(Message):
    """New figures for the status line."""

    def __init__(self, stats: EngineStats) -> None:
        super().__init__()
        self.stats = stats


class StoreStateChanged(Message):
    """The state of the expert store, for the live expert map."""

    def __init__(self, state: StoreState) -> None:
        super().__init__()
        self.state = state
