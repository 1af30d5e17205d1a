"""One run of one side, in a process of its own: load, read a prompt, decode a fixed sequence; JSON on standard output.

    python -m benchmarks.measure '{"side": "edgemed", "model": "M.gguf", "prompt": 512, "decode": 64}'

Both sides compute the same published tokens through the same libllama calls. "edgemed" loads through
edgemed.engine.model; "llama.cpp" loads the stock layout with mmap, with or without repacking (`extra_bufts`).
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from llama_cpp import llama_cpp

from benchmarks.true_shape import tokens
from edgemed.engine.model import LoadedModel, LoadSettings, load_model
from edgemed.engine.process_memory import peak_rss_bytes
from edgemed.model_file import open_model

PROMPT_SEED, DECODE_SEED, FOLLOW_SEED = 1, 2, 3


@dataclass(frozen=True)
class Spec:
    """What to run. `prompts`: how often the prompt is read, anew each time; the first may meet cold files. `follow`:
    tokens of a further question, computed after the prompt's. `warm`: decoded tokens that are not measured. `trace`:
    where the engine records its routing."""

    side: Literal["edgemed", "llama.cpp"]
    model: str
    prompt: int = 512
    prompts: int = 1
    follow: int = 0
    warm: int = 16
    decode: int = 64
    threads: int = 2
    ram_bytes: int | None = None
    extra_bufts: bool = True
    trace: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def n_ctx(self) -> int:
        """Room for all tokens, a multiple of 256."""
        return -(-(self.prompt + self.follow + self.warm + self.decode) // 256) * 256


@dataclass(frozen=True)
class Run:
    """What was measured. Times in seconds; `stats` are the counters of the measured tokens, `prompt_stats` those of
    the last reading of the prompt."""

    load_s: float
    prompt_s: list[float]
    follow_s: float
    token_s: list[float]
    peak_rss_bytes: int
    major_faults: int
    logits: list[float]
    stats: dict[str, float] = field(default_factory=dict)
    prompt_stats: dict[str, float] = field(default_factory=dict)

    @property
    def mean_token_s(self) -> float:
        return sum(self.token_s) / len(self.token_s)


class _Stock:
    """Stock llama.cpp over a memory-mapped file."""

    def __init__(self, spec: Spec) -> None:
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = spec.extra_bufts
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(spec.model.encode(), params)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = spec.n_ctx
        context.n_batch = context.n_ubatch = min(2048, spec.n_ctx)
        context.n_outputs_max = 1
        context.n_threads = context.n_threads_batch = spec.threads
        context.flash_attn_type = 1
        self.ctx = llama_cpp.llama_init_from_model(self.model, context)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def stats(self) -> dict[str, int | float]:
        return {}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    if level >= 4:
        sys.stderr.write(text.decode("utf-8", "replace"))


def _load(spec: Spec) -> _Stock | LoadedModel:
    if spec.side == "llama.cpp":
        return _Stock(spec)
    settings = {"background": True} | spec.settings  # as the product has it
    wanted = LoadSettings(ram_bytes=spec.ram_bytes, n_ctx=spec.n_ctx, threads=spec.threads, **settings)
    return load_model(open_model(Path(spec.model)), wanted)


def decode(ctx: Any, ids: list[int]) -> None:
    """Compute the tokens after what the context holds. Raises RuntimeError when it fails."""
    array = (llama_cpp.llama_token * len(ids))(*ids)
    status = llama_cpp.llama_decode(ctx, llama_cpp.llama_batch_get_one(array, len(ids)))
    if status:
        raise RuntimeError(f"llama_decode answered {status}.")
    llama_cpp.llama_get_logits_ith(ctx, -1)  # waits for the computation


def _difference(after: dict[str, int | float], before: dict[str, int | float]) -> dict[str, float]:
    return {name: float(after[name] - before[name]) for name in after}


def run(spec: Spec) -> Run:
    """Load and compute. Raises what loading raises, or RuntimeError."""
    start = time.perf_counter()
    loaded = _load(spec)
    loaded_at = time.perf_counter()
    n_vocab = llama_cpp.llama_vocab_n_tokens(loaded.vocab)
    if spec.trace and isinstance(loaded, LoadedModel):
        loaded.record_trace(spec.trace)
    prompt_s: list[float] = []
    prompt_stats: dict[str, float] = {}
    for _ in range(spec.prompts if spec.prompt else 0):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(loaded.ctx), False)
        first, at = loaded.stats(), time.perf_counter()
        decode(loaded.ctx, tokens(spec.prompt, n_vocab, PROMPT_SEED))
        prompt_s.append(time.perf_counter() - at)
        prompt_stats = _difference(loaded.stats(), first)
    at = time.perf_counter()
    if spec.follow:
        decode(loaded.ctx, tokens(spec.follow, n_vocab, FOLLOW_SEED))
    follow_s = time.perf_counter() - at
    ids = tokens(spec.warm + spec.decode, n_vocab, DECODE_SEED)
    for token in ids[: spec.warm]:
        decode(loaded.ctx, [token])
    faults, before = _major_faults(), loaded.stats()
    times = []
    for token in ids[spec.warm :]:
        at = time.perf_counter()
        decode(loaded.ctx, [token])
        times.append(time.perf_counter() - at)
    stats = _difference(loaded.stats(), before)
    logits = llama_cpp.llama_get_logits_ith(loaded.ctx, -1)
    if isinstance(loaded, LoadedModel):
        loaded.record_trace(None)
        resident = loaded.stats()
        stats |= {name: float(resident[name]) for name in ("resident_bytes", "budget_bytes")}
    return Run(
        load_s=loaded_at - start,
        prompt_s=prompt_s,
        follow_s=follow_s,
        token_s=times,
        peak_rss_bytes=peak_rss_bytes(),
        major_faults=_major_faults() - faults,
        logits=[float(logits[i]) for i in range(8)],
        stats=stats,
        prompt_stats=prompt_stats,
    )


def _major_faults() -> int:
    return int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[9])


def main() -> int:
    """Run the JSON spec given as the only argument."""
    result = run(Spec(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(result)), flush=True)
    os._exit(0)  # tearing down gigabytes is not measured and not waited for


if __name__ == "__main__":
    main()
