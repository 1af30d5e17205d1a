"""One MoE layer in the nodes that llama.cpp builds for it, without a model around it, computed by our device.

    with OneLayer(tmp_path, LayerShape(), lambda expert, projection: Type.Q4_K) as layer:
        result = layer.compute(routing)

Its input, routing and residual are results of ggml's CPU backend and its result is read by that backend, as in a model.
So ggml may put the result where an input was.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.native import xxh3_64
from edgemed.native.engine import EXPERT_RECORD, PartFile, StoreOptions, StoreStats, check, engine_library, error_text
from testing.ggml_graphs import InitParams, ggml_libraries
from testing.ggml_matmul import random_weights

PAGE = 4096
_HUGE_PAGE, _HUGE_FROM = 2 << 20, 512 << 10  # the store rounds up for each size of large experts
_BLOCK = 1  # the layer's number in its tensors' names
_WEIGHTS = 1  # ggml's usage of a buffer that holds weights
_I32 = 26
_NODES = 128
_SWIGLU_ORDER = ("up", "gate")  # llama.cpp multiplies with up first
_NAMES = ("gate", "up", "down")


class Routing(NamedTuple):
    """x and residual [tokens, n_embd], ids and weights [tokens, used]."""

    x: Floats
    residual: Floats
    ids: NDArray[np.int32]
    weights: Floats

    def rows(self, first: int, count: int = 1) -> "Routing":
        part = slice(first, first + count)
        return Routing(
            self.x[part].copy(), self.residual[part].copy(), self.ids[part].copy(), self.weights[part].copy()
        )


class Observed(NamedTuple):
    """input [experts, n_embd], hidden [experts, n_ff], sums [experts, 3]: as `edgemed_take_sums` says."""

    input: Floats
    hidden: Floats
    sums: NDArray[np.float64]


class Result(NamedTuple):
    """y [tokens, n_embd]; splits: pieces into which ggml cut the graph; over: inputs that the result lies over."""

    y: Floats
    splits: int
    over: frozenset[str]


@dataclass(frozen=True)
class LayerShape:
    n_embd: int = 512
    n_ff: int = 256
    experts: int = 24
    used: int = 4
    shared: int = 1  # how many times as wide as an expert the shared one is

    def columns_and_rows(self, projection: int) -> tuple[int, int]:
        return (self.n_ff, self.n_embd) if projection == 2 else (self.n_embd, self.n_ff)

    def routing(self, tokens: int, seed: int, among: int | None = None) -> Routing:
        """Random, the experts of each token drawn from the first `among`."""
        rng = np.random.default_rng(seed)
        x, residual = (rng.standard_normal((tokens, self.n_embd), np.float32) for _ in range(2))
        ids = [rng.choice(among or self.experts, self.used, replace=False) for _ in range(tokens)]
        weights = rng.uniform(0.1, 1, (tokens, self.used)).astype(np.float32)
        return Routing(x, residual, np.array(ids, np.int32), weights)


def random_matrix(kind: Type, rows: int, columns: int, seed: int) -> NDArray[np.uint8]:
    """[rows, bytes of a row] of a size that keeps sums near one."""
    if kind.name not in ("F32", "F16", "BF16"):
        return random_weights(kind, rows, columns, seed)
    values = np.random.default_rng(seed).standard_normal((rows, columns), np.float32) / np.float32(np.sqrt(columns))
    if kind is Type.BF16:
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(rows, -1)
    return values.astype(np.float16 if kind is Type.F16 else np.float32).view(np.uint8).reshape(rows, -1)


class OneLayer:
    """The layer with an expert store of its own. To be closed, as a context manager does."""

    def __init__(self, folder: Path, shape: LayerShape, types: Callable[[int, int], Type], shared: Type = Type.Q8_0):
        """types: the type of an expert's projection (gate, up, down). shared: the shared expert's."""
        self._base, cpu, registry = ggml_libraries()
        self._engine = engine_library()
        self.shape = shape
        self._closing = ExitStack()
        self.path = folder / "experts"
        records = self._write(self.path, types)
        self.offset = records["offset"][0]  # [expert, projection]
        pages = -(-records["nbytes"].astype(np.int64) // PAGE).sum(axis=2) * PAGE  # [1, expert]
        slack = _HUGE_PAGE * int((np.unique(pages) >= _HUGE_FROM).sum())
        self.all_bytes = int(pages.sum()) + slack
        self.least_bytes = int(np.sort(pages, axis=1)[:, -shape.used :].sum()) + slack
        options = StoreOptions(
            budget_bytes=self.all_bytes, reader_threads=2, direct=1, first_layer=_BLOCK, half_life=64, background=0
        )
        self._handle = check(
            self._engine.edgemed_open(
                PartFile(str(self.path).encode(), self.path.stat().st_size),
                1,
                records.ctypes.data,
                1,
                shape.experts,
                ctypes.byref(options),
            )
        )
        self._closing.callback(self._engine.edgemed_close, self._handle)
        check(self._engine.edgemed_open_stream(self._handle, b"", 0, 0, None, 0))
        self._experts = self._tensors(
            self._engine.edgemed_buffer_type(),
            {f"ffn_{name}_exps": (Type.IQ1_S, *shape.columns_and_rows(p)) for p, name in enumerate(_NAMES)},
            shape.experts,
        )
        self._engine.edgemed_end_stream()  # only now do the virtual tensors have strides
        wide = replace(shape, n_ff=shape.n_ff * shape.shared)
        self._shared = self._tensors(
            self._base.ggml_backend_cpu_buffer_type(),
            {f"ffn_{name}_shexp": (shared, *wide.columns_and_rows(p)) for p, name in enumerate(_NAMES)},
        )
        self.shared_bytes = 0
        for p, name in enumerate(_NAMES):
            columns, rows = wide.columns_and_rows(p)
            matrix = random_matrix(shared, rows, columns, 1000 + p)
            self._set(self._shared[f"ffn_{name}_shexp"], matrix)
            self.shared_bytes += matrix.nbytes
        device = registry.ggml_backend_dev_by_name(b"edgemed")
        ours, theirs = self._base.ggml_backend_dev_init(device, None), cpu.ggml_backend_cpu_init()
        for backend in (theirs, ours):
            self._closing.callback(self._base.ggml_backend_free, backend)
        address = self._base.ggml_backend_reg_get_proc_address(
            self._base.ggml_backend_dev_backend_reg(device), b"ggml_backend_set_n_threads"
        )
        set_threads = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)(address)
        self._use_threads = lambda threads: set_threads(ours, threads)
        self._use_threads(1)
        cpu.ggml_backend_cpu_set_n_threads(theirs, 1)
        backends = (ctypes.c_void_p * 2)(ours, theirs)
        self._sched = self._base.ggml_backend_sched_new(backends, None, 2, _NODES, False, False)
        self._closing.callback(self._base.ggml_backend_sched_free, self._sched)

    def __enter__(self) -> "OneLayer":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._closing.close()

    def set_threads(self, threads: int) -> None:
        self._use_threads(threads)

    def request_abort(self, on: bool) -> None:
        self._engine.edgemed_abort(self._handle, int(on))

    @contextmanager
    def observing(self, tokens: int) -> Iterator[Callable[[], Observed]]:
        """Collect calibration's statistics; the function takes them and starts anew."""
        shape, engine = self.shape, self._engine

        def take() -> Observed:
            inputs, hidden = (np.zeros((shape.experts, width), np.float32) for width in (shape.n_embd, shape.n_ff))
            sums = np.zeros((shape.experts, 3))
            engine.edgemed_take_sums(self._handle, inputs.ctypes.data, hidden.ctypes.data, sums.ctypes.data)
            return Observed(inputs, hidden, sums)

        engine.edgemed_start_observing(self._handle, shape.used, tokens, shape.n_embd, shape.n_ff)
        try:
            yield take
        finally:
            engine.edgemed_stop_observing(self._handle)

    def last_error(self) -> str:
        """The sentence behind a failed computation, once."""
        assert self._engine.edgemed_fault(self._handle) < 0
        text = error_text()
        self._engine.edgemed_clear_fault(self._handle)
        return text

    def set_cache_bytes(self, cache_bytes: int) -> None:
        self._engine.edgemed_set_budget(self._handle, cache_bytes)

    def stats(self) -> dict[str, float]:
        stats = StoreStats()
        self._engine.edgemed_stats(self._handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, _ in StoreStats._fields_}

    def compute(self, given: Routing) -> Result:
        """Raises RuntimeError with ggml's status."""
        base, shape, tokens = self._base, self.shape, len(given.x)
        room = _NODES * base.ggml_tensor_overhead() + base.ggml_graph_overhead()
        context = base.ggml_init(InitParams(room, None, True))
        try:
            inputs = {
                name: base.ggml_new_tensor_2d(context, kind, width, tokens)
                for name, kind, width in (
                    ("x", Type.F32, shape.n_embd),
                    ("residual", Type.F32, shape.n_embd),
                    ("ids", _I32, shape.experts),
                    ("weights", Type.F32, shape.used),
                )
            }
            for tensor in inputs.values():
                base.ggml_set_input(tensor)
            graph = base.ggml_new_graph(context)
            result, computed = self._layer(context, graph, inputs, tokens)
            y = base.ggml_cont(context, result)
            base.ggml_set_output(y)
            base.ggml_build_forward_expand(graph, y)
            if not base.ggml_backend_sched_alloc_graph(self._sched, graph):
                raise MemoryError
            splits = base.ggml_backend_sched_get_n_splits(self._sched)
            over = frozenset(name for name, tensor in computed.items() if self._overlap(tensor, result))
            ids = np.zeros((tokens, shape.experts), np.int32)  # llama.cpp sorts all experts and views the first
            ids[:, : shape.used] = given.ids
            for name, array in {**given._asdict(), "ids": ids}.items():
                self._set(inputs[name], array)
            if status := base.ggml_backend_sched_graph_compute(self._sched, graph):
                raise RuntimeError(f"status {status}")
            out = np.empty((tokens, shape.n_embd), np.float32)
            base.ggml_backend_tensor_get(y, out.ctypes.data, 0, out.nbytes)
        finally:
            base.ggml_backend_sched_reset(self._sched)
            base.ggml_free(context)
        return Result(out, splits, over)

    def _overlap(self, one: int, other: int) -> bool:
        mine, theirs = (
            (at := self._base.ggml_get_data(tensor), at + self._base.ggml_nbytes(tensor)) for tensor in (one, other)
        )
        return mine[0] < theirs[1] and theirs[0] < mine[1]

    def _layer(self, context: int, graph: int, inputs: dict[str, int], tokens: int) -> tuple[int, dict[str, int]]:
        """The nodes between the router and the next layer, in llama.cpp's order: the result, and copies of the inputs
        that ggml may overwrite."""
        base, shape = self._base, self.shape
        float_bytes = 4
        computed = {name: base.ggml_cont(context, tensor) for name, tensor in inputs.items()}
        for tensor in computed.values():
            base.ggml_build_forward_expand(graph, tensor)
        x, residual = computed["x"], computed["residual"]
        weights = base.ggml_reshape_3d(context, computed["weights"], 1, shape.used, tokens)
        ids = base.ggml_view_2d(context, computed["ids"], shape.used, tokens, float_bytes * shape.experts, 0)
        one_by_one = base.ggml_reshape_3d(context, x, shape.n_embd, 1, tokens)
        up, gate = (
            base.ggml_mul_mat_id(context, self._experts[f"ffn_{name}_exps"], one_by_one, ids) for name in _SWIGLU_ORDER
        )
        base.ggml_build_forward_expand(graph, up)
        hidden = base.ggml_swiglu_split(context, gate, up)
        out = base.ggml_mul_mat_id(context, self._experts["ffn_down_exps"], hidden, ids)
        out = base.ggml_mul(context, out, weights)
        stride = float_bytes * shape.n_embd
        views = [
            base.ggml_view_2d(context, out, shape.n_embd, tokens, stride * shape.used, stride * rank)
            for rank in range(shape.used)
        ]
        for view in views:
            base.ggml_build_forward_expand(graph, view)
        routed = views[0]
        for view in views[1:]:
            routed = base.ggml_add(context, routed, view)
            base.ggml_build_forward_expand(graph, routed)
        up, gate = (base.ggml_mul_mat(context, self._shared[f"ffn_{name}_shexp"], x) for name in _SWIGLU_ORDER)
        hidden = base.ggml_swiglu_split(context, gate, up)
        shared = base.ggml_mul_mat(context, self._shared["ffn_down_shexp"], hidden)
        y: int = base.ggml_add(context, base.ggml_add(context, routed, shared), residual)
        base.ggml_build_forward_expand(graph, y)
        return y, computed

    def _write(self, path: Path, types: Callable[[int, int], Type]) -> NDArray[Any]:
        """The experts' file, each matrix on pages of its own. Returns their records [1, expert]."""
        records = np.zeros((1, self.shape.experts), EXPERT_RECORD)
        with path.open("wb") as file:
            for expert in range(self.shape.experts):
                for p in range(3):
                    columns, rows = self.shape.columns_and_rows(p)
                    kind = types(expert, p)
                    data = random_matrix(kind, rows, columns, 3 * expert + p).tobytes()
                    record = records[0, expert]
                    record["offset"][p], record["nbytes"][p], record["type"][p] = file.tell(), len(data), int(kind)
                    file.write(data + bytes(-len(data) % PAGE))
        content = path.read_bytes()
        for record in records[0]:
            record["has_checksum"] = 1
            record["checksum"] = xxh3_64(content[record["offset"][0] : record["offset"][2] + record["nbytes"][2]])
        return records

    def _tensors(self, buffer_type: int, kinds: dict[str, tuple[Type, int, int]], depth: int = 1) -> dict[str, int]:
        """Weights of these types, columns and rows in a buffer of that type."""
        base = self._base
        context = base.ggml_init(InitParams(len(kinds) * base.ggml_tensor_overhead(), None, True))
        self._closing.callback(base.ggml_free, context)
        made = {}
        for name, (kind, columns, rows) in kinds.items():
            made[name] = base.ggml_new_tensor_3d(context, int(kind), columns, rows, depth)
            base.ggml_set_name(made[name], f"blk.{_BLOCK}.{name}.weight".encode())
        buffer = base.ggml_backend_alloc_ctx_tensors_from_buft(context, buffer_type)
        base.ggml_backend_buffer_set_usage(buffer, _WEIGHTS)
        self._closing.callback(base.ggml_backend_buffer_free, buffer)
        return made

    def _set(self, tensor: int, array: NDArray[Any]) -> None:
        array = np.ascontiguousarray(array)
        self._base.ggml_backend_tensor_set(tensor, array.ctypes.data, 0, array.nbytes)
