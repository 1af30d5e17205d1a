"""The messages between the interface and the process of the engine. `frames` encodes them."""

from __future__ import annotations

import dataclasses

from edgemed.engine.process.protocol import (
    EngineInfo,
    EngineSettings,
    EngineStats,
    Finished,
    Message,
    Piece,
    Preview,
    PromptEncoded,
    PromptProgress,
    Sampling,
    StoreState,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    path: str
    settings: EngineSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Generate:
    """Answer these messages. `reuse`: whether the KV cache may supply part of the prompt. `continued`: the answer so
    far, which the model continues; empty for a new answer."""

    messages: tuple[Message, ...]
    sampling: Sampling
    reuse: bool
    continued: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GetPreview:
    """Ask for the Preview of the prompt that a `Generate` with these fields would have."""

    messages: tuple[Message, ...]
    continued: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Stop the request with this message's request id, queued or running. Ignored if that request is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class GetStats:
    """Ask for EngineStats. Answered at any time, even during a prefill."""


@dataclasses.dataclass(frozen=True, slots=True)
class GetStoreState:
    """Ask for StoreState. Answered at any time. The first request makes the engine count hits and misses."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shrink:
    """Shrink the expert store by `nbytes`, for the rest of the process's life."""

    nbytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class StopWatching:
    """Stop counting hits and misses. Not answered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Progress of loading: a stage's name and the fraction of it that is done, 0 to 1."""

    stage: str
    fraction: float


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded. `pid` is the process that computes."""

    info: EngineInfo
    pid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """An error of the engine: the name of its class (an EdgemedError) and its sentence."""

    kind: str
    message: str


AnyMessage = (
    Start
    | Generate
    | GetPreview
    | Stop
    | GetStats
    | GetStoreState
    | StopWatching
    | Shrink
    | Progress
    | Ready
    | Preview
    | PromptEncoded
    | PromptProgress
    | Piece
    | Finished
    | Failed
    | EngineStats
    | StoreState
)
