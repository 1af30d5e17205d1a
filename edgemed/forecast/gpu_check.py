"""Checks that a device computes the same model, and that the graph is split as expected: `edgemed doctor --gpu-check`.

The same tokens, a prompt in one batch and then single tokens, are computed twice: with the dense part on the processor
and on the device. The logits are compared. ggml's scheduler is also asked for its plan, which lists the graph's splits
and every tensor that is copied from one device's memory to another's. Each run is a separate job (`job.py`) under the
same locks as the engine of a chat.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import llama_cpp

from edgemed.arrays import Floats
from edgemed.engine.devices import why_no_device
from edgemed.engine.llama import capture_log
from edgemed.engine.offload import HOST, Offload
from edgemed.engine.process.job import Report, run_job
from edgemed.engine.scoring_model import ScoringModel
from edgemed.errors import EngineError, SetupError
from edgemed.evaluation.metrics import log_softmax
from edgemed.model_file import open_model

HERE = "edgemed.forecast.gpu_check"
PROMPT_TOKENS, ANSWER_TOKENS = 96, 32
COPIES_IN, COPIES_OUT = 3, 1
"""Tensors copied per MoE layer: to the experts (activations, expert ids, weights) and back (the weighted sum)."""
WORST_DIVERGENCE = 0.02
"""KL divergence in nats, mean over all positions. Kernels that round activations differently cause 1e-5 to 1e-3, a
weight in the wrong place more than 1."""
TEXT = (
    "A woman of 62 comes with pain in her chest that began an hour ago while she was carrying shopping up the stairs. "
    "It spreads to her left arm. She takes a tablet for high blood pressure and was told last year that her sugar is "
    "a little high. What do you ask, what do you examine, and which tests do you order first? Explain every step. "
)
_SPLIT = re.compile(r"## SPLIT #(\d+): (\S+) # (\d+) inputs(.*)")
_INPUT = re.compile(r"\[(.+?) \(\s*[\d.]+[KM]\)\]")
_EXPERTS, _PROCESSOR = "edgemed", "CPU"  # ggml's names of the devices
_RESULT = "ffn_moe_out"  # llama.cpp's name for the sum of a layer's experts


@dataclass(frozen=True, slots=True)
class Split:
    """A part of the graph that one device computes. inputs: the tensors that are copied into its memory first."""

    device: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerCopies:
    """The tensors copied for one MoE layer: to the experts' split, and its result from there."""

    into: tuple[str, ...]
    out: tuple[str, ...]

    @property
    def as_expected(self) -> bool:
        return len(self.into) == COPIES_IN and len(self.out) == COPIES_OUT


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second."""

    prompt: float
    answer: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The device's results compared with the processor's.

    divergence: mean KL divergence in nats of the next-token probabilities; agreement: share of positions with the same
    most likely token; difference: the largest difference of any logit. layers and pieces describe the plan of one
    token: its copies per MoE layer, and the number of splits. pieces_meant: the number of splits if the device can
    compute all operations.
    """

    placement: str
    divergence: float
    agreement: float
    difference: float
    moe_layers: int
    layers: tuple[LayerCopies, ...]
    pieces: int
    pieces_meant: int
    processor: Speed
    device: Speed

    @property
    def same_model(self) -> bool:
        return self.divergence <= WORST_DIVERGENCE

    @property
    def same_split(self) -> bool:
        """True if every MoE layer is one split with the expected copies. Layers on the processor need no copies."""
        return len(self.layers) == self.moe_layers and all(
            layer.as_expected or not (layer.into or layer.out) for layer in self.layers
        )

    @property
    def whole(self) -> bool:
        """True if nothing else splits the graph. More splits mean that the device lacks some operations."""
        return self.pieces == self.pieces_meant

    @property
    def passed(self) -> bool:
        return self.same_model and self.same_split and self.whole


def compare(model: Path, offload: Offload, threads: int | None, on_progress: Report) -> Comparison:
    """Compare the device that `offload` selects with the processor.

    Raises SetupError if there is no device, and the errors of loading a model.
    """
    with tempfile.TemporaryDirectory(prefix="edgemed-check-") as folder:
        request = {"model": str(model), "threads": threads}
        found: list[tuple[dict[str, Any], Floats]] = []
        for name, wanted in (("processor", HOST), ("device", offload)):
            on_progress(f"computing on the {name}", len(found), 3)
            file = f"{folder}/{name}.npy"
            told = run_job(f"{HERE}:read", {**request, "offload": asdict(wanted), "logits": file}, on_progress)
            found.append((told, np.load(file)))
        on_progress("asking for the plan", 2, 3)
        plan = run_job(f"{HERE}:plan", {**request, "offload": asdict(offload)}, on_progress)
    (host, expected), (device, logits) = found
    splits = [Split(name, tuple(inputs)) for name, inputs in plan["splits"]]
    likeliest, logs = expected.argmax(-1), log_softmax(expected.astype(np.float64))
    # divergence: KL(processor || device) = sum p (log p - log q), mean over all positions.
    return Comparison(
        placement=device["placement"],
        divergence=float((np.exp(logs) * (logs - log_softmax(logits.astype(np.float64)))).sum(-1).mean()),
        agreement=float((logits.argmax(-1) == likeliest).mean()),
        difference=float(np.abs(logits - expected).max()),
        moe_layers=device["moe_layers"],
        layers=tuple(copies_of_layers(splits)),
        pieces=len(splits),
        pieces_meant=expected_splits(splits, device["moe_layers"]),
        processor=Speed(**host["speed"]),
        device=Speed(**device["speed"]),
    )


