"""Evaluation in child processes: the reference stores its logits of the passages, then the model reads the same ones.

Only one model is in memory at a time. The reference's logits over the whole vocabulary go to a file, in half precision,
as distances from the largest logit of each position. Likely tokens thus keep the most digits, and a model compared with
itself diverges by less than 1e-6. If the file would not fit the disk, the passages are processed in rounds, one file
per round. Only a few numbers per position are kept in the end.

`edgemed.engine.process.job` runs `read_reference` and `read_model`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.corpus.passages import Passage, choose, encode
from edgemed.corpus.texts import Question, letter_of, read_texts
from edgemed.engine.offload import Offload
from edgemed.engine.process.job import Report
from edgemed.engine.scoring_model import ScoringModel
from edgemed.errors import EngineError, SetupError
from edgemed.evaluation.doses import carry_dose
from edgemed.evaluation.metrics import Comparison, log_softmax
from edgemed.model_file import open_model

SPLIT = "eval"
REFERENCE, MODEL = "edgemed.evaluation.readings:read_reference", "edgemed.evaluation.readings:read_model"
LOWEST = -60_000.0  # float16 ends at -65504; the probability of such a token is 0
SLICE = 32  # positions compared at once, in float64 over the vocabulary
WORST, WORST_POSITIONS = 12, 16  # passages shown on the report card, and their minimum length: shorter ones are noise


@dataclass(frozen=True, slots=True)
class Choice:
    """A multiple-choice question as tokens. letters: the first token of each option's letter."""

    domain: str
    tokens: list[int]
    letters: list[int]
    answer: int


