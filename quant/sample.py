"""A sample of whole tokens: their inputs to each MoE layer, and their routing.

Each layer keeps the tokens with the lowest keys. A key is a hash of the token's text and position, so the sample does
not depend on the order of the tokens, and two merged samples equal the sample of one pass over both texts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats

UNUSED = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@dataclass
class Sample:
    """L MoE layers with S places each, unordered. The methods return tokens in the order of their keys."""

    key: NDArray[np.uint64]  # [L, S]; UNUSED where no token is
    domain: NDArray[np.int16]  # [L, S]
    inputs: NDArray[np.float16]  # [L, S, n_embd], of gate and up
    experts: NDArray[np.int16]  # [L, S, used]
    shares: Floats  # [L, S, used]
    # [L, S], of the next token's distribution, in nats, over the mean square of the residual stream after the last
    # layer; 0 where it was not computed
    entropy: Floats

    @classmethod
    def empty(cls, layers: int, size: int, n_embd: int, used: int) -> Sample:
        """An empty sample with room for `size` tokens of each layer."""
        return cls(
            np.full((layers, size), UNUSED),
            np.zeros((layers, size), np.int16),
            np.zeros((layers, size, n_embd), np.float16),
            np.zeros((layers, size, used), np.int16),
            np.zeros((layers, size, used), np.float32),
            np.zeros((layers, size), np.float32),
        )

    def add(
        self,
        moe_layer: int,
        domain: NDArray[np.int16],
        key: NDArray[np.uint64],
        inputs: NDArray[np.floating],
        experts: NDArray[np.integer],
        shares: NDArray[np.floating],
        entropy: NDArray[np.floating],
    ) -> None:
        """Offer tokens of one MoE layer: inputs [tokens, n_embd], experts and shares (routing weights) [tokens, used],
        the rest [tokens]."""
        size = self.key.shape[1]
        if not size:
            return
        best = np.zeros(size + len(key), bool)
        best[np.argpartition(np.concatenate([self.key[moe_layer], key]), size - 1)[:size]] = True
        # Write only the places of the tokens that leave: a passage is small compared with the sample.
        place, new = np.flatnonzero(~best[:size]), np.flatnonzero(best[size:])
        self.key[moe_layer, place] = key[new]
        self.domain[moe_layer, place] = domain[new]
        self.inputs[moe_layer, place] = inputs[new]
        self.experts[moe_layer, place] = experts[new]
        self.shares[moe_layer, place] = shares[new]
        self.entropy[moe_layer, place] = entropy[new]

    def of_expert(self, moe_layer: int, expert: int) -> tuple[Floats, Floats, Floats]:
        """Inputs [tokens, n_embd], routing weights and error weights [tokens] of the expert's sampled tokens."""
        token, rank = np.nonzero((self.experts[moe_layer] == expert) & (self.key[moe_layer] != UNUSED)[:, None])
        order = np.argsort(self.key[moe_layer, token])
        token, rank = token[order], rank[order]
        return (
            self.inputs[moe_layer, token].astype(np.float32),
            self.shares[moe_layer, token, rank],
            self._weights(moe_layer)[token],
        )

    def of_layer(self, moe_layer: int, most: int) -> tuple[Floats, Floats]:
        """Inputs [tokens, n_embd] and error weights [tokens] of up to `most` random sampled tokens of an MoE layer."""
        token = np.argsort(self.key[moe_layer])[: min(most, np.count_nonzero(self.key[moe_layer] != UNUSED))]
        return self.inputs[moe_layer, token].astype(np.float32), self._weights(moe_layer)[token]

    def _weights(self, moe_layer: int) -> Floats:
        """The weight of an error in each token's experts, [S].

        An error changes little where the model is sure of the next token, and the last norm divides it by the size of
        the residual stream. The KL divergence that it causes is proportional to the entropy over the square of that
        size (docs/decisions.md#token-weights). The mean weight is 1 within each domain: otherwise domains that the
        model hardly knows, where entropy is high, would take the bits of all others.
        """
        used, domain = self.key[moe_layer] != UNUSED, self.domain[moe_layer]
        size = int(domain.max(initial=0)) + 1
        tokens = np.bincount(domain[used], minlength=size)
        mean = (np.bincount(domain[used], self.entropy[moe_layer, used], size) / np.maximum(tokens, 1))[domain]
        relative = self.entropy[moe_layer] / np.where(mean > 0, mean, 1)
        weights: Floats = np.where(mean > 0, relative, 1).astype(np.float32)
        return weights


def token_keys(text: str, tokens: int) -> NDArray[np.uint64]:
    """A hash for each token of the text of this name."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, tokens + 1, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
        # splitmix64's finaliser: https://prng.di.unimi.it/splitmix64.c
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return np.minimum(mixed, UNUSED - np.uint64(1))
