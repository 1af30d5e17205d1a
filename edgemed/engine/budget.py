"""What `--ram` is spent on. The limit covers this process, the interface and every cached expert together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemed.control_group import memory_left
from edgemed.engine.process_memory import interface_rss_bytes, rss_bytes
from edgemed.errors import BudgetError
from edgemed.model_file import ModelFile
from edgemed.native.engine import engine_library
from edgemed.sizes import PAGE

_MIB = 1 << 20
_MEMINFO = Path("/proc/meminfo")
_PARENT_GROWTH = 48 * _MIB
"""Allowance for the parent's growth: the widgets and text of a long chat."""
_OWN_GROWTH = 64 * _MIB
"""Allowance for this process's growth: allocator slack, thread stacks, sampling over the vocabulary, and the sums of
attention (for AntAngelMed's 32 heads of 128: 4 MiB per 32,768 tokens of context, and 0.2 MiB per thread in a batch)."""
_JITTER = 2 * _MIB
"""How much two starts of the same model can differ: 1.3 MiB was measured, in memory that malloc had not given back. The
smallest budget that a message names is at most this, rounded up to a step of the message, above the one that works."""
_SPARE = 0.85
"""The share of the machine's available memory that is used without --ram."""
_HUGE_PAGE = 2 * _MIB
_MIN_HUGE_BYTES = 512 << 10
"""Experts of this size and more are cached in huge pages."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes. `ram_bytes` is at least resident (now) + compute (reserved but untouched) + growth + cache."""

    ram_bytes: int
    resident_bytes: int
    compute_bytes: int
    cache_bytes: int


def plan_budget(
    file: ModelFile,
    ram_bytes: int | None,
    reserved_bytes: int,
    n_batch: int,
    *,
    peak_bytes: int = 0,
    observed: bool = False,
    force_small: bool = False,
) -> Budget:
    """Divide the budget once dense weights and KV cache are resident.

    reserved_bytes: scratch that llama.cpp has reserved but not touched, and any other memory still to be taken.
    peak_bytes: the most this process held while loading, since weights for a device pass through it. observed:
    calibration will observe the experts. Raises BudgetError, which names the smallest budget that works.
    """
    beside = interface_rss_bytes()
    resident = rss_bytes() + beside
    compute = reserved_bytes + _batch_scratch(file, n_batch, observed=observed)
    fixed = resident + compute + _PARENT_GROWTH + _OWN_GROWTH
    everything = all_experts_bytes(file)
    if ram_bytes is None:
        ram_bytes = resident + int(_SPARE * available_bytes())
    cache = min(ram_bytes - fixed, everything)
    least = layer_bytes(file) if force_small else min(token_bytes(file), everything)
    smallest = max(fixed + least, peak_bytes + beside)
    if ram_bytes < smallest:
        if not force_small:
            needed = _rounded(smallest + _JITTER, up=True)
            raise BudgetError(
                f"{_rounded(ram_bytes)} of memory is too little for {file.path.name}: it needs at least "
                f"{needed} (--ram {needed.replace(' ', '')})."
            )
        cache = least
    return Budget(ram_bytes, resident, compute, cache)


def refuse_beyond_memory(file: ModelFile, ram_bytes: int | None, fixed_bytes: int, n_ctx: int) -> None:
    """Raise BudgetError if dense weights and KV cache fit neither the available memory nor --ram.

    Loading them would make the kernel kill a process before `plan_budget` knows what is resident.
    """
    room = max(ram_bytes or 0, available_bytes())
    if fixed_bytes > room:
        raise BudgetError(
            f"{file.path.name} with a context of {n_ctx:,} tokens takes {_rounded(fixed_bytes, up=True)} of memory "
            f"without any expert, and {_rounded(room)} is available; choose a shorter context, close other programs, "
            "or set --ram to the memory that may be used."
        )


def token_bytes(file: ModelFile) -> int:
    """The experts of one token, if it uses the largest of every layer. A smaller cache never hits."""
    used = file.hparams.n_expert_used
    return int(np.sort(_slots(file), axis=1)[:, -used:].sum()) + _huge_page_slack(file)


def layer_bytes(file: ModelFile) -> int:
    """The experts one token uses in one layer, if they are the largest of the largest layer."""
    used = file.hparams.n_expert_used
    return int(np.sort(_slots(file), axis=1)[:, -used:].sum(axis=1).max()) + _huge_page_slack(file)


def all_experts_bytes(file: ModelFile) -> int:
    """Every expert that the engine can use, as the cache holds them."""
    return int(_slots(file).sum()) + _huge_page_slack(file)


def available_bytes() -> int:
    """Memory that can be taken without swapping: the machine's, or what a control group's limit leaves, if less."""
    available, limit = _available_on_machine(), memory_left()
    return available if limit is None else min(available, limit)


def _available_on_machine() -> int:
    """The kernel's estimate, or ours where /proc/meminfo has none (old containers and sandboxes)."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        lines = []
    kib = {words[0]: int(words[1]) for line in lines if len(words := line.split()) > 1 and words[1].isdecimal()}
    if "MemAvailable:" in kib:
        return kib["MemAvailable:"] << 10
    if "MemFree:" in kib:  # the page cache can be dropped, except for pages of shared memory
        cached = kib.get("Buffers:", 0) + kib.get("Cached:", 0) - kib.get("Shmem:", 0)
        return (kib["MemFree:"] + max(0, cached)) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _slots(file: ModelFile) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """[MoE layer, expert]: bytes of each expert in the cache, the whole pages that its matrices lie in.

    The cache needs less where two matrices share a page, as in other converters' files.
    """
    moe_layers = file.hparams.n_moe_layers
    begin, nbytes = (array[:moe_layers].astype(np.int64) for array in (file.experts.offset, file.experts.nbytes))
    pages = -(-(begin + nbytes) // PAGE) - begin // PAGE
    slots: np.ndarray[tuple[int, int], np.dtype[np.int64]] = pages.sum(axis=2) * PAGE
    return slots


def _huge_page_slack(file: ModelFile) -> int:
    """What size classes that use huge pages can hold beyond their slots (native: store/slots.cpp)."""
    sizes = np.unique(_slots(file))
    return int((sizes >= _MIN_HUGE_BYTES).sum()) * _HUGE_PAGE


def _batch_scratch(file: ModelFile, n_batch: int, *, observed: bool) -> int:
    """What a batch takes at most besides llama.cpp's own scratch (native: graph/batch_scratch.cpp)."""
    h = file.hparams
    types = np.ascontiguousarray(file.experts.type[: h.n_moe_layers], np.int32)
    return int(
        engine_library().edgemed_batch_scratch(
            types.ctypes.data, types.size // 3, h.n_embd, h.n_ff_exp, h.n_ff, h.n_expert_used, n_batch, observed
        )
    )


def _rounded(count: int, *, up: bool = False) -> str:
    """Format bytes in hundredths of a GiB, or whole MiB below one GiB; rounded down, or up with `up`."""
    if count < 2**20:
        return f"{count} B"
    unit, name, parts = (2**30, "GiB", 100) if count >= 2**30 else (_MIB, "MiB", 1)
    whole = -(-count * parts // unit) if up else count * parts // unit
    return f"{whole / parts:.{len(str(parts)) - 1}f} {name}"
