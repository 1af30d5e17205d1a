"""This machine's compute rates for tokens and prompts, measured with the engine itself on small models in a job."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemed.engine.process.job import Report, no_report, run_job
from edgemed.errors import EdgemedError, EngineError, SetupError
from edgemed.forecast.model_size import size_of_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgemed.engine.model import LoadedModel

ANSWER = 4  # tokens decoded per round
FEW = 8  # tokens of context at which the cost of attention is negligible
LEAST_SHARE = 0.02
"""Attention that takes a smaller share of a token's time than this cannot be told from noise."""
DISTINCT_TOKENS = 512
"""The twins' first tokens have distinct embeddings; this is their number."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Small models that compute like a large one (`twin.py`), by the kind of their experts.

    They have fewer experts: a prompt of `short` tokens gives each of them as many tokens as one of `long` tokens gives
    an expert of the large model.
    """

    paths: Mapping[str, Path]
    long: int
    short: int


@dataclass(frozen=True, slots=True)
class ComputeRates:
    """Rates with `threads` threads.

    For single tokens, in bytes per second read from memory: experts, by kind, for the expert matmuls; attention for the
    keys and values of the context, infinite if it is too fast to be measured; dense for the dense weights, including
    everything else that a token takes. For prompts, in weights x tokens per second: batch_dense and batch_experts.
    """

    threads: int
    dense: float
    attention: float
    batch_dense: float
    experts: dict[str, float]
    batch_experts: dict[str, float]


def measure_compute(threads: int, twins: Twins, seconds: float = 0.5, on_progress: Report = no_report) -> ComputeRates:
    """Measure tokens and prompts for about `seconds` each; report how many twins are done. Raises SetupError if the
    engine cannot run here."""
    request = {"paths": [str(path) for path in twins.paths.values()], "threads": threads, "seconds": seconds}
    try:
        request |= {"long": twins.long, "short": twins.short}
        answer = run_job(f"{__name__}:measure_twins", request, on_progress)
    except EdgemedError as error:
        raise SetupError(f"The compute rates cannot be measured. {error}") from None
    measured = [_Rates(**rates) for rates in answer["rates"]]
    return ComputeRates(
        threads=threads,
        dense=median(rates.dense for rates in measured),
        attention=median(rates.attention for rates in measured),
        batch_dense=next(rates.batch_dense for rates in measured if rates.batch_dense),
        experts={kind: rates.experts for kind, rates in zip(twins.paths, measured, strict=True)},
        batch_experts={kind: rates.batch_experts for kind, rates in zip(twins.paths, measured, strict=True)},
    )


