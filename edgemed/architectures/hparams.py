"""What the runtime needs to know about a model of any family.

A family's class (architectures/architecture.py) adds its own numbers and its names in files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from edgemed.architectures.router import Router
from edgemed.architectures.tensors import PROJECTIONS
from edgemed.errors import ModelFileError

MAX_LAYERS = 512  # llama.cpp's own limits
MAX_EXPERTS = 1024
MAX_INTEGER = 1 << 31
MAX_REAL = float(MAX_INTEGER - 128)  # the largest float32 below MAX_INTEGER, so that rounding cannot reach it


@dataclass(frozen=True, kw_only=True)
class HParams(ABC):
    """Hyper-parameters that every family has. Raises ModelFileError for numbers that no model has, and for those that
    make llama.cpp abort.

    n_layer: layers that a token passes. n_nextn: MTP layers stored after them, which are not run. n_dense_lead: layers
    before the first MoE layer; all later layers are MoE layers. n_ff: width of the dense layers'
    feed-forward (0 where there are none). n_ff_exp: width of one expert. n_ctx_train: tokens of context.
    """

    FAMILY: ClassVar[str]
    """The name in messages: "BailingMoeV2"."""
    GGUF_NAME: ClassVar[str]
    """`general.architecture` in a GGUF, which names llama.cpp's graph. Several families may share one."""
    ACTIVATION: ClassVar[str]
    """Of the gate, in experts and dense layers: "silu" makes SwiGLU. Calibration's formulas (quant/sensitivity.py) and
    the native kernels know "silu" only."""
    DENSE_KINDS: ClassVar[Mapping[str, str | None]]
    """Kinds of dense matrices (`blk.3.attn_qkv.weight` is of the kind `attn_qkv`) to their group in
    tensors.DENSE_GROUPS; None where the type is not chosen by calibration. A plan may name these kinds."""
    SAMPLING: ClassVar[Mapping[str, Any]]
    """What the developers recommend: temperature, top_p, top_k, repeat_penalty, max_tokens. A GGUF may override it."""
    END_TOKENS: ClassVar[tuple[str, ...]]
    """Texts of special tokens that end a turn, whichever of them a file names."""
    REALS: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that hold positive real numbers; all others hold whole numbers from 0, flags, or None."""

    n_layer: int
    n_nextn: int
    n_embd: int
    n_ff: int
    n_ff_exp: int
    n_expert: int
    n_expert_used: int
    n_dense_lead: int
    n_vocab: int
    n_ctx_train: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            real = field.name in self.REALS
            possible = value is None or (0 < value <= MAX_REAL if real else 0 <= value < MAX_INTEGER)
            if not possible:
                raise self.unusable(f"its {field.name} is {value}")
        if fault := next(self.faults(), None):
            raise self.unusable(fault)

    def faults(self) -> Iterator[str]:
        """What is wrong with the combination of numbers, as parts of a sentence; the first one is told. Families add
        their own rules."""
        if self.n_layer < 1:
            yield "it has no layer"
        if self.n_layer + self.n_nextn > MAX_LAYERS:
            yield f"it has more than {MAX_LAYERS} layers"
        if self.n_expert > MAX_EXPERTS:
            yield f"it has more than {MAX_EXPERTS} experts a layer"
        if not 0 < self.n_expert_used < self.n_expert:
            yield "it uses more experts than it has"
        if self.n_dense_lead >= self.n_layer:
            yield "all its layers are dense"

    @classmethod
    def unusable(cls, fault: str) -> ModelFileError:
        return ModelFileError(f"This is not a usable {cls.FAMILY} model: {fault}.")

    @property
    def moe_layers(self) -> range:
        """Block numbers of the MoE layers that a token passes. The engine, statistics and plans index MoE layers by
        their place in this range."""
        return range(self.n_dense_lead, self.n_layer)

    @property
    def stored_moe_layers(self) -> range:
        """Block numbers with routed experts in the file, MTP layers included."""
        return range(self.n_dense_lead, self.n_layer + self.n_nextn)

    @property
    def n_moe_layers(self) -> int:
        """How many MoE layers a token passes."""
        return len(self.moe_layers)

    @property
    def expert_shape(self) -> tuple[int, int]:
        """[MoE layer, expert]: the shape of arrays with one entry for each expert that a token can pass."""
        return self.n_moe_layers, self.n_expert

    def expert_matrix_shape(self, projection: str) -> tuple[int, int]:
        """(rows, columns) of one expert's gate, up or down: a product takes `columns` numbers and gives `rows`."""
        return (self.n_embd, self.n_ff_exp) if projection == "down" else (self.n_ff_exp, self.n_embd)

    @property
    def expert_matrix_shapes(self) -> list[tuple[int, int]]:
        """(rows, columns) of gate, up and down."""
        return [self.expert_matrix_shape(projection) for projection in PROJECTIONS]

    @property
    def expert_weights(self) -> int:
        """Weights of one expert's three matrices."""
        return sum(rows * columns for rows, columns in self.expert_matrix_shapes)

    @abstractmethod
    def kv_values(self, layer: int) -> int:
        """How many numbers the KV cache keeps of each token in this layer."""

    @property
    @abstractmethod
    def router(self) -> Router:
        """How a token's experts are chosen, alike in every MoE layer."""
