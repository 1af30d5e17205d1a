"""What a model weighs, part by part: of a file, or of a model that is yet to be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Type

from edgemed.architectures import Architecture, HParams
from edgemed.architectures.tensors import ALWAYS_F32, EMBEDDING, block_of, kind_of
from edgemed.model_file import ModelFile

TYPES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0")
"""Types whose speed is measured. Experts of any other precision are predicted as a mixture of the two nearest."""
DENSE_BITS = 8.5  # Q8_0
ROUTER_BITS = 32.0  # F32


@dataclass(frozen=True, slots=True)
class Amount:
    """So many weights in so many bytes."""

    nbytes: float
    weights: float


@dataclass(frozen=True, slots=True)
class ModelSize:
    """`dense`: what every token reads; `batch_weights`: how many weights of it each of a prompt's tokens is multiplied
    with; `other_bytes`: resident but read by row (embedding); `expert`: the mean expert, by the kind of its types."""

    dense: Amount
    batch_weights: float
    other_bytes: int
    expert: Mapping[str, Amount]
    layers: int
    experts: int
    used: int
    width: int
    kv_bytes_per_token: int

    @property
    def expert_bytes(self) -> float:
        return sum(part.nbytes for part in self.expert.values())

    @property
    def all_experts_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.experts)

    @property
    def token_expert_bytes(self) -> int:
        return int(self.expert_bytes * self.layers * self.used)


def size_of(hparams: Architecture, bits: float) -> ModelSize:
    """The size of a model of this shape whose experts take `bits` a weight and whose dense part is Q8_0."""
    h = hparams
    # Vectors are left out: they are too short to matter.
    matrices = [t for t in h.dense_tensors() if len(t.shape) == 2 and not _is_beyond(t.target, h)]
    embedding = sum(prod(t.shape) for t in matrices if kind_of(t.target) == EMBEDDING)
    routers = sum(prod(t.shape) for t in matrices if kind_of(t.target) in ALWAYS_F32)
    others = sum(prod(t.shape) for t in matrices) - embedding - routers
    return ModelSize(
        dense=Amount((others * DENSE_BITS + routers * ROUTER_BITS) / 8, others + routers),
        batch_weights=sum(prod(t.shape) for t in matrices if _serves_batch(t.target, h)),
        other_bytes=int(embedding * DENSE_BITS / 8),
        expert=_mixture(h.expert_weights, bits),
        layers=h.n_moe_layers,
        experts=h.n_expert,
        used=h.n_expert_used,
        width=h.n_embd,
        kv_bytes_per_token=_kv_bytes(h),
    )


def _mixture(weights: int, bits: float) -> dict[str, Amount]:
    """`weights` weights at a mean of `bits` each, as shares of the two types whose bits lie below and above."""
    for name, other in pairwise(TYPES):
        low, high = _bits(name), _bits(other)
        if bits <= high:
            share = min(1.0, max(0.0, (high - bits) / (high - low)))
            parts = {
                name: Amount(share * weights * min(bits, low) / 8, share * weights),
                other: Amount((1 - share) * weights * high / 8, (1 - share) * weights),
            }
            return {each: amount for each, amount in parts.items() if amount.weights}
    return {TYPES[-1]: Amount(weights * bits / 8, weights)}


def _bits(name: str) -> float:
    """Bits per weight of a type, block scales included."""
    weights, nbytes = GGML_QUANT_SIZES[Type[name]]
    return float(8 * nbytes / weights)


def size_of_file(file: ModelFile) -> ModelSize:
    """The size of an existing model."""
    h = file.hparams
    untied = "output.weight" in file.tensors
    embedding = file.tensors["token_embd.weight"]
    dense = [t for t in file.dense if not (untied and t is embedding) and not _is_beyond(t.name, h)]
    rows = h.n_moe_layers
    nbytes = float(file.experts.nbytes[:rows].sum()) / (rows * h.n_expert)
    return ModelSize(
        dense=Amount(sum(t.nbytes for t in dense), sum(prod(t.shape) for t in dense)),
        batch_weights=sum(prod(t.shape) for t in dense if _serves_batch(t.name, h)),
        other_bytes=embedding.nbytes if untied else 0,
        expert={mixture_of(file): Amount(nbytes, h.expert_weights)},
        layers=rows,
        experts=h.n_expert,
        used=h.n_expert_used,
        width=h.n_embd,
        kv_bytes_per_token=_kv_bytes(h),
    )


def mixture_of(file: ModelFile) -> str:
    """The name of the mixture of types its experts are stored in."""
    return "+".join(sorted(Type(int(each)).name for each in np.unique(file.experts.type)))


def _is_beyond(name: str, h: HParams) -> bool:
    """Whether a tensor belongs to an MTP layer, which no token passes."""
    block = block_of(name)
    return block is not None and block >= h.n_layer


def _serves_batch(name: str, h: HParams) -> bool:
    """Whether every token of a prompt is multiplied with it. Of the last layer only keys and values are computed for
    all tokens; the rest of it, and the output head, for the last token alone."""
    block = block_of(name)
    return block is not None and (block < h.n_layer - 1 or h.DENSE_KINDS.get(kind_of(name)) == "attn_qkv")


def _kv_bytes(h: HParams) -> int:
    return 2 * sum(h.kv_values(layer) for layer in range(h.n_layer))  # F16