@dataclass(frozen=True, slots=True)
class Work:
    """What both models read. rounds: ranges of passages whose logits fit on the disk; too_long: questions left out."""

    passages: list[Passage]
    choices: list[Choice]
    rounds: list[tuple[int, int]]
    too_long: int

    def save(self, folder: Path) -> None:
        (folder / "work.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Work:
        stored = json.loads((folder / "work.json").read_text())
        return cls(
            [Passage(**passage) for passage in stored["passages"]],
            [Choice(**choice) for choice in stored["choices"]],
            [(first, last) for first, last in stored["rounds"]],
            stored["too_long"],
        )

    def of_round(self, number: int) -> list[Passage]:
        first, last = self.rounds[number]
        return self.passages[first:last]


def read_reference(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Store the reference's logits of one round in the folder.

    Keys of `request`: model, folder, round, and those `_load` needs; in round 0 also data, tokens, questions and
    room_bytes. Raises EdgemedErrors.
    """
    folder, number = Path(request["folder"]), request["round"]
    model = _load(request, report)
    try:
        if number == 0:
            report("reading the texts", 0, 1)
            work = _choose(model, request)
            work.save(folder)
            _answer(model, work.choices, folder / "reference.npy", report, "reference")
        else:
            work = Work.load(folder)
        store(model, work.of_round(number), folder / "logits.f16", report)
    finally:
        model.close()
    return {"rounds": len(work.rounds)}


def read_model(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Compare the model with the reference's stored logits of one round.

    Keys of `request`: model, folder, round, and those `_load` needs. Writes `scores-ROUND.npz` with divergence, agrees,
    reference_loss, model_loss and dose, all [positions of the round]. Raises EdgemedErrors.
    """
    folder, number = Path(request["folder"]), request["round"]
    model, work = _load(request, report), Work.load(folder)
    passages = work.of_round(number)
    try:
        if number == 0:
            _answer(model, work.choices, folder / "model.npy", report, "model")
        scores, worst = compare(model, passages, folder / "logits.f16", report)
    finally:
        model.close()
    np.savez(folder / f"scores-{number}.npz", allow_pickle=False, **scores)
    return {"worst": worst}


def _load(request: dict[str, Any], report: Report) -> ScoringModel:
    report("loading the model", 0, 1)
    return ScoringModel(
        open_model(Path(request["model"])),
        passage=request["passage"],
        ram_bytes=request["ram_bytes"],
        threads=request["threads"],
        offload=Offload(**request["offload"]),
    )


def _choose(model: ScoringModel, request: dict[str, Any]) -> Work:
    """Choose passages and questions of the requested size; the two models then read the same ones."""
    texts, questions = read_texts([Path(path) for path in request["data"]], SPLIT)
    length = request["passage"]
    passages = choose(texts, lambda text: encode(model, text), request["tokens"], length) if texts else []
    choices = [_choice(model, question) for question in _some(questions, request["questions"])]
    fitting = [choice for choice in choices if len(choice.tokens) <= length]
    sizes = [2 * model.vocabulary.size * passage.positions for passage in passages]  # bytes of float16 logits
    return Work(passages, fitting, _rounds(sizes, request["room_bytes"]), len(choices) - len(fitting))


def _some(questions: Sequence[Question], each: int) -> list[Question]:
    """Up to `each` questions per domain, in the order of the hashes of their names."""
    chosen: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lambda question: hashlib.blake2b(question.name.encode()).digest()):
        chosen.setdefault(question.domain, []).append(question)
    return [question for domain in sorted(chosen) for question in chosen[domain][:each]]


def _choice(model: ScoringModel, question: Question) -> Choice:
    letters = [model.encode_text(letter_of(number)) for number in range(len(question.options))]
    ids = [encoded.tokens[encoded.lead] for encoded in letters]
    if len(set(ids)) < len(ids):
        raise EngineError("The model's tokenizer gives two option letters the same token; leave such questions out.")
    return Choice(question.domain, model.encode_chat(question.turns).tokens, ids, question.answer)


def _rounds(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Consecutive ranges whose sizes add up to at most `room`; an item larger than that gets a range to itself. There
    is at least one range, which may be empty."""
    rounds, first, used = [], 0, 0
    for at, size in enumerate(sizes):
        if at > first and used + size > room:
            rounds.append((first, at))
            first, used = at, 0
        used += size
    return [*rounds, (first, len(sizes))]


def _answer(model: ScoringModel, choices: list[Choice], out: Path, report: Report, who: str) -> None:
    """Save the log probabilities of each question's letters: [questions, options], padded with -inf."""
    widest = max((len(choice.letters) for choice in choices), default=1)
    answers = np.full((len(choices), widest), -np.inf)
    total = sum(len(choice.tokens) for choice in choices)
    done = 0
    for row, choice in enumerate(choices):
        last = log_softmax(model.logits(choice.tokens, len(choice.tokens) - 1)[0].astype(np.float64))
        answers[row, : len(choice.letters)] = last[choice.letters]
        done += len(choice.tokens)
        report(f"questions, {who}", done, total)
    np.save(out, answers)


def store(model: ScoringModel, passages: list[Passage], out: Path, report: Report) -> None:
    """Write the logits before every token of the texts (template tokens excluded) to `out`. Raises SetupError."""
    total = sum(len(passage.tokens) for passage in passages)
    done = 0
    try:
        with out.open("wb") as file:
            for passage in passages:
                file.write(halved(model.logits(passage.tokens[:-1], passage.first)).tobytes())
                done += len(passage.tokens)
                report("texts, reference", done, total)
    except OSError as error:
        raise SetupError(f"The reference's logits cannot be written to {out.parent}: {error.strerror}.") from None


def halved(logits: Floats) -> NDArray[np.float16]:
    """Logits [positions, vocabulary] as half-precision distances from the largest of each position."""
    distance = logits - logits.max(axis=1, keepdims=True)
    half: NDArray[np.float16] = np.maximum(distance, np.float32(LOWEST)).astype(np.float16)
    return half


def compare(
    model: ScoringModel, passages: list[Passage], stored: Path, report: Report
) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Compare with the logits that `store` wrote for the same passages: (scores [positions], the worst passages)."""
    size = model.vocabulary.size
    total, done = sum(len(passage.tokens) for passage in passages), 0
    comparison = Comparison()
    doses: list[NDArray[np.bool_]] = []
    worst: list[dict[str, Any]] = []
    with stored.open("rb") as file:
        for passage in passages:
            logits = model.logits(passage.tokens[:-1], passage.first)
            following = np.array(passage.tokens[passage.first + 1 :])
            before = len(comparison.divergence)
            # In slices, because float64 log probabilities over the vocabulary are large.
            for first in range(0, len(logits), SLICE):
                part = slice(first, min(first + SLICE, len(logits)))
                count = (part.stop - part.start) * size
                theirs = np.fromfile(file, np.float16, count).reshape(-1, size)
                p, q = (log_softmax(values.astype(np.float64)) for values in (theirs, logits[part]))
                comparison.add(passage.domain, p, q, following[part])
            divergence = np.concatenate(comparison.divergence[before:])
            pieces = [model.vocabulary.piece(token) for token in passage.tokens]
            doses.append(carry_dose(pieces)[passage.first + 1 :])
            if len(divergence) >= WORST_POSITIONS:
                worst.append(_shown(passage, pieces, divergence))
                worst = sorted(worst, key=lambda one: -one["kl_mean"])[:WORST]
            done += len(passage.tokens)
            report("texts, model", done, total)
    scores: dict[str, list[NDArray[Any]]] = {
        "divergence": [*comparison.divergence],
        "agrees": [*comparison.agrees],
        "reference_loss": [*comparison.reference_loss],
        "model_loss": [*comparison.model_loss],
        "dose": [*doses],
    }
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in scores.items()}, worst


def _shown(passage: Passage, pieces: list[bytes], divergence: NDArray[np.float64]) -> dict[str, Any]:
    """A passage for the report card: its text in pieces of whole characters, with the largest divergence of each."""
    shown: list[tuple[str, float]] = []
    # The very first token has no prediction, but its bytes may begin a character.
    waiting, largest = b"" if passage.first else pieces[0], 0.0
    for piece, value in zip(pieces[passage.first + 1 :], divergence, strict=True):
        waiting, largest = waiting + piece, max(largest, float(value))
        try:
            text = waiting.decode()
        except UnicodeDecodeError:
            if len(waiting) < 4:
                continue  # one character may span several tokens
            text = waiting.decode(errors="replace")
        shown.append((text, round(largest, 4)))
        waiting, largest = b"", 0.0
    return {
        "name": passage.name,
        "domain": passage.domain,
        "language": passage.language,
        "tokens": len(divergence),
        "kl_mean": float(divergence.mean()),
        "kl_max": float(divergence.max()),
        "pieces": shown,
    }
