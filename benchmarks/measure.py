"""One run of one side in its own process: load, process a prompt, decode a fixed sequence; prints JSON.

    python -m benchmarks.measure '{"side": "edgemed", "model": "M.gguf", "prompt": 512, "decode": 64}'

Both sides compute the same published tokens through the same libllama calls. "edgemed" loads through
edgemed.engine.model; "llama.cpp" loads the stock layout with mmap, with or without repacking (`extra_bufts`).
With a second argument, "serve", the side stays loaded and follows the requests on standard input.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from llama_cpp import llama_cpp

from benchmarks.true_shape import tokens
from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import EXPERTS, BufferTypeOverride, LoadedModel, load_model
from edgemed.engine.offload import AUTO, HOST
from edgemed.engine.process_memory import peak_rss_bytes
from edgemed.ggml import ggml
from edgemed.model_file import open_model

PROMPT_SEED, DECODE_SEED, FOLLOW_SEED = 1, 2, 3


@dataclass(frozen=True)
class Spec:
    """What to run. `prompts`: how often the prompt is processed, each time from an empty context; the first pass may
    meet cold files. `follow`: tokens of a follow-up question after the prompt. `warm`: decoded tokens that are not
    measured. `idle`: seconds of idle time between loading and the first prompt. `gpu`: the whole dense part is on a GPU
    and the experts are on the processor. `trace`: the file where the engine records its routing."""

    side: Literal["edgemed", "llama.cpp"]
    model: str
    prompt: int = 512
    prompts: int = 1
    follow: int = 0
    warm: int = 16
    decode: int = 64
    idle: float = 0.0
    threads: int = 2
    ram_bytes: int | None = None
    extra_bufts: bool = True
    gpu: bool = False
    trace: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def n_ctx(self) -> int:
        """A context for all tokens, a multiple of 256."""
        return -(-(self.prompt + self.follow + self.warm + self.decode) // 256) * 256


@dataclass(frozen=True)
class Run:
    """What was measured. Times are in seconds. `stats` are the counters over the measured tokens, `prompt_stats` those
    of the last pass over the prompt."""

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
        params.devices, params.n_gpu_layers = ctypes.cast(_NO_DEVICES, ctypes.c_void_p), 0
        if spec.gpu:  # the same as `llama-cli --n-gpu-layers 999 --cpu-moe`
            params.devices, params.n_gpu_layers = None, 999
            stay = _experts_stay()
            params.tensor_buft_overrides = ctypes.cast(stay, ctypes.c_void_p)
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


_NO_DEVICES = (ctypes.c_void_p * 1)()


def _experts_stay() -> Any:
    """Buffer-type overrides that keep the experts in the processor's memory."""
    plain = ggml().library.ggml_backend_cpu_buffer_type
    plain.restype = ctypes.c_void_p
    return (BufferTypeOverride * 2)(BufferTypeOverride(EXPERTS, plain()), BufferTypeOverride(None, None))


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    if level >= 4:
        sys.stderr.write(text.decode("utf-8", "replace"))


def _load(spec: Spec) -> _Stock | LoadedModel:
    if spec.side == "llama.cpp":
        return _Stock(spec)
    offload = AUTO if spec.gpu else HOST
    settings = {"background": True, "offload": offload} | spec.settings  # the defaults of the command line
    wanted = LoadSettings(ram_bytes=spec.ram_bytes, n_ctx=spec.n_ctx, threads=spec.threads, **settings)
    return load_model(open_model(Path(spec.model)), wanted)


def decode(ctx: Any, ids: list[int]) -> None:
    """Append the tokens to the context and compute them. Raises RuntimeError when that fails."""
    array = (llama_cpp.llama_token * len(ids))(*ids)
    status = llama_cpp.llama_decode(ctx, llama_cpp.llama_batch_get_one(array, len(ids)))
    if status:
        raise RuntimeError(f"llama_decode returned {status}.")
    llama_cpp.llama_get_logits_ith(ctx, -1)  # waits until the computation is done


