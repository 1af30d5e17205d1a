"""A model loaded into this process: libllama's graph, our experts, and one limit of memory for both.

Only the engine's child process uses it, because ggml aborts the process when an assertion fails.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
from llama_cpp import llama_cpp

from edgemed.engine.budget import Budget, layer_bytes, plan_budget, refuse_beyond_memory
from edgemed.engine.hot_profile import calibrated_scores, read_profile, write_profile
from edgemed.engine.llama import LogCapture, capture_log, start_llama
from edgemed.engine.load_settings import KV_TYPES, LoadSettings
from edgemed.engine.offload import place
from edgemed.engine.prefetch import enable_prefetch
from edgemed.engine.process_memory import peak_rss_bytes
from edgemed.engine.virtual_gguf import virtual_gguf
from edgemed.errors import ChecksumError, EngineError, ModelFileError
from edgemed.model_file import ModelFile
from edgemed.native.engine import (
    EXPERT_RECORD,
    PartFile,
    StoreOptions,
    StoreStats,
    check,
    engine_library,
    error_text,
)

_LOAD_MODE_NONE = 0
_FLASH_ATTENTION = {False: 0, True: 1}
EXPERTS = rb"_exps\.weight$"


class BufferTypeOverride(ctypes.Structure):
    """`llama_model_tensor_buft_override`: tensors whose name matches the pattern go to this buffer type."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


