"""The report card: how much a model differs from its reference, as one JSON object.

`evaluate` runs both models (readings.py), `card` summarises the results (scores.py), report_html.py renders the card.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgemed import __version__
from edgemed.engine.offload import HOST, Offload
from edgemed.engine.process.job import Report, run_job
from edgemed.engine.scoring_model import tokenizer_digest
from edgemed.errors import ModelFileError, SetupError
from edgemed.evaluation import scores
from edgemed.evaluation.readings import MODEL, REFERENCE, WORST, Work
from edgemed.evaluation.scores import Scored
from edgemed.model_file import ModelFile, keys
from edgemed.scratch import scratch_folder

VERSION = 1
MOST_ROOM = 8 << 30
METHOD = (
    "Both models read the same passages. At every position before a token of the text (template tokens excluded), the "
    "probabilities of the next token are compared over the whole vocabulary: KL divergence of the model from the "
    "reference, in nats. The reference's logits are stored in half precision as distances from the largest, which "
    "changes a divergence by less than 1e-6. Intervals are 95 % bootstrap intervals over passages; intervals of shares "
    "are Wilson's. In multiple choice, a model's answer is its likeliest letter after the question."
)


def evaluate(
    model: ModelFile,
    reference: ModelFile,
    data: Sequence[Path],
    *,
    tokens: int,
    passage: int,
    questions: int,
    ram_bytes: int | None,
    threads: int | None,
    scratch: Path | None,
    on_progress: Report,
    offload: Offload = HOST,
    room_bytes: int | None = None,
) -> dict[str, Any]:
    """Run both models and return the card.

    scratch: the folder for the reference's logits; room_bytes: the most they may take there, by default 8 GiB or half
    of the free space, whichever is less. Raises EdgemedErrors.
    """
    refuse_different_tokens(model, reference)
    try:
        with scratch_folder(scratch) as folder:
            room = room_bytes or min(MOST_ROOM, shutil.disk_usage(folder).free // 2)
            common = {"folder": str(folder), "passage": passage, "ram_bytes": ram_bytes, "threads": threads}
            common["offload"] = asdict(offload)
            first = {"data": [str(path) for path in data], "tokens": tokens, "questions": questions, "room_bytes": room}
            rounds, number = 1, 0
            worst: list[dict[str, Any]] = []
            while number < rounds:
                common["round"] = number
                rounds = run_job(REFERENCE, {"model": str(reference.path), **first, **common}, on_progress)["rounds"]
                worst += run_job(MODEL, {"model": str(model.path), **common}, on_progress)["worst"]
                number += 1
            work = Work.load(folder)
            passages = _scored(folder, work)
            letters = np.load(folder / "reference.npy"), np.load(folder / "model.npy")
    except OSError as error:
        raise SetupError(f"The temporary folder {scratch or folder.parent} cannot be used: {error.strerror}.") from None
    worst = sorted(worst, key=lambda one: -one["kl_mean"])[:WORST]
    return card(model, reference, [path.name for path in data], passage, work, passages, letters, worst)


def refuse_different_tokens(model: ModelFile, reference: ModelFile) -> None:
    """Raise ModelFileError if the two models' next tokens cannot be compared."""
    if model.hparams.n_vocab != reference.hparams.n_vocab or tokenizer_digest(model) != tokenizer_digest(reference):
        raise ModelFileError(
            f"{model.path.name} and {reference.path.name} have different tokenizers, so their next tokens cannot be "
            "compared; use a more precise file of the same model as the reference."
        )


def card(
    model: ModelFile,
    reference: ModelFile,
    data: Sequence[str],
    passage_tokens: int,
    work: Work,
    passages: list[Scored],
    letters: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    worst: list[dict[str, Any]],
) -> dict[str, Any]:
    """The card as a JSON object, from the results of both models."""
    domains, languages = (sorted({getattr(p, name) for p in passages}) for name in ("domain", "language"))
    dosed = [passage.only(passage.dose) for passage in passages]
    return {
        "edgemed_report_card": VERSION,
        "edgemed_version": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "model": _described(model),
        "reference": _described(reference),
        "method": {
            "text": METHOD,
            "data": list(data),
            "passage_tokens": passage_tokens,
            "vocabulary": model.hparams.n_vocab,
        },
        "overall": scores.summary(passages),
        "dose_tokens": scores.summary(dosed),
        "dose_tokens_by_language": {
            name: found for name in languages if (found := scores.summary(p for p in dosed if p.language == name))
        },
        "languages": {name: scores.summary(p for p in passages if p.language == name) for name in languages},
        "domains": {name: scores.summary(p for p in passages if p.domain == name) for name in domains},
        "histogram": _histogram(passages),
        "multiple_choice": {
            name: scores.choices(
                letters[0][rows],
                letters[1][rows],
                [work.choices[row].answer for row in rows],
                [len(work.choices[row].letters) for row in rows],
            )
            for name, rows in _rows_by_domain(work).items()
        },
        "questions_too_long": work.too_long,
        "worst_passages": worst,
    }


def _rows_by_domain(work: Work) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, choice in enumerate(work.choices):
        rows.setdefault(choice.domain, []).append(row)
    return rows


def _scored(folder: Path, work: Work) -> list[Scored]:
    """Each passage with its results, from the files of all rounds."""
    passages: list[Scored] = []
    for number in range(len(work.rounds)):
        with np.load(folder / f"scores-{number}.npz", allow_pickle=False) as stored:
            columns = [stored[name] for name in ("divergence", "agrees", "reference_loss", "model_loss", "dose")]
        at = 0
        for passage in work.of_round(number):
            end = at + passage.positions
            passages.append(Scored(passage.domain, passage.language, *(column[at:end] for column in columns)))
            at = end
    return passages


def _histogram(passages: list[Scored]) -> dict[str, list[float]]:
    """Counts of positions by divergence: `tokens[i]` of them lie between 10^edges[i] and 10^edges[i+1]; the first and
    the last bin are open-ended."""
    edges = np.arange(-8, 2.01, 0.25)
    if not passages:
        return {"edges": edges.tolist(), "tokens": []}
    logs = np.log10(np.maximum(np.concatenate([passage.divergence for passage in passages]), 1e-300))
    counts, _ = np.histogram(np.clip(logs, edges[0], edges[-1] - 1e-9), edges)
    return {"edges": edges.tolist(), "tokens": counts.astype(float).tolist()}


def _described(model: ModelFile) -> dict[str, Any]:
    """What a card says about a file: enough to identify it, but no path."""
    weights = sum(tensor.nbytes for tensor in model.tensors.values())
    weights_of_matrix = model.hparams.expert_weights / 3
    return {
        "name": model.name,
        "file": model.path.name,
        "size_bytes": model.size_bytes,
        "bits_per_weight": 8 * weights / sum(prod(tensor.shape) for tensor in model.tensors.values()),
        "expert_bits_per_weight": float(8 * model.experts.nbytes.mean() / weights_of_matrix),
        "weights_digest": model.weights_digest,
        "plan_digest": model.metadata.get(keys.PLAN_DIGEST),
        "calibration_digest": model.metadata.get(keys.CALIBRATION_DIGEST),
        "intended_use": model.intended_use,
    }