def _difference(after: dict[str, int | float], before: dict[str, int | float]) -> dict[str, float]:
    return {name: float(after[name] - before[name]) for name in after}


class Side:
    """One loaded side. It processes the published prompt and then decodes the published tokens."""

    def __init__(self, spec: Spec) -> None:
        """Raises whatever loading raises."""
        start = time.perf_counter()
        self.spec = spec
        self.loaded = _load(spec)
        self.load_s = time.perf_counter() - start
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(self.loaded.vocab)
        self._left = iter(tokens(spec.warm + spec.decode, self._n_vocab, DECODE_SEED))

    def read_prompt(self) -> tuple[float, dict[str, float]]:
        """Clear the context and process the prompt; return the seconds and the counters."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.loaded.ctx), False)
        before, at = self.loaded.stats(), time.perf_counter()
        decode(self.loaded.ctx, tokens(self.spec.prompt, self._n_vocab, PROMPT_SEED))
        return time.perf_counter() - at, _difference(self.loaded.stats(), before)

    def follow(self) -> float:
        """Process the follow-up question, if there is one; return the seconds."""
        at = time.perf_counter()
        if self.spec.follow:
            decode(self.loaded.ctx, tokens(self.spec.follow, self._n_vocab, FOLLOW_SEED))
        return time.perf_counter() - at

    def answer(self, count: int) -> tuple[list[float], dict[str, float]]:
        """Decode the next `count` tokens; return the seconds of each and the counters of all."""
        before, times = self.loaded.stats(), []
        for token in islice(self._left, count):
            at = time.perf_counter()
            decode(self.loaded.ctx, [token])
            times.append(time.perf_counter() - at)
        return times, _difference(self.loaded.stats(), before)


def run(spec: Spec) -> Run:
    """Load and compute. Raises whatever loading raises, or RuntimeError."""
    side = Side(spec)
    loaded = side.loaded
    if spec.trace and isinstance(loaded, LoadedModel):
        loaded.record_trace(spec.trace)
    time.sleep(spec.idle)
    prompts = [side.read_prompt() for _ in range(spec.prompts if spec.prompt else 0)]
    follow_s = side.follow()
    side.answer(spec.warm)
    faults = _major_faults()
    times, stats = side.answer(spec.decode)
    logits = llama_cpp.llama_get_logits_ith(loaded.ctx, -1)
    if isinstance(loaded, LoadedModel):
        loaded.record_trace(None)
        resident = loaded.stats()
        stats |= {name: float(resident[name]) for name in ("resident_bytes", "budget_bytes")}
    return Run(
        load_s=side.load_s,
        prompt_s=[seconds for seconds, _ in prompts],
        follow_s=follow_s,
        token_s=times,
        peak_rss_bytes=peak_rss_bytes(),
        major_faults=_major_faults() - faults,
        logits=[float(logits[i]) for i in range(8)],
        stats=stats,
        prompt_stats=prompts[-1][1] if prompts else {},
    )


def serve(spec: Spec) -> None:
    """Load, then answer every line of standard input with a line of JSON. A line is "prompt" or a number of tokens."""
    side = Side(spec)
    print(json.dumps(side.load_s), flush=True)
    for line in sys.stdin:
        print(json.dumps(side.read_prompt() if line.strip() == "prompt" else side.answer(int(line))), flush=True)


def _major_faults() -> int:
    return int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[9])


def main() -> int:
    """Run the JSON spec given as the first argument; with "serve" as the second, take requests instead."""
    spec = Spec(**json.loads(sys.argv[1]))
    if sys.argv[2:] == ["serve"]:
        serve(spec)
    else:
        print(json.dumps(asdict(run(spec))), flush=True)
    os._exit(0)  # skips freeing gigabytes, which takes time and is not measured


if __name__ == "__main__":
    main()
