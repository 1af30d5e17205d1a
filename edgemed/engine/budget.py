"""What `--ram` is spent on. The promise covers this process, its parent and every cached expert together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Type

from edgemed.errors import BudgetError
from edgemed.model_file import ModelFile
from edgemed.native.engine import engine_library
from edgemed.sizes import PAGE

_MIB = 1 << 20
_PARENT_GROWTH = 48 * _MIB
"""What the parent may still grow by: a long chat's widgets and text."""
_OWN_GROWTH = 64 * _MIB
"""What this process may still grow by: allocator slack, threads' stacks, sampling over the vocabulary, attention's sums
(of AntAngelMed's 32 heads of 128, 4 MiB for each 32,768 tokens of context, and 0.2 MiB a thread for a batch)."""
_JITTER = 8 * _MIB
"""What two starts of the same model differ by."""
_SPARE = 0.85
"""The part of the machine's free memory taken when nobody said how much."""
_HUGE_PAGE = 2 * _MIB
_FLOAT = 4
# Of the native library: rows of a group of experts, of a dense product, of a tile; bytes of a tile of 256 columns, and
# of 256 quantised activations, plain and laid out for a single row.
_GROUP_ROWS, _MATRIX_ROWS, _TILE_ROWS = 256, 512, 12
_TILE_COLUMNS, _TILE_BYTES, _Q8_K_BYTES, _SINGLE_BYTES = 256, 4416, 292, 576


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes. `ram_bytes` >= resident now + compute (reserved, untouched) + growth + `cache_bytes`."""

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

    reserved_bytes: scratch that libllama holds but has not touched, and what else is to come. peak_bytes: what this
    process took while it loaded: weights on their way to a device pass through it. observed: calibration will watch
    what experts take and give. Raises BudgetError naming the smallest budget.
    """
    resident = _rss(os.getpid()) + _rss(os.getppid())
    compute = reserved_bytes + _batch_scratch(file, n_batch, observed=observed)
    fixed = resident + compute + _PARENT_GROWTH + _OWN_GROWTH
    everything = all_experts_bytes(file)
    if ram_bytes is None:
        ram_bytes = resident + int(_SPARE * available_bytes())
    cache = min(ram_bytes - fixed, everything)
    least = layer_bytes(file) if force_small else min(token_bytes(file), everything)
    smallest = max(fixed + least, peak_bytes + _rss(os.getppid()))
    if ram_bytes < smallest:
        if not force_small:
            needed = _rounded(smallest + _JITTER, up=True)
            raise BudgetError(
                f"{_rounded(ram_bytes)} of memory are too little for {file.path.name}: it needs at least "
                f"{needed} (--ram {needed.replace(' ', '')})."
            )
        cache = least
    return Budget(ram_bytes, resident, compute, cache)


def refuse_beyond_memory(file: ModelFile, ram_bytes: int | None, fixed_bytes: int, n_ctx: int) -> None:
    """Raises BudgetError where dense weights, keys and values fit neither this machine nor what the user says it has.

    Trying would end in the kernel's choice of a process to kill, before `plan_budget` knows what is resident.
    """
    room = max(ram_bytes or 0, available_bytes())
    if fixed_bytes > room:
        raise BudgetError(
            f"{file.path.name} with a context of {n_ctx:,} tokens takes {_rounded(fixed_bytes, up=True)} of memory "
            f"without any expert, and there are {_rounded(room)}; choose a shorter context, close other programs, or "
            "say with --ram how much may be taken all the same."
        )


def token_bytes(file: ModelFile) -> int:
    """The experts of one token, at each layer's largest: below this a cache never hits."""
    rows = _slots(file)
    used = file.hparams.n_expert_used
    return int(np.sort(rows, axis=1)[:, -used:].sum()) + _huge_page_slack(file)


def layer_bytes(file: ModelFile) -> int:
    """The experts one token uses in one layer, at the largest."""
    used = file.hparams.n_expert_used
    return int(np.sort(_slots(file), axis=1)[:, -used:].sum(axis=1).max()) + _huge_page_slack(file)


def all_experts_bytes(file: ModelFile) -> int:
    """Every expert the runtime can use, as the cache holds them."""
    return int(_slots(file).sum()) + _huge_page_slack(file)