def measure_twins(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: measure the rates of every twin. Keys of `request`: paths, threads, seconds, long, short.

    Only the first twin is timed on the long prompt, because all twins have the same dense part.
    """
    paths = [Path(path) for path in request["paths"]]
    settings = [request[key] for key in ("threads", "seconds", "long", "short")]
    rates = []
    for done, path in enumerate(paths):
        report("computing", done, len(paths))
        rates.append(asdict(_measure(path, *settings, long_prompt=done == 0)))
    return {"rates": rates}


@dataclass(frozen=True, slots=True)
class _Rates:
    """The rates of one twin, as in `ComputeRates`."""

    dense: float
    attention: float
    experts: float
    batch_dense: float | None
    batch_experts: float


def _measure(path: Path, threads: int, seconds: float, long: int, short: int, *, long_prompt: bool) -> _Rates:
    """Measure one twin; `long_prompt` includes the long prompt."""
    from llama_cpp import llama_cpp

    from edgemed.engine.load_settings import LoadSettings
    from edgemed.engine.model import load_model
    from edgemed.engine.process.protocol import Sampling
    from edgemed.engine.sampling import Sampler
    from edgemed.model_file import open_model

    file = open_model(path)
    size = size_of_file(file)
    (expert,) = size.expert.values()
    n_ctx = -(-(long + ANSWER) // 256) * 256
    loaded = load_model(file, LoadSettings(ram_bytes=None, n_ctx=n_ctx, threads=threads, force_small=True))
    memory = llama_cpp.llama_get_memory(loaded.ctx)
    rng = np.random.default_rng(1)
    logits = rng.standard_normal(file.hparams.n_vocab).astype(np.float32)
    tokens = rng.integers(0, min(DISTINCT_TOKENS, file.hparams.n_vocab), n_ctx)

    def read(count: int) -> None:
        llama_cpp.llama_memory_clear(memory, False)
        _decode(loaded, tokens[:count])

    sampler = Sampler(Sampling(), 1, tokens[:long].tolist())

    def answer(context: int) -> None:
        llama_cpp.llama_memory_seq_rm(memory, 0, context, -1)
        for token in rng.choice(tokens, ANSWER):
            sampler.pick(logits)
            _decode(loaded, [token])

    # Prompts. The engine reports its time in expert matmuls; the rest of a batch is the dense part.
    read(short)  # load the experts
    _, batch = _seconds(loaded, lambda: read(short), seconds)
    batch_dense = None
    if long_prompt:
        batch_s, batch_experts_s = _seconds(loaded, lambda: read(long), seconds)
        batch_dense = size.batch_weights * long / (batch_s - batch_experts_s)
    else:
        read(long)  # fill the context for the answers
    # Single tokens, after a long and after a short context: the difference is the cost of attention.
    seconds_long, experts_long = _seconds(loaded, lambda: answer(long), seconds)
    before = loaded.stats()["shared_bytes"]
    answer(FEW)
    shared = loaded.stats()["shared_bytes"] - before
    seconds_few, experts_few = _seconds(loaded, lambda: answer(FEW), seconds)
    loaded.close()
    rest_long, rest_few = seconds_long - experts_long, seconds_few - experts_few
    # A longer time after the short context was disturbed by other load, so take the shorter one.
    rest, expert_seconds = min(rest_few, rest_long), min(experts_few, experts_long)
    # Shared experts belong to the dense weights, so their part of the expert matmuls is added to the dense time.
    routed = expert.nbytes * size.used * size.layers * ANSWER
    routed_s = routed_seconds(expert_seconds, routed, shared)
    used = size.used * (short * (size.layers - 1) + 1)  # in the last layer only the last token uses experts
    return _Rates(
        dense=size.dense.nbytes * ANSWER / (rest + expert_seconds - routed_s),
        attention=attention_rate(size.kv_bytes_per_token * (long - FEW) * ANSWER, rest_long, rest_few),
        experts=routed / routed_s,
        batch_dense=batch_dense,
        batch_experts=expert.weights * used / batch,
    )


def attention_rate(kv_bytes: float, long_s: float, few_s: float) -> float:
    """Bytes of keys and values per second, from the time of tokens after a long and after a short context.

    Infinite if the difference is too small to be told from noise.
    """
    return kv_bytes / (long_s - few_s) if long_s - few_s > LEAST_SHARE * long_s else math.inf


def routed_seconds(compute_s: float, routed_bytes: float, shared_bytes: float) -> float:
    """The part of `compute_s` that went to routed experts if shared ones were multiplied too, divided by bytes."""
    return compute_s * routed_bytes / (routed_bytes + shared_bytes)


def _decode(loaded: LoadedModel, tokens: Any) -> None:
    from llama_cpp import llama_cpp

    array = (llama_cpp.llama_token * len(tokens))(*map(int, tokens))
    if llama_cpp.llama_decode(loaded.ctx, llama_cpp.llama_batch_get_one(array, len(tokens))):
        raise EngineError("The engine cannot compute its own test model; see `edgemed doctor --gpu-check`.")
    llama_cpp.llama_get_logits_ith(loaded.ctx, -1)


def _seconds(loaded: LoadedModel, call: Callable[[], None], seconds: float) -> tuple[float, float]:
    """The median seconds of `call`, and of the expert matmuls in it. The first of the calls is a warm-up."""
    took: list[float] = []
    experts: list[float] = []
    start = time.perf_counter()
    while len(took) < 2 or time.perf_counter() - start < seconds:
        at, before = time.perf_counter(), loaded.stats()["compute_s"]
        call()
        took.append(time.perf_counter() - at)
        experts.append(loaded.stats()["compute_s"] - before)
    return median(took[1:]), median(experts[1:])
