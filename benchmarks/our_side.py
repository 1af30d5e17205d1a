"""Our side of benchmarks.quality: calibrate with the numpy forward pass, then quantise as `convert --calibration`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from benchmarks.passages import Passages
from benchmarks.rivals import Experts
from edgemed.arrays import Floats
from edgemed.calibration.collect import entropies
from edgemed.evaluation.metrics import Comparison, log_softmax
from edgemed.quant import types
from edgemed.quant.calibrated import EFFECT_TYPE, Calibrated
from edgemed.quant.quantize import dequantize
from edgemed.quant.sample import token_keys
from edgemed.quant.statistics import Statistics
from testing import forward

Value = tuple[int, int, Type]  # MoE layer, expert, type


@dataclass
class Bench:
    """The model, its calibration, and a cache of quantised experts."""

    model: forward.Model
    calibrated: Calibrated
    values: dict[Value, tuple[Floats, ...]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(MoE layers, experts)."""
        return self.model.experts[0].shape[0], self.model.experts[0].shape[1]

    def matrices(self, moe_layer: int, expert: int) -> Experts:
        gate, up, down = (weights[moe_layer, expert] for weights in self.model.experts)
        return gate, up, down

    def value(self, moe_layer: int, expert: int, type_: Type) -> tuple[Floats, ...]:
        """Return the expert's matrices rounded to one type, as `convert --calibration` writes them."""
        key = moe_layer, expert, type_
        if key not in self.values:
            matrices = self.matrices(moe_layer, expert)
            layer = self.calibrated.statistics.layers[moe_layer]
            blocks = self.calibrated.blocks(layer, expert, matrices, (type_,) * 3)
            self.values[key] = tuple(dequantize(b, type_, w.shape[1]) for b, w in zip(blocks, matrices, strict=True))
        return self.values[key]

    def single(self, type_: Type) -> Experts:
        """Return all experts in one type."""
        return self.mixed((type_,), np.zeros((*self.shape, 3), np.int64))

    def mixed(self, palette: tuple[Type, ...], choice: NDArray[np.int64]) -> Experts:
        """Return the experts, each projection in its chosen type: `choice` [L * E * 3] indexes `palette`."""
        picked = choice.reshape(*self.shape, 3)
        made = [np.empty_like(weights) for weights in self.model.experts]
        for moe_layer, expert, projection in np.ndindex(*picked.shape):
            type_ = palette[picked[moe_layer, expert, projection]]
            made[projection][moe_layer, expert] = self.value(moe_layer, expert, type_)[projection]
        return made[0], made[1], made[2]

    def damage(self, palette: tuple[Type, ...]) -> NDArray[np.float64]:
        """Return the damage of every item in every type, [L * E * 3, types], as `convert --calibration` does."""
        layers = self.calibrated.statistics.layers
        damage = self.calibrated.weigh_all(
            lambda layer, expert: self.matrices(layers.index(layer), expert), palette, 2, lambda done, total: None
        )
        return damage.reshape(-1, len(palette))

    def effects(self, texts: Passages, reference: list[Floats]) -> NDArray[np.float64]:
        """Return each layer's effect [L], measured as `edgemed calibrate` does."""
        quick = Bench(self.model, replace(self.calibrated, compensated=False))
        everything = quick.single(EFFECT_TYPE)
        found = [divergence(self.model, everything, texts, reference)]
        for moe_layer in range(self.shape[0]):
            spared = [weights.copy() for weights in everything]
            for weights, original in zip(spared, self.model.experts, strict=True):
                weights[moe_layer] = original[moe_layer]
            found.append(divergence(self.model, (spared[0], spared[1], spared[2]), texts, reference))
        return found[0] - np.array(found[1:])


class Items:
    """The items of the allocation: every projection of every expert. `size` [items, types] in bytes; `tensor` [items],
    the stacked tensor that each item belongs to; `weights`, the number of weights in all items."""

    def __init__(self, bench: Bench, palette: tuple[Type, ...]) -> None:
        layers, experts = bench.shape
        each = np.array([weights[0, 0].size for weights in bench.model.experts])
        size = np.stack([[int(n * types.bits_per_weight(t) / 8) for t in palette] for n in each])
        self.size = np.tile(size, (layers * experts, 1))
        self.tensor = np.tile(np.arange(3), layers * experts) + 3 * np.repeat(np.arange(layers), 3 * experts)
        self.weights = int(each.sum()) * layers * experts

    def bytes_of(self, type_: Type) -> int:
        return int(self.weights * types.bits_per_weight(type_) / 8)


def batches(tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split the passages into batches of eight."""
    return [tokens[first : first + 8] for first in range(0, len(tokens), 8)]


def calibrate(model: forward.Model, texts: Passages) -> Statistics:
    """Collect our statistics over every token, all of them sampled."""
    layers, n_expert = model.experts[0].shape[:2]
    domains = sorted(set(texts.domain))
    statistics = Statistics.empty(
        domains,
        range(model.lead, model.lead + layers),
        n_expert=n_expert,
        n_used=model.config["num_experts_per_tok"],
        n_embd=model.experts[0].shape[3],
        n_ff=model.experts[0].shape[2],
        sample=texts.tokens.size,
    )
    for index, domain in enumerate(domains):
        of_domain = texts.tokens[np.array(texts.domain) == domain]
        for number, part in enumerate(batches(of_domain)):
            keys = token_keys(f"{domain} {number}", part.size)
            seen: list[tuple[Any, ...]] = []

            def expert(layer: int, e: int, x: Floats, s: Floats, inner: Floats, output: Floats, d: int = index) -> None:
                statistics.observe_expert(d, layer, e, x, s, inner, output)

            sizes: list[Floats] = []

            def last(x: Floats, into: list[Floats] = sizes) -> None:
                into.append(np.square(x).mean(axis=-1).ravel())

            watch = forward.Watch(lambda *layer, into=seen: into.append(layer), expert, last)
            logits = forward.logits(model, part, watch)
            entropy = entropies(logits.reshape(part.size, -1))
            entropy /= np.concatenate(sizes)
            for moe_layer, x, experts, shares, margins in seen:
                statistics.observe_layer(index, moe_layer, keys, x, experts, shares, margins, entropy)
    return statistics


def originals(model: forward.Model, texts: Passages) -> list[Floats]:
    """Return the log probabilities of the unquantised model, one array per batch."""
    return [log_softmax(forward.logits(model, part)).astype(np.float32) for part in batches(texts.tokens)]


def divergence(model: forward.Model, experts: Experts, texts: Passages, reference: list[Floats]) -> float:
    """Return the mean KL divergence over all tokens."""
    return float(np.concatenate(compare(model, experts, texts, reference).divergence).mean())


def compare(model: forward.Model, experts: Experts, texts: Passages, reference: list[Floats]) -> Comparison:
    """Compare the model that has these experts with the reference on every passage."""
    result, changed = Comparison(), model.with_experts(experts)
    at = 0
    for part, p in zip(batches(texts.tokens), reference, strict=True):
        for tokens, expected, found in zip(part, p, log_softmax(forward.logits(changed, part)), strict=True):
            result.add(texts.domain[at], expected, found, np.append(tokens[1:], tokens[-1]))
            at += 1
    return result
