"""How a model is brought to life: the engine's own settings, those of tests and benchmarks included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgemed.engine.offload import HOST, Offload

KV_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
"""ggml's numbers for what keys and values may be stored as."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How to load a model.

    ram_bytes: what this process, its parent and everything cached may take together; None: what the machine can spare.
    n_batch: tokens of a prompt computed at once. It never depends on the budget, so neither does the output.
    n_outputs: how many tokens of a batch may ask for logits.
    offload: which layers' dense part a device beside the processor computes.
    half_life_tokens: how fast the expert cache forgets (docs/decisions.md).
    read_ahead: predicted misses of the next layer to read while the disk is idle; none: 0.
    background: while nobody waits, touch the cache's memory and read in what is cold, as far as it fits, the hottest
        first by the model's calibration.
    hot_profile: with `background`, by what was hot when the model last ran; and remember that for the next time.
    force_small: accept a cache below one token's experts, for tests.
    watch: called by libllama for every tensor of the graph (residual.py).
    caller_bytes: memory of the budget that the caller has yet to take for itself.
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
