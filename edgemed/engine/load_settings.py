"""How to load a model: all settings of the engine, including those for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgemed.engine.offload import HOST, Offload

KV_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
"""ggml's type numbers for the KV cache."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How to load a model.

    ram_bytes: memory for this process, its parent and all cached experts together; None: what the machine can spare.
    n_batch: prompt tokens computed at once. It never depends on the budget, so the output does not either.
    n_outputs: how many tokens of a batch may ask for logits.
    offload: the layers whose dense part a device besides the processor computes.
    half_life_tokens: how fast the expert cache forgets uses (docs/decisions.md#cache-eviction).
    read_ahead: how many predicted misses of the next layer to prefetch while the disk is idle; 0 for none.
    background: while the engine is idle, touch the cache's memory and load experts into free space, in the order of
        the calibration's counts, hottest first.
    hot_profile: with `background`, use the order of the last run instead, and save this run's for the next one.
    force_small: accept a cache that holds fewer than one token's experts, for tests.
    watch: a callback of libllama for every tensor of the graph (residual.py).
    caller_bytes: the part of ram_bytes that the caller has yet to allocate.
    """

    ram_bytes: int | None
    n_ctx: int
    threads: int
    kv_type: str = "f16"
    flash_attn: bool = True
    n_batch: int = 2048
    n_outputs: int = 1
    reader_threads: int = 3
    direct_reads: bool = True
    half_life_tokens: float = 64.0
    repack: bool = True
    read_ahead: int = 8
    hot_profile: bool = False
    background: bool = False
    force_small: bool = False
    offload: Offload = HOST
    watch: Any = None
    caller_bytes: int = 0
