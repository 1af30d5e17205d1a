"""Whose experts are closer to the original at the same number of bytes? Ours against three rivals, in one run.

    python -m benchmarks.quality --model ../shared/mini --data ../shared/data --json

Rivals, each at its own expert bytes: `uniform` (one type for all experts, no statistics), `llama.cpp` (its own
`llama_model_quantize` recipes, with our statistics as importance matrix), `per_tensor` (our allocator and our values,
but one type for a whole tensor). Statistics come from the `calib` split, the comparison from `eval`. Only experts
differ: dense tensors are the checkpoint's own on all sides. A KL divergence is the mean over tokens against the
unquantised model; ratios are ours over theirs, with bootstrap intervals over passages. The forward pass is that of
forward.py, in float32; one thread of BLAS is quickest (OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from benchmarks import forward, passages
from benchmarks.passages import Passages
from edgemed.convert import convert
from edgemed.model_file import open_model
from edgemed.quant import types
from edgemed.quant.allocation import allocate, allocate_together
from edgemed.quant.compensate import Moments, compensate
from edgemed.quant.metrics import Comparison, log_softmax, ratio_interval
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.sample import token_keys
from edgemed.quant.sensitivity import measure, scaled
from edgemed.quant.statistics import Statistics

Floats = NDArray[np.float32]
Experts = tuple[Floats, Floats, Floats]
# Of two types of equal size the one that keeps more, measured (docs/quantisation.md).
OURS = {
    "small": (Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_S, Type.IQ4_XS, Type.Q4_K, Type.Q5_K, Type.Q6_K),
    "fast": types.FAST,
}
BUDGETS = {  # budget -> (llama.cpp's file type, the uniform type)
    "2.6": (llama_cpp.LLAMA_FTYPE_MOSTLY_IQ2_M, Type.IQ2_S),
    "2.9": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q2_K, Type.Q2_K),
    "3.8": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M, Type.Q3_K),
    "4.6": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, Type.Q4_K),
}
REFERENCES = (Type.IQ2_S, Type.IQ3_S, Type.Q4_K)  # at which a layer's effect on the logits is measured


@dataclass
class Bench:
    """The model, its calibration, and everything that was computed once."""

    model: forward.Model
    statistics: Statistics
    calibration: Passages
    cache: Path | None
    measured: list[list[Any]] = field(default_factory=list)
    values: dict[Type, Experts] = field(default_factory=dict)
    damage: dict[Type, NDArray[np.float64]] = field(default_factory=dict)  # [L, E, 3]

    @property
    def shape(self) -> tuple[int, int]:
        """(layers with experts, experts)."""
        return self.model.experts[0].shape[0], self.model.experts[0].shape[1]

    def prepare(self, type_: Type) -> None:
        """Quantise all experts to one type in our way, and measure the damage."""
        layers, experts = self.shape
        if not self.measured:
            self.measured = [
                [measure(self.statistics, r, e, *(w[r, e] for w in self.model.experts)) for e in range(experts)]
                for r in range(layers)
            ]
        stored = self.cache / f"{type_.name}.npz" if self.cache else None
        if stored and stored.exists():
            with np.load(stored) as file:
                self.values[type_] = (file["gate"], file["up"], file["down"])
        else:
            self.values[type_] = self._quantised(type_)
            if stored:
                np.savez(stored, **dict(zip(("gate", "up", "down"), self.values[type_], strict=True)))
        self.damage[type_] = np.array(
            [
                [
                    [
                        self.measured[r][e].damage(p, self.model.experts[p][r, e], self.values[type_][p][r, e])
                        for p in range(3)
                    ]
                    for e in range(experts)
                ]
                for r in range(layers)
            ]
        )

    def _quantised(self, type_: Type) -> Experts:
        result = tuple(np.empty_like(weights) for weights in self.model.experts)
        for row, expert, projection in np.ndindex(*self.shape, 3):
            weights = self.model.experts[projection][row, expert]
            blocks = compensate(weights, type_, Moments(self.measured[row][expert].hessian[projection]))
            result[projection][row, expert] = dequantize(blocks, type_, weights.shape[1])
        return result[0], result[1], result[2]

    def effects(self, type_: Type, reference: list[Floats]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What leaving one layer [L], or one projection [3], unquantised wins when all else is at this type."""
        everything = self._divergence(self.values[type_], reference)
        layers = np.zeros(self.shape[0])
        for row in range(self.shape[0]):
            spared = [weights.copy() for weights in self.values[type_]]
            for weights, original in zip(spared, self.model.experts, strict=True):
                weights[row] = original[row]
            layers[row] = everything - self._divergence((spared[0], spared[1], spared[2]), reference)
        projections = np.zeros(3)
        for projection in range(3):
            spared = list(self.values[type_])
            spared[projection] = self.model.experts[projection]
            projections[projection] = everything - self._divergence((spared[0], spared[1], spared[2]), reference)
        return layers, projections

    def _divergence(self, experts: Experts, reference: list[Floats]) -> float:
        return float(np.concatenate(compare(self.model, experts, self.calibration, reference).divergence).mean())