def available_bytes() -> int:
    """Memory that can be taken without swapping: the kernel's estimate, or what a control group leaves of its limit,
    where files that were read or written and are not in use give way."""
    meminfo = Path("/proc/meminfo").read_text()
    available = next(int(line.split()[1]) * 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    for limit, usage, stat, unused in _GROUP_FILES:
        try:
            taken = int(usage.read_text()) - int(dict(map(str.split, stat.read_text().splitlines()))[unused])
            left = int(limit.read_text()) - taken
        except (OSError, ValueError, KeyError):  # no such controller, or "max"
            continue
        available = min(available, max(left, 0))
    return available


_V2 = Path("/sys/fs/cgroup")
_V1 = _V2 / "memory"
_GROUP_FILES = (
    (_V2 / "memory.max", _V2 / "memory.current", _V2 / "memory.stat", "inactive_file"),
    (_V1 / "memory.limit_in_bytes", _V1 / "memory.usage_in_bytes", _V1 / "memory.stat", "total_inactive_file"),
)


def _slots(file: ModelFile) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """[row, expert] bytes of each runtime expert in the cache: the whole pages each matrix lies in. Where two share a
    page, which only other converters' files do, the cache needs less."""
    rows = file.hparams.n_moe_layers
    begin, nbytes = (array[:rows].astype(np.int64) for array in (file.experts.offset, file.experts.nbytes))
    pages = -(-(begin + nbytes) // PAGE) - begin // PAGE
    slots: np.ndarray[tuple[int, int], np.dtype[np.int64]] = pages.sum(axis=2) * PAGE
    return slots


def _huge_page_slack(file: ModelFile) -> int:
    sizes = np.unique(_slots(file))
    return int((sizes >= 512 << 10).sum()) * _HUGE_PAGE


def _batch_scratch(file: ModelFile, n_batch: int, *, observed: bool) -> int:
    """What a batch's experts and dense products keep beside libllama's own scratch, at most.

    Where our products do the work (native: graph/moe_batch.cpp, graph/moe_group.cpp, products/matrix_product.cpp): the
    input of all tokens quantised, and laid out for experts that get a single row; for a group of experts, of which one
    may have all tokens, floats and quantised hidden rows and tiles of both; tiles of 512 rows of the widest dense
    matrix. Where ggml does: the input, and 512 rows of everything. An observer sees the input and a group's input and
    output.
    """
    h = file.hparams
    types = file.experts.type[: h.n_moe_layers]
    sizes = [shape[::-1] for shape in h.expert_matrix_shapes]  # columns and rows
    ours = ggmls = 0
    find = engine_library().edgemed_has_product
    kinds = [{Type(int(each)) for each in np.unique(types[..., p])} for p in range(3)]
    found = [bool(find(int(each), *sizes[p])) for p in range(3) for each in kinds[p]]
    if any(found):
        rows = max(n_batch, _GROUP_ROWS)
        tiles = max(-(-rows // _TILE_ROWS), _GROUP_ROWS) * _TILE_BYTES
        for columns, wanted in ((h.n_embd, kinds[0] | kinds[1]), (h.n_ff_exp, kinds[2])):
            # Activations of two kinds: by 256 columns (Q8_K), or by 32 (Q8_0), which take a little less.
            formats = len({GGML_QUANT_SIZES[each][0] == _TILE_COLUMNS for each in wanted})
            ours += formats * columns // _TILE_COLUMNS * (rows * _Q8_K_BYTES + tiles)
            layouts = {engine_library().edgemed_single_layout(int(each), columns) for each in wanted} - {-1}
            ours += len(layouts) * columns // _TILE_COLUMNS * rows * _SINGLE_BYTES
        ours += _FLOAT * rows * 2 * h.n_ff_exp
        ours += -(-_MATRIX_ROWS // _TILE_ROWS) * _TILE_BYTES * max(h.n_ff, h.n_embd) // _TILE_COLUMNS
    if not all(found):
        ggmls = _FLOAT * (n_batch * h.n_embd + _MATRIX_ROWS * 3 * (h.n_embd + h.n_ff_exp))
    seen = _FLOAT * n_batch * 3 * h.n_embd if observed else 0
    return ours + ggmls + seen


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # a parent in another process namespace
        return 0


def _rounded(count: int, *, up: bool = False) -> str:
    """Hundredths of a GiB, whole MiB below one: never more than there is, or with `up` never less than it takes."""
    if count < 2**20:
        return f"{count} B"
    unit, name, parts = (2**30, "GiB", 100) if count >= 2**30 else (_MIB, "MiB", 1)
    whole = -(-count * parts // unit) if up else count * parts // unit
    return f"{whole / parts:.{len(str(parts)) - 1}f} {name}"
