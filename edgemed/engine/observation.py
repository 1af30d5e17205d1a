"""Calibration's view of a running model: sums over the activations of each expert.

Our own device accumulates the sums while a batch is computed; an evaluation callback would split the graph of every
layer. Only batches are observed, so compute at least two tokens at a time. libllama computes the last layer only for
tokens whose logits are requested, so request all (`LoadSettings.n_outputs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemed.engine.model import LoadedModel
from edgemed.native.engine import engine_library

Sums32 = npt.NDArray[np.float32]
Sums64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observed:
    """Sums per [MoE layer, expert] over the tokens routed to the expert.

    input: squares of the input of gate and up, [MoE layer, expert, n_embd]; hidden: squares of the input of down times
    the routing weight, [MoE layer, expert, n_ff]; tokens: their number; weight: routing weights; weighted_output:
    weight^2 * |output|^2.
    """

    input: Sums32
    hidden: Sums32
    tokens: Sums64
    weight: Sums64
    weighted_output: Sums64


@dataclass(frozen=True, slots=True)
class Routing:
    """One batch in one MoE layer. inputs [token, n_embd]: the normed inputs of router and experts; experts and weights
    [token, used] in rank order, with the weights as applied, normalised and scaled."""

    inputs: Sums32
    experts: npt.NDArray[np.int32]
    weights: Sums32


class Observation:
    """Reads the sums. Obtain one from `observe`."""

    def __init__(self, model: LoadedModel, tokens: int) -> None:
        self._model = model
        self._tokens = tokens

    def take_routing(self) -> list[Routing]:
        """The routing of the last batch, per MoE layer."""
        h = self._model.file.hparams
        moe_layers = h.n_moe_layers
        inputs = np.zeros((moe_layers, self._tokens, h.n_embd), np.float32)
        experts = np.zeros((moe_layers, self._tokens, h.n_expert_used), np.int32)
        weights = np.zeros((moe_layers, self._tokens, h.n_expert_used), np.float32)
        counts = np.zeros(moe_layers, np.int32)
        engine_library().edgemed_take_routing(
            self._model.handle, inputs.ctypes.data, experts.ctypes.data, weights.ctypes.data, counts.ctypes.data
        )
        return [Routing(inputs[r, :n], experts[r, :n], weights[r, :n]) for r, n in enumerate(counts)]

    def take(self) -> Observed:
        """The sums since the last call, or since the observation began."""
        h = self._model.file.hparams
        inputs = np.zeros((*h.expert_shape, h.n_embd), np.float32)
        hidden = np.zeros((*h.expert_shape, h.n_ff_exp), np.float32)
        sums = np.zeros((*h.expert_shape, 3), np.float64)
        engine_library().edgemed_take_sums(self._model.handle, inputs.ctypes.data, hidden.ctypes.data, sums.ctypes.data)
        return Observed(inputs, hidden, sums[..., 0], sums[..., 1], sums[..., 2])


@contextmanager
def observe(model: LoadedModel, tokens: int) -> Iterator[Observation]:
    """Observe the model while the block runs; `tokens`: the size of the largest batch it will compute."""
    h = model.file.hparams
    engine_library().edgemed_start_observing(model.handle, h.n_expert_used, tokens, h.n_embd, h.n_ff_exp)
    try:
        yield Observation(model, tokens)
    finally:
        engine_library().edgemed_stop_observing(model.handle)