def batches(tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The passages, eight at a time."""
    return [tokens[first : first + 8] for first in range(0, len(tokens), 8)]


def calibrate(model: forward.Model, texts: Passages) -> Statistics:
    """Our statistics of every token, with a sample of all of them."""
    layers, experts = model.experts[0].shape[:2]
    domains = sorted(set(texts.domain))
    statistics = Statistics.empty(
        domains,
        range(model.lead, model.lead + layers),
        n_expert=experts,
        n_used=model.config["num_experts_per_tok"],
        n_embd=model.experts[0].shape[3],
        n_ff=model.experts[0].shape[2],
        sample=texts.tokens.size,
    )
    for index, domain in enumerate(domains):
        of_domain = texts.tokens[np.array(texts.domain) == domain]
        for number, part in enumerate(batches(of_domain)):
            keys = token_keys(f"{domain} {number}", part.size)

            def layer(row: int, x: Floats, e: Any, s: Floats, margins: Floats, d: int = index, k: Any = keys) -> None:
                statistics.observe_layer(d, row, k, x, e, s, margins)

            def expert(row: int, e: int, x: Floats, s: Floats, inner: Floats, output: Floats, d: int = index) -> None:
                statistics.observe_expert(d, row, e, x, s, inner, output)

            forward.logits(model, part, forward.Watch(layer, expert))
    return statistics


def uniform(model: forward.Model, type_: Type) -> Experts:
    """ggml's own rounding to one type, without statistics."""
    made = [np.empty_like(weights) for weights in model.experts]
    for weights, out in zip(model.experts, made, strict=True):
        columns = weights.shape[-1]
        flat = weights.reshape(-1, columns)
        out[:] = dequantize(quantize(flat, type_), type_, columns).reshape(weights.shape)
    return made[0], made[1], made[2]


def llama_recipe(stock: Path, folder: Path, ftype: int, statistics: Statistics) -> tuple[Experts, int]:
    """(experts, their bytes) of llama.cpp's own quantiser with our statistics as its importance matrix."""
    # Dense tensors are not compared, but its low-bit recipes refuse to run without values for them.
    importance = {t.name: np.ones(t.shape[0], np.float32) for t in open_model(stock).dense if len(t.shape) == 2}
    for row, layer in enumerate(statistics.layers):
        for name, squares in (("gate", "input"), ("up", "input"), ("down", "inner")):
            key = f"blk.{layer}.ffn_{name}_exps.weight"
            importance[key] = getattr(statistics, f"{squares}_squares")[row].astype(np.float32).ravel()
    entries = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()
    for entry, (name, values) in zip(entries, importance.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = ftype, True
    params.output_tensor_type = params.token_embedding_type = int(Type.Q8_0)
    params.imatrix = ctypes.cast(entries, type(params.imatrix))
    target = folder / f"recipe-{ftype}.gguf"
    if llama_cpp.llama_model_quantize(str(stock).encode(), str(target).encode(), ctypes.byref(params)) != 0:
        raise SystemExit("llama.cpp could not quantise the model; its log says why.")
    file = open_model(target)
    content = np.memmap(target, np.uint8, "r")
    shapes = (file.hparams.n_ff_exp, file.hparams.n_embd), (file.hparams.n_embd, file.hparams.n_ff_exp)
    made = []
    for projection in range(3):
        rows, columns = shapes[projection == 2]
        slices = np.empty((*file.experts.offset.shape[:2], rows, columns), np.float32)
        for row, expert in np.ndindex(*slices.shape[:2]):
            at, size = (int(part[row, expert, projection]) for part in (file.experts.offset, file.experts.nbytes))
            type_ = Type(int(file.experts.type[row, expert, projection]))
            blocks = np.array(content[at : at + size]).reshape(rows, -1)
            slices[row, expert] = dequantize(blocks, type_, columns)
        made.append(slices)
    return (made[0], made[1], made[2]), int(file.experts.nbytes.sum())


def mixed(bench: Bench, palette: tuple[Type, ...], choice: NDArray[np.int64]) -> Experts:
    """The experts with the chosen type [L * E * 3] of each projection, in our values."""
    picked = choice.reshape(*bench.shape, 3)
    made = [np.empty_like(weights) for weights in bench.model.experts]
    for row, expert, projection in np.ndindex(*picked.shape):
        type_ = palette[picked[row, expert, projection]]
        made[projection][row, expert] = bench.values[type_][projection][row, expert]
    return made[0], made[1], made[2]


def compare(model: forward.Model, experts: Experts, texts: Passages, reference: list[Floats]) -> Comparison:
    """The divergence of the model with these experts on every passage."""
    result, changed = Comparison(), model.with_experts(experts)
    at = 0
    for part, p in zip(batches(texts.tokens), reference, strict=True):
        for tokens, expected, found in zip(part, p, log_softmax(forward.logits(changed, part)), strict=True):
            result.add(texts.domain[at], expected, found, np.append(tokens[1:], tokens[-1]))
            at += 1
    return result


def ratios(ours: Comparison, theirs: Comparison, texts: Passages) -> dict[str, Any]:
    """Ours over theirs: mean, 99th percentile, doses, and every domain."""
    mean, low, high = ratio_interval(ours.divergence, theirs.divergence)
    mine, other = np.concatenate(ours.divergence), np.concatenate(theirs.divergence)
    dose = texts.dose.ravel()
    domains = sorted(set(texts.domain))
    return {
        "ratio": mean,
        "low": low,
        "high": high,
        "ours_kl": float(mine.mean()),
        "theirs_kl": float(other.mean()),
        "p99": float(np.percentile(mine, 99) / np.percentile(other, 99)),
        "dose": float(mine[dose].mean() / other[dose].mean()),
        "top1": [float(np.concatenate(side.agrees).mean()) for side in (ours, theirs)],
        "dose_top1": [float(np.concatenate(side.agrees)[dose].mean()) for side in (ours, theirs)],
        "domains": {
            name: ratio_interval(ours.of_domain(name).divergence, theirs.of_domain(name).divergence)[0]
            for name in domains
        },
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Everything; returns the result that --json prints."""
    started = time.monotonic()
    model = forward.load(args.model)
    tokenizer = args.model / "tokenizer.json"
    calibration = passages.load(args.data, tokenizer, "calib", args.calibration)
    statistics = calibrate(model, calibration)
    say(f"calibrated on {calibration.tokens.size:,} tokens", started)
    small = passages.load(args.data, tokenizer, "calib", args.effect)
    bench = Bench(model, statistics, small, args.cache)
    palette = OURS[args.palette]
    for type_ in sorted({*palette, *REFERENCES}, key=types.bits_per_weight):
        bench.prepare(type_)
        say(f"experts as {type_.name}", started)
    original = [log_softmax(forward.logits(model, part)).astype(np.float32) for part in batches(small.tokens)]
    effects = {type_: bench.effects(type_, original) for type_ in REFERENCES}
    say("effect of each layer measured", started)

    layers, experts = bench.shape
    raw = np.stack([bench.damage[type_] for type_ in palette], axis=-1)
    weights = np.array([bench.model.experts[p][0, 0].size for p in range(3)])
    size = np.stack([[int(n * types.bits_per_weight(t) / 8) for t in palette] for n in weights])  # [3, types]
    size = np.tile(size, (layers * experts, 1))
    tensor = np.tile(np.arange(3), layers * experts) + 3 * np.repeat(np.arange(layers), 3 * experts)
    total_weights = int(weights.sum()) * layers * experts

    texts = passages.load(args.data, tokenizer, "eval", args.passages)
    reference = [log_softmax(forward.logits(model, part)).astype(np.float32) for part in batches(texts.tokens)]
    result: dict[str, Any] = {"budgets": {}, "tokens": int(texts.tokens.size)}
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder) / "stock.gguf"
        convert(str(args.model), stock, Plan.uniform(Type.F32), layout="llama.cpp")
        for name, (ftype, single) in BUDGETS.items():
            recipe, recipe_bytes = llama_recipe(stock, Path(folder), ftype, statistics)
            near = min(
                REFERENCES, key=lambda t: abs(8 * recipe_bytes / total_weights - float(types.bits_per_weight(t)))
            )
            damage = scaled(raw, bench.damage[near].sum(axis=1), *effects[near]).reshape(-1, len(palette))
            whole = allocate_together(size, damage, recipe_bytes, tensor)
            rivals: Mapping[str, tuple[Experts, int]] = {
                "uniform": (uniform(model, single), int(total_weights * types.bits_per_weight(single) / 8)),
                "llama.cpp": (recipe, recipe_bytes),
                "per_tensor": (mixed(bench, palette, whole.choice), whole.bytes),
            }
            result["budgets"][name] = {}
            done: dict[int, Comparison] = {}
            for rival, (theirs, budget) in rivals.items():
                own = allocate(size, damage, budget)
                if budget not in done:
                    done[budget] = compare(model, mixed(bench, palette, own.choice), texts, reference)
                entry = ratios(done[budget], compare(model, theirs, texts, reference), texts)
                entry |= {"bits": 8 * budget / total_weights, "bytes_ours_over_theirs": own.bytes / budget}
                entry["types"] = {t.name: int((own.choice == i).sum()) for i, t in enumerate(palette)}
                result["budgets"][name][rival] = entry
                say(f"{name} bits, {rival}: {entry['ratio']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]", started)
    result["upper"] = {
        name: {rival: entry["high"] for rival, entry in rivals.items()} for name, rivals in result["budgets"].items()
    }
    return result


def say(text: str, started: float) -> None:
    """Progress on standard error."""
    print(f"{time.monotonic() - started:7.0f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("../shared/mini"), help="a checkpoint's folder")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of JSONL files")
    parser.add_argument("--palette", choices=sorted(OURS), default="small")
    parser.add_argument("--calibration", type=int, default=30, help="passages of each file for the statistics")
    parser.add_argument("--effect", type=int, default=2, help="passages of each file for the effect of layers")
    parser.add_argument("--passages", type=int, default=6, help="passages of each file for the comparison")
    parser.add_argument("--cache", type=Path, help="keep quantised experts in this folder (same model and calibration)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object last: budget -> rival -> upper bound"
    )
    args = parser.parse_args()
    if args.cache:
        args.cache.mkdir(parents=True, exist_ok=True)
    result = run(args)
    if args.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result["upper"], indent=1))


if __name__ == "__main__":
    main()
