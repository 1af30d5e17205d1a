"""The data of a request to an engine and of its replies, as dataclasses."""

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
    """One message of the conversation. Its content is plain text, even if it looks like special tokens."""

    role: Role
    content: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is sampled. The defaults are those that AntAngelMed's developers publish.

    temperature 0 takes the most likely token. top_k 0 and top_p 1 do not restrict the choice. seed None draws a seed,
    which `Finished` reports. An explicit seed promises the same numbers again, so the whole prompt is computed anew:
    cached keys and values were computed in other batches and are rounded differently. Raises UsageError for values out
    of range.
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
        """The same settings with a seed; draws one if there is none."""
        if self.seed is not None:
            return self
        return dataclasses.replace(self, seed=int.from_bytes(os.urandom(4), "little"))


@dataclasses.dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to load a model. None leaves the choice to the engine.

    `ram_bytes` is the budget (`--ram`). `niceness` is added to the nice level of the engine's process.
    """

    ram_bytes: int | None = None
    n_ctx: int | None = None
    threads: int | None = None
    kv_type: str = "f16"
    flash_attn: bool = True
    allow_unsealed: bool = False
    hot_profile: bool = False
    offload: Offload = AUTO
    niceness: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class EngineInfo:
    """The loaded model. Its first `n_dense_layers` layers have no experts.

    `ram_bytes` is the budget in force. `defaults` are the sampling settings of the model file, completed by ours.
    `warning` is for the user. `placement` says which device computes the dense part. `threads` compute.
    """

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
    threads: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine at this moment.

    `resident_bytes` is the memory of the engine and of the process that started it, of the budget `budget_bytes`.
    `tokens` counts all computed tokens, including prompts. `tokens_per_s` covers the current or last answer; all other
    counts cover the life of the process. `wait_s`: seconds that the computation has waited for reads.
    """

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
    """The expert store at this moment, for the live expert map. Never saved: it reveals a little about the text.

    Each field holds one byte per expert, MoE layer by MoE layer (`rows` of them), in base64. `states`: RESIDENT or
    another value. `hits` and `misses`: how often the expert was in memory or not since the last request, at most 255.
    """

    rows: int
    states: str
    hits: str
    misses: str
    stats: EngineStats

    @classmethod
    def of(cls, rows: int, parts: tuple[bytes, bytes, bytes], stats: EngineStats) -> Self:
        """Encode the bytes of states, hits and misses."""
        states, hits, misses = (b64encode(part).decode() for part in parts)
        return cls(rows, states, hits, misses, stats)

    @property
    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The bytes of states, hits and misses. Raises ValueError if they are not base64."""
        return b64decode(self.states), b64decode(self.hits), b64decode(self.misses)


RESIDENT = 2
"""The value in `StoreState.states` for an expert in memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class PromptEncoded:
    """The prompt is tokenised: how many tokens it has, and the SHA-256 of their ids (int32, little-endian)."""

    tokens: int
    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class PromptProgress:
    """`done` of `total` prompt tokens are in the KV cache; the first `reused` of them were reused, not computed."""

    done: int
    total: int
    reused: int


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """The next text of the answer, in whole characters, from `tokens` tokens."""

    text: str
    tokens: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over. `stop_reason`: the model ended it ("end"), it reached max_tokens ("length"), it filled the
    context ("context"), or it was stopped ("stopped").

    Rates are in tokens per second. `hit_rate` and `bytes_read` cover this answer only. `prompt_digest` is
    `PromptEncoded.digest`, None if the answer was stopped before the prompt was tokenised.
    """

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


@dataclasses.dataclass(frozen=True, slots=True)
class Preview:
    """A prompt that was rendered and tokenised but not computed.

    `tokens` and `digest` are those that `PromptEncoded` will have. The KV cache holds the first `cached` tokens. `text`
    is the tokens' text, special tokens included.
    """

    tokens: int
    digest: str
    text: str
    cached: int = 0


Event = PromptEncoded | PromptProgress | Piece | Finished