class LoadedModel:
    """A loaded model. `model`, `ctx` and `vocab` are libllama's handles, which `close` frees; `budget` divides the
    memory."""

    def __init__(self, file: ModelFile, settings: LoadSettings) -> None:
        """Use `load_model`."""
        self.file = file
        self.model: Any = None
        self.ctx: Any = None
        self._native = engine_library()
        self._log = LogCapture()
        start_llama()
        self.placement = place(file, settings.offload, settings.n_ctx, settings.kv_type)
        refuse_beyond_memory(file, settings.ram_bytes, self.placement.host_bytes, settings.n_ctx)
        self.handle = check(self._open_store(settings), EngineError)
        capture_log(self._log)
        if self.placement.device is None:  # with a device, it would split the graph of the layers that stay here
            self._native.edgemed_claim_attention(self.handle)
        try:
            self._load_dense(settings)
            self._make_context(settings)
            if settings.read_ahead > 0:
                enable_prefetch(self.handle, file, settings.read_ahead)
            self.budget: Budget = plan_budget(
                file,
                settings.ram_bytes,
                self._scratch_bytes() + settings.caller_bytes,
                min(settings.n_batch, settings.n_ctx),
                peak_bytes=peak_rss_bytes() if self.placement.device is not None else 0,
                observed=settings.n_outputs > 1,
                force_small=settings.force_small,
            )
            self._native.edgemed_set_budget(self.handle, self.budget.cache_bytes)
            self._remembers = settings.hot_profile
            if settings.background:
                self._warm_up()
        except BaseException:
            self.close()
            raise
        finally:
            capture_log(None)

    @property
    def _experts(self) -> tuple[int, int]:
        """(MoE layers, experts per layer)."""
        return self.file.hparams.expert_shape

    @property
    def vocab(self) -> Any:
        return llama_cpp.llama_model_get_vocab(self.model)

    def request_abort(self) -> None:
        """End the running computation and its reads within milliseconds. Callable from any thread."""
        self._native.edgemed_abort(self.handle, 1)

    def clear_abort(self) -> None:
        """Allow computations again."""
        self._native.edgemed_abort(self.handle, 0)

    def stats(self) -> dict[str, int | float]:
        """Counters since loading (`StoreStats` has the list), and resident_bytes and budget_bytes at this moment.

        shared_bytes counts the weights of shared experts multiplied within compute_s. Callable from any thread.
        """
        stats = StoreStats()
        self._native.edgemed_stats(self.handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, _ in StoreStats._fields_}

    def last_error(self) -> str | None:
        """Return and clear the message of a failed computation; None if none failed."""
        if self._native.edgemed_fault(self.handle) == 0:
            return None
        text = error_text()
        self._native.edgemed_clear_fault(self.handle)
        return text

    def set_cache_bytes(self, cache_bytes: int) -> None:
        """Resize the expert cache while running, to at least the experts one token uses in one layer."""
        self._native.edgemed_set_budget(self.handle, max(cache_bytes, layer_bytes(self.file)))

    def store_state(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """[3, MoE layer, expert]: each expert's state (0 absent, 1 loading, 2 ready, 3 failed), and its hits and misses
        since the last call, at most 255. The first call starts the counting. Callable from any thread.
        """
        seen = np.zeros((3, *self._experts), np.uint8)
        self._native.edgemed_store_state(self.handle, *(part.ctypes.data for part in seen))
        return seen

    def begin_batch(self) -> None:
        """Call before a batch whose `batch_progress` will be asked for."""
        self._native.edgemed_begin_batch(self.handle)

    def batch_progress(self) -> float:
        """The share of MoE layers that the running batch has passed, from 0 to 1. Callable from any thread."""
        return max(0, int(self._native.edgemed_batch_layer(self.handle))) / self._experts[0]

    def stop_watching(self) -> None:
        """Stop counting hits and misses per expert. Callable from any thread."""
        self._native.edgemed_stop_watching(self.handle)

    def remember_hot(self) -> None:
        """Save the hot experts for the next start (`edgemed.engine.hot_profile`), if the settings say so."""
        if self._remembers:
            scores = np.zeros(self._experts, np.float32)
            self._native.edgemed_copy_scores(self.handle, scores.ctypes.data)
            write_profile(self.file.path, scores)

    def record_trace(self, path: str | None) -> None:
        """Write (clock, MoE layer, expert) as u32 triples for every expert pinned; None ends it. No content is in it.
        Raises EngineError when the file cannot be written."""
        check(self._native.edgemed_record_trace(self.handle, os.fsencode(path) if path else None), EngineError)

    def close(self) -> None:
        """Free everything. May be called twice."""
        if self.ctx:
            llama_cpp.llama_free(self.ctx)
        if self.model:
            llama_cpp.llama_model_free(self.model)
        self.ctx = self.model = None
        if self.handle:
            self._native.edgemed_close(self.handle)
        self.handle = None

    def _open_store(self, settings: LoadSettings) -> Any:
        file = self.file
        moe_layers, experts_per_layer = self._experts
        records = np.zeros((moe_layers, experts_per_layer), EXPERT_RECORD)
        for name in ("part", "offset", "nbytes", "type"):
            records[name] = getattr(file.experts, name)[:moe_layers]
        if file.experts.checksum is not None:
            records["has_checksum"] = 1
            records["checksum"] = file.experts.checksum[:moe_layers]
        options = StoreOptions(
            budget_bytes=0,
            reader_threads=settings.reader_threads,
            direct=int(settings.direct_reads),
            first_layer=file.hparams.moe_layers.start,
            half_life=settings.half_life_tokens,
            background=int(settings.background),
        )
        parts = (PartFile * len(file.parts))(*(PartFile(os.fsencode(part.path), part.size) for part in file.parts))
        return self._native.edgemed_open(
            parts,
            len(parts),
            records.ctypes.data,
            moe_layers,
            experts_per_layer,
            ctypes.byref(options),
        )

    def _load_dense(self, settings: LoadSettings) -> None:
        virtual = virtual_gguf(self.file)
        extents = (type(virtual.extents[0]) * len(virtual.extents))(*virtual.extents)
        stream = check(
            self._native.edgemed_open_stream(
                self.handle,
                virtual.header,
                len(virtual.header),
                virtual.size,
                extents,
                len(extents),
            ),
            ModelFileError,
        )
        overrides = (BufferTypeOverride * 2)(
            BufferTypeOverride(EXPERTS, self._native.edgemed_buffer_type()), BufferTypeOverride(None, None)
        )
        params = llama_cpp.llama_model_default_params()
        params.load_mode = _LOAD_MODE_NONE
        params.use_extra_bufts = settings.repack
        params.no_host = True  # else host weights go to the GPU's pinned memory, where they are not repacked
        devices = self.placement.handles
        params.devices = ctypes.cast(devices, ctypes.c_void_p)
        params.n_gpu_layers = self.placement.layers
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        load = llama_cpp._lib.llama_model_load_from_file_ptr
        load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_void_p, type(params))
        try:
            self.model = load(stream, params)
        finally:
            self._native.edgemed_end_stream()
        damaged = self._native.edgemed_stream_damaged(self.handle)
        if damaged >= 0:
            tensor = self.file.dense[damaged]
            where = f"The tensor {tensor.name} of {self.file.parts[tensor.part].path.name}"
            if error := self._native.edgemed_stream_read_error(self.handle):
                reason = "it was cut short" if error < 0 else os.strerror(error)
                raise ModelFileError(f"{where} cannot be read: {reason}.")
            raise ChecksumError(f"{where} does not match its checksum; copy or convert the file again.")
        if not self.model:
            raise EngineError(f"llama.cpp refuses {self.file.path.name}: {self._complaint()}")
        checked = self._native.edgemed_stream_verified(self.handle)
        wanted = len({extent.number for extent in virtual.extents})
        if self.file.verified and checked != wanted:
            raise EngineError(f"Only {checked} of {wanted} dense tensors could be checked while loading.")

    def _make_context(self, settings: LoadSettings) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = settings.n_ctx
        params.n_batch = params.n_ubatch = min(settings.n_batch, settings.n_ctx)
        params.n_outputs_max = settings.n_outputs
        params.n_threads = params.n_threads_batch = settings.threads
        params.type_k = params.type_v = KV_TYPES[settings.kv_type]
        params.flash_attn_type = _FLASH_ATTENTION[settings.flash_attn]
        params.offload_kqv, params.op_offload = self.placement.layers > 0, False
        callback = ctypes.cast(self._native.edgemed_abort_callback, ctypes.c_void_p)
        params.abort_callback = ctypes.cast(callback, type(params.abort_callback))
        params.abort_callback_data = self.handle
        if settings.watch is not None:
            params.cb_eval = settings.watch
        self.ctx = llama_cpp.llama_init_from_model(self.model, params)
        if not self.ctx:
            raise EngineError(f"llama.cpp cannot make a context of {settings.n_ctx} tokens: {self._complaint()}")

    def _scratch_bytes(self) -> int:
        """Memory of this process that libllama and a device's driver have yet to take."""
        device = self.placement.device
        if device is None:
            return self._log.compute_bytes(None)
        return self._log.compute_bytes(device.buffer_name) + device.driver_bytes

    def _warm_up(self) -> None:
        scores = read_profile(self.file.path, self._experts) if self._remembers else None
        if scores is None:
            scores = calibrated_scores(self.file)
        if scores is not None:
            self._native.edgemed_restore_scores(self.handle, scores.ctypes.data)

    def _complaint(self) -> str:
        return (" ".join(self._log.complaints[-2:]) or "it does not say why").removesuffix(".") + "."


def load_model(file: ModelFile, settings: LoadSettings) -> LoadedModel:
    """Load `file` into this process.

    Raises BudgetError (with the smallest budget that works), ChecksumError, ModelFileError, SetupError, EngineError.
    """
    return LoadedModel(file, settings)