def read(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: compute the logits [tokens, vocabulary] and save them to the file that `request` names."""
    model, tokens = _open(request)
    try:
        prompt, answer = tokens[:PROMPT_TOKENS], tokens[PROMPT_TOKENS:]
        model.logits(prompt)  # load the experts, so that the measured run finds them in memory
        begun = time.perf_counter()
        logits = [model.logits(prompt).copy()]
        read = time.perf_counter()
        logits += [_next(model, token) for token in answer]
        speed = Speed(len(prompt) / (read - begun), len(answer) / (time.perf_counter() - read))
        if not all(np.isfinite(row).all() for row in logits):
            raise EngineError(
                "The model computed NaN or infinite logits; check the file with `edgemed verify`, or keep the dense "
                "part on the processor (--gpu off)."
            )
        np.save(request["logits"], np.concatenate(logits))
    finally:
        model.close()
    return {
        "placement": str(model.loaded.placement),
        "moe_layers": model.file.hparams.n_moe_layers,
        "speed": asdict(speed),
    }


def plan(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: the scheduler's plan for a single token, as a list of [device, names of the tensors copied to it]."""
    os.environ["GGML_SCHED_DEBUG"] = "1"  # read when a context is created; the plan is printed to the log
    model, tokens = _open(request)
    said: list[str] = []
    try:
        capture_log(lambda level, text: said.append(text))
        model.logits(tokens[:1])
    finally:
        capture_log(None)
        model.close()
    return {"splits": [[split.device, split.inputs] for split in read_plan("".join(said))]}


def read_plan(log: str) -> list[Split]:
    """The last plan in the scheduler's output. Raises EngineError if there is none, or its format is unknown."""
    splits: list[Split] = []
    for number, device, count, rest in _SPLIT.findall(log):
        if number == "0":
            splits = []
        inputs = tuple(_INPUT.findall(rest))
        if len(inputs) != int(count):
            raise EngineError(
                "ggml printed its plan in an unknown format; install the version of "
                "llama-cpp-python that edgemed requires."
            )
        splits.append(Split(device, inputs))
    if not splits:
        raise EngineError("ggml did not print its plan; install the version of llama-cpp-python that edgemed requires.")
    return splits


def copies_of_layers(splits: list[Split]) -> Iterator[LayerCopies]:
    """The copies of every split that computes experts: its inputs, and those of its results that the next split
    copies."""
    for split, following in pairwise(splits):
        if split.device == _EXPERTS:
            yield LayerCopies(split.inputs, tuple(name for name in following.inputs if name.startswith(_RESULT)))


def expected_splits(splits: list[Split], moe_layers: int) -> int:
    """The number of splits if the device can compute all operations.

    Every MoE layer makes two splits: its experts, and what follows them. The embedding on the processor and the first
    layers on the device add one each. If the device begins right after experts, its first split is already counted.
    """
    devices = [split.device for split in splits]
    begin = next((at for at, device in enumerate(devices) if device not in (_EXPERTS, _PROCESSOR)), 0)
    return 2 * moe_layers + 2 - (begin == 0 or devices[begin - 1] == _EXPERTS)


def _open(request: dict[str, Any]) -> tuple[ScoringModel, list[int]]:
    """The model and the tokens to compute. Raises SetupError if a device was requested and there is none."""
    count = PROMPT_TOKENS + ANSWER_TOKENS
    offload = Offload(**request["offload"])
    file = open_model(Path(request["model"]))
    model = ScoringModel(file, passage=count, ram_bytes=None, threads=request["threads"], offload=offload)
    if offload.layers != 0 and model.loaded.placement.device is None:
        model.close()
        raise SetupError(f"No GPU can be checked. {why_no_device()}.")
    tokens = model.encode_text(TEXT).tokens
    return model, (tokens * (count // len(tokens) + 1))[:count]


def _next(model: ScoringModel, token: int) -> Floats:
    """The logits [1, vocabulary] after one more token. Raises EngineError."""
    context = model.loaded.ctx
    status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 1)(token), 1))
    if status != 0:
        raise EngineError(model.loaded.last_error() or f"llama.cpp could not compute a token (status {status}).")
    row = ctypes.cast(llama_cpp.llama_get_logits_ith(context, -1), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(row, (1, model.vocabulary.size)).copy()
