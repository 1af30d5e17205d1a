"""The messages between the chat and the engine's process, as dataclasses (carried by `frames`)."""

from __future__ import annotations

import dataclasses
import math
import os
from base64 import b64decode, b64encode
from typing import Literal, Self

from edgemed.engine.offload import AUTO, Offload
from edgemed.errors import UsageError

Role = Literal["system", "user", "assistant"]
StopReason = Literal["end", "length", "context", "stopped"]


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation. Its content is text and nothing else, whatever it looks like."""

    role: Role
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; the defaults are the ones AntAngelMed's developers publish.

    temperature 0 takes the likeliest token. top_k 0 and top_p 1 do not restrict. seed None draws one, which the
    answer's `Finished` tells; a given seed also asks for the very same numbers again, so the whole prompt is computed
    anew (what the KV cache holds of it was computed in other batches and is rounded differently). Raises UsageError for
    values that mean nothing.
    """

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    repeat_penalty: float = 1.05
    seed: int | None = None
    max_tokens: int = 16384

    def __post_init__(self) -> None:
        rules = (
            (math.isfinite(self.temperature) and self.temperature >= 0, "temperature", "0 or more"),
            (0 < self.top_p <= 1, "top_p", "above 0 and at most 1"),
            (self.top_k >= 0, "top_k", "0 or more"),
            (math.isfinite(self.repeat_penalty) and self.repeat_penalty > 0, "repeat_penalty", "above 0"),
            (self.seed is None or 0 <= self.seed < 1 << 64, "seed", "from 0 to 2^64 - 1"),
            (self.max_tokens >= 1, "max_tokens", "1 or more"),
        )
        for holds, name, wanted in rules:
            if not holds:
                raise UsageError(f"The sampling setting {name} is {getattr(self, name)}; it must be {wanted}.")

    def seeded(self) -> Sampling:
        """The same with a seed, drawn where there was none."""
        if self.seed is not None:
            return self
        return dataclasses.replace(self, seed=int.from_bytes(os.urandom(4), "little"))


@dataclasses.dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to load a model. None leaves the choice to the engine. `ram_bytes` bounds the process's resident memory."""

    ram_bytes: int | None = None
    n_ctx: int | None = None
    threads: int | None = None
    kv_type: str = "f16"
    flash_attn: bool = True
    allow_unsealed: bool = False
    hot_profile: bool = False
    offload: Offload = AUTO


@dataclasses.dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded: the first `n_dense_layers` of its layers have no experts. `ram_bytes` is the promise that holds;
    `defaults` are the file's own where it records any; `placement` says what computes the dense part."""

    engine_version: str
    model_name: str
    architecture: str
    n_layers: int
    n_dense_layers: int
    n_experts: int
    bits_per_weight: float
    size_bytes: int
    weights_digest: str | None
    intended_use: str
    notice: str | None
    verified: bool
    n_ctx: int
    ram_bytes: int
    defaults: Sampling
    warning: str | None = None
    placement: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine at this moment. `resident_bytes` of the promised `budget_bytes` are taken by the engine and the
    process that started it. `tokens` were computed, prompts included. The rate covers the current or last answer; all
    else the process's life."""

    tokens: int
    tokens_per_s: float
    resident_bytes: int
    budget_bytes: int
    hit_rate: float | None
    bytes_read: int
    wait_s: float
    peak_rss_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class StoreState:
    """The expert store at this moment, for the live view. Never stored: it tells a little of what was asked.

    One byte an expert, row by row (`rows` rows, the first MoE layer's first), in base64. `states`: RESIDENT or another;
    `hits` and `misses`: how often it was found in memory or not since the last request, 255 at most.
    """

    rows: int
    states: str
    hits: str
    misses: str
    stats: EngineStats

    @classmethod
    def of(cls, rows: int, parts: tuple[bytes, bytes, bytes], stats: EngineStats) -> Self:
        """From the bytes of states, hits and misses."""
        states, hits, misses = (b64encode(part).decode() for part in parts)
        return cls(rows, states, hits, misses, stats)

    @property
    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The bytes of states, hits and misses. Raises ValueError for what is no base64."""
        return b64decode(self.states), b64decode(self.hits), b64decode(self.misses)


RESIDENT = 2
"""Of `StoreState.states`: the expert is in memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class PromptEncoded:
    """The prompt is tokenised: how many tokens it has, and the SHA-256 of their ids (int32, little-endian)."""

    tokens: int
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class PromptProgress:
    """`done` of `total` prompt tokens are in the KV cache; the first `reused` of them were there already."""

    done: int
    total: int
    reused: int


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """More of the answer: whole characters, from `tokens` more tokens."""

    text: str
    tokens: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over, and why: it ended by itself, reached max_tokens ("length") or the end of the context, or was
    stopped. Rates are in tokens a second; `hit_rate` and `bytes_read` belong to this answer. `prompt_digest` is
    `PromptEncoded.digest`, None when the answer was stopped before that."""

    stop_reason: StopReason
    text: str
    prompt_tokens: int
    reused_tokens: int
    tokens: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    hit_rate: float | None
    bytes_read: int
    peak_rss_bytes: int
    seed: int
    n_ctx: int = 0
    prompt_digest: str | None = None


Event = PromptEncoded | PromptProgress | Piece | Finished


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    path: str
    settings: EngineSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Generate:
    """`reuse`: whether the KV cache's share of the prompt may stand."""

    messages: tuple[Message, ...]
    sampling: Sampling
    reuse: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Ends the request it is sent for, whether that runs already or still waits. Ignored when the request is over."""


@dataclasses.dataclass(frozen=True, slots=True)
class GetStats:
    """Answered with EngineStats at any time, also in the middle of a prefill."""


@dataclasses.dataclass(frozen=True, slots=True)
class GetStoreState:
    """Answered with StoreState at any time; the first request makes the engine count hits and misses."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shrink:
    """Makes the expert cache smaller by so many bytes, for as long as the process lives."""

    nbytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class StopWatching:
    """The engine stops counting what `StoreState` shows. Not answered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Loading: a stage's name and how much of it is done, from 0 to 1."""

    stage: str
    fraction: float


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    info: EngineInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """An EdgemedError on the other side: its class's name and its sentence."""

    kind: str
    message: str


AnyMessage = (
    Start
    | Generate
    | Stop
    | GetStats
    | GetStoreState
    | StopWatching
    | Shrink
    | Progress
    | Ready
    | PromptEncoded
    | PromptProgress
    | Piece
    | Finished
    | Failed
    | EngineStats
    | StoreState
)
