"""Calibration in the child process: read passages, observe the engine, and accumulate `Statistics`.

`edgemed.engine.process.job` runs `collect`, a function from a JSON object to a JSON object.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.architectures import HParams
from edgemed.architectures.tensors import DENSE_GROUPS
from edgemed.arrays import Floats
from edgemed.calibration.dense_effects import DenseEffects
from edgemed.calibration.effects import Effects, spread
from edgemed.corpus.passages import Passage, choose, encode
from edgemed.corpus.texts import read_texts
from edgemed.engine.observation import Observation, observe
from edgemed.engine.process.job import Report
from edgemed.engine.scoring_model import ScoringModel
from edgemed.errors import TextsError
from edgemed.evaluation.metrics import log_softmax
from edgemed.model_file import ModelFile, open_model
from edgemed.quant.quantize import dequantize
from edgemed.quant.sample import token_keys
from edgemed.quant.statistics import Statistics

SPLIT = "calib"
ENTRY = "edgemed.calibration.collect:collect"
SLICE = 32  # positions whose log probabilities are computed at once
SAMPLE_BYTES, LARGEST_SAMPLE = 1 << 30, 65_536  # limits of the default sample, in bytes and in tokens per layer


def collect(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Calibrate a model on texts and write the statistics to `output`.

    Keys of `request`: model, data (paths), output, tokens, passage, sample (tokens per layer, or None), effects (tokens
    on which the effects of layers are measured; 0 skips that), scratch (a folder), ram_bytes, threads. The caller
    removes `scratch`, and `output` if the job fails, because it may kill this process. Raises EdgemedErrors.
    """
    report("reading the texts", 0, 1)
    texts, questions = read_texts([Path(path) for path in request["data"]], SPLIT)
    if not texts:
        raise TextsError(
            "The data contain only multiple-choice questions, which are for evaluation; calibrate with other texts."
            if questions
            else "The data contain no text to calibrate with; name files that do."
        )
    report("loading the model", 0, 1)
    model = open_model(Path(request["model"]))
    sample = request["sample"] if request["sample"] is not None else usual_sample(model.hparams)
    sample = min(sample, request["tokens"] + request["passage"])

    def open_(file: ModelFile, *, residual: bool = False, caller_bytes: int = 0) -> ScoringModel:
        room = {name: request[name] for name in ("passage", "ram_bytes", "threads")}
        return ScoringModel(file, **room, residual=residual, caller_bytes=caller_bytes)

    folder = Path(request["scratch"])
    # This model is loaded before the statistics take their memory, so its budget must leave room for them. Models that
    # are loaded later find the statistics resident.
    domains = sorted({text.domain for text in texts})
    taken = statistics_bytes(model.hparams, domains, sample) + observation_bytes(model.hparams, request["passage"])
    scorer = open_(model, residual=True, caller_bytes=taken)
    try:
        passages = choose(texts, lambda text: encode(scorer, text), request["tokens"], request["passage"])
        statistics = read_through(scorer, passages, sample, report)
        effects = Effects(folder, spread(passages, request["effects"]), open_)
        if effects.passages:
            effects.keep_reference(scorer, report)
    finally:
        scorer.close()
    if effects.passages:
        quantised = effects.quantise(model, statistics, report)
        statistics.effects[:] = effects.measure(model, quantised, report)
        dense = DenseEffects(folder, effects.logits, effects.passages, open_)
        statistics.dense[:] = dense.measure(quantised, report)
    save(statistics, Path(request["output"]))
    return {
        "domains": {name: int(count) for name, count in _tokens_by_domain(statistics, model).items()},
        "tokens": sum(len(passage.tokens) for passage in passages),
        "passages": len(passages),
        "languages": {
            language: sum(len(p.tokens) for p in passages if p.language == language)
            for language in sorted({passage.language for passage in passages})
        },
        "layers": len(statistics.layers),
        "experts": int(statistics.tokens.shape[2]),
        "effects": statistics.effects.tolist(),
        "dense": dict(zip(DENSE_GROUPS, statistics.dense.tolist(), strict=True)),
        "unseen_experts": int((statistics.tokens.sum(axis=0) == 0).sum()),
        "sample": int(statistics.sample.key.shape[1]),
    }


def usual_sample(h: HParams) -> int:
    """The default sample: as many tokens per layer as fit into SAMPLE_BYTES, at most LARGEST_SAMPLE."""
    return min(LARGEST_SAMPLE, SAMPLE_BYTES // (2 * h.n_embd * h.n_moe_layers))


def statistics_bytes(h: HParams, domains: list[str], sample: int) -> int:
    """Bytes that the statistics take in memory, computed without allocating them."""
    nothing, one = (empty(h, domains, size).nbytes for size in (0, 1))
    return nothing + sample * (one - nothing)


def observation_bytes(h: HParams, passage: int) -> int:
    """Bytes that observing a passage takes: the engine's sums and inputs, and a copy of both for the statistics."""
    return 2 * 4 * h.n_moe_layers * (h.n_expert * (h.n_embd + h.n_ff_exp) + passage * h.n_embd)


def empty(h: HParams, domains: list[str], sample: int) -> Statistics:
    """Empty statistics for a model of this shape."""
    return Statistics.empty(
        domains,
        h.moe_layers,
        n_expert=h.n_expert,
        n_used=h.n_expert_used,
        n_embd=h.n_embd,
        n_ff=h.n_ff_exp,
        sample=sample,
    )


def read_through(model: ScoringModel, passages: list[Passage], sample: int, report: Report) -> Statistics:
    """The statistics of all passages, with a sample of up to `sample` tokens per layer."""
    domains = sorted({passage.domain for passage in passages})
    total = sum(len(passage.tokens) for passage in passages)
    statistics = empty(model.file.hparams, domains, min(sample, total))
    margins = Margins(model.file)
    done = 0
    with observe(model.loaded, model.passage) as observation:
        for passage in passages:
            entropy = entropies(model.logits(passage.tokens))
            if model.residual is not None:
                entropy /= model.residual.take()
            _add(statistics, domains.index(passage.domain), passage, entropy, observation, margins)
            done += len(passage.tokens)
            report("calibrating", done, total)
    return statistics


def entropies(logits: Floats) -> Floats:
    """The entropy of each position's distribution in nats: [positions], from logits [positions, vocabulary]."""
    found = np.empty(len(logits), np.float32)
    for first in range(0, len(logits), SLICE):
        part = log_softmax(logits[first : first + SLICE])
        found[first : first + SLICE] = -(np.exp(part) * part).sum(axis=1)
    return found


def _add(
    statistics: Statistics, domain: int, passage: Passage, entropy: Floats, observation: Observation, margins: Margins
) -> None:
    seen = observation.take()
    statistics.input_squares += seen.input
    statistics.inner_squares += seen.hidden
    statistics.output[domain] += seen.weighted_output
    key = token_keys(passage.name, len(passage.tokens))
    for moe_layer, routing in enumerate(observation.take_routing()):
        margin = margins.of(moe_layer, routing.inputs, routing.experts)
        statistics.observe_layer(
            domain, moe_layer, key, routing.inputs, routing.experts, routing.weights, margin, entropy
        )


class Margins:
    """The margins by which experts were chosen, computed with the weights of the file's routers."""

    def __init__(self, file: ModelFile) -> None:
        self._file = file

    def of(self, moe_layer: int, inputs: Floats, experts: NDArray[np.int32]) -> Floats:
        """The margins of `Router.margins` [tokens] in one MoE layer, from inputs [tokens, n_embd] and experts [tokens,
        used]."""
        h = self._file.hparams
        block = f"blk.{h.moe_layers[moe_layer]}"
        weight = self._floats(f"{block}.{h.router.weight}").reshape(h.n_expert, h.n_embd)
        return h.router.margins(inputs @ weight.T, self._floats(f"{block}.{h.router.bias}"), experts)

    def _floats(self, name: str) -> Floats:
        tensor = self._file.tensors.get(name)
        if tensor is None:
            return np.zeros(self._file.hparams.n_expert, np.float32)  # a model without bias
        rows = np.frombuffer(self._file.read(tensor), np.uint8).reshape(prod(tensor.shape[1:]), -1)
        return dequantize(rows, tensor.type, tensor.shape[0]).ravel()


def save(statistics: Statistics, output: Path) -> None:
    """Write the statistics to `output`. Raises TextsError."""
    try:
        statistics.save(output)
    except OSError as error:
        raise TextsError(f"The statistics cannot be written to {output}: {error.strerror}.") from None


def _tokens_by_domain(statistics: Statistics, model: ModelFile) -> dict[str, float]:
    counts = statistics.tokens[:, 0].sum(axis=1) / model.hparams.n_expert_used
    return dict(zip(statistics.domains, counts, strict=True))
