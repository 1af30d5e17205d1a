"""Which experts are closer to the original at the same number of bytes: ours or those of three rivals?

    python -m benchmarks.quality --model ../shared/mini --data ../shared/data --json

Each rival sets the number of expert bytes: `uniform` (one type for all experts, no statistics); `llama.cpp` (its
`llama_model_quantize` recipes, with our statistics as importance matrix); `per_tensor` (our damage estimates, allocator
and values, but one type for each whole tensor), and `per_tensor, ggml's values` (the same with damages and rounding
without error compensation, as in llama.cpp's open proposal). Statistics use the `calib` split, the comparison `eval`.
Only experts differ: on all sides the dense tensors are the checkpoint's own. A KL divergence is the mean over
tokens against the unquantised model. Ratios are ours over theirs, with bootstrap intervals over passages. The forward
pass is that of forward.py, in float32; one BLAS thread is fastest (OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from benchmarks import passages
from benchmarks.our_side import Bench, Items, batches, calibrate, compare, divergence, originals
from benchmarks.passages import Passages
from benchmarks.rivals import Experts, LlamaCpp, uniform, with_recipe
from edgemed.arrays import Floats
from edgemed.evaluation.metrics import Comparison, interval, percentile_ratio_interval, ratio_interval
from edgemed.quant import sensitivity, types
from edgemed.quant.allocation import allocate, allocate_together
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.statistics import Statistics
from testing import forward

BUDGETS = {  # budget -> (llama.cpp's file type, the uniform type)
    "2.6": (llama_cpp.LLAMA_FTYPE_MOSTLY_IQ2_M, Type.IQ2_S),
    "2.9": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q2_K, Type.Q2_K),
    "3.8": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M, Type.Q3_K),
    "4.6": (llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, Type.Q4_K),
}

FLOOR = Type.IQ2_XS  # the lowest type in one variant of the ablation


def ratios(ours: Comparison, theirs: Comparison, texts: Passages) -> dict[str, Any]:
    """Return our divergence over theirs with 95 % intervals: mean, 99th percentile, doses, and every domain."""
    mean, low, high = ratio_interval(ours.divergence, theirs.divergence)
    mine, other = np.concatenate(ours.divergence), np.concatenate(theirs.divergence)
    dose_ours, dose_theirs = (
        [values[dose] for values, dose in zip(side.divergence, texts.dose, strict=True)] for side in (ours, theirs)
    )
    more_agree = [
        (here.astype(float) - there)[dose]
        for here, there, dose in zip(ours.agrees, theirs.agrees, texts.dose, strict=True)
    ]
    dose = texts.dose.ravel()
    domains = sorted(set(texts.domain))
    return {
        "ratio": mean,
        "low": low,
        "high": high,
        "ours_kl": float(mine.mean()),
        "theirs_kl": float(other.mean()),
        "p99": percentile_ratio_interval(ours.divergence, theirs.divergence, 99),
        "dose": ratio_interval(dose_ours, dose_theirs),
        "top1": [float(np.concatenate(side.agrees).mean()) for side in (ours, theirs)],
        "dose_top1": [float(np.concatenate(side.agrees)[dose].mean()) for side in (ours, theirs)],
        "dose_top1_more": interval(more_agree),
        "domains": {
            name: ratio_interval(ours.of_domain(name).divergence, theirs.of_domain(name).divergence) for name in domains
        },
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the whole comparison and return the result that --json prints."""
    started = time.monotonic()
    model = forward.load(args.model)
    tokenizer = args.model / "tokenizer.json"
    statistics = calibrate(model, passages.load(args.data, tokenizer, "calib", args.calibration))
    say(f"calibrated on {int(statistics.tokens[:, 0].sum()) // statistics.sample.experts.shape[2]:,} tokens", started)
    bench = Bench(model, Calibrated(statistics, ""))
    few = passages.load(args.data, tokenizer, "calib", args.effect)
    statistics.effects[:] = bench.effects(few, originals(model, few))
    say(f"effect of each layer: {np.array2string(statistics.effects, precision=4)}", started)
    palette = types.PALETTES[args.palette].calibrated
    damage = bench.damage(palette)
    say("experts weighed", started)
    quick = Bench(model, replace(bench.calibrated, compensated=False))
    quick_damage = quick.damage(palette)
    items = Items(bench, palette)
    texts = passages.load(args.data, tokenizer, "eval", args.passages)
    reference = originals(model, texts)
    if args.ablation:
        return {
            "ablation": ablation(bench, quick, items, damage, lambda made: divergence(model, made, texts, reference))
        }
    result: dict[str, Any] = {"budgets": {}, "tokens": int(texts.tokens.size)}
    rare = rare_experts(model, statistics, texts)
    precise = model.with_dense(Type.Q8_0)
    with tempfile.TemporaryDirectory() as folder:
        llama = LlamaCpp(args.model, Path(folder), statistics)
        for name, (ftype, single) in BUDGETS.items():
            recipe = llama.recipe(ftype)
            whole = allocate_together(items.size, damage, recipe.expert_bytes, items.tensor)
            plain = allocate_together(items.size, quick_damage, recipe.expert_bytes, items.tensor)
            rivals: Mapping[str, tuple[Experts, int]] = {
                "uniform": (uniform(model, single), items.bytes_of(single)),
                "llama.cpp": (recipe.experts, recipe.expert_bytes),
                "per_tensor": (bench.mixed(palette, whole.choice), whole.bytes),
                "per_tensor, ggml's values": (quick.mixed(palette, plain.choice), plain.bytes),
            }
            result["budgets"][name] = {}
            done: dict[int, Comparison] = {}
            for rival, (theirs, budget) in rivals.items():
                own = allocate(items.size, damage, budget)
                if budget not in done:
                    done[budget] = compare(model, bench.mixed(palette, own.choice), texts, reference)
                other = compare(model, theirs, texts, reference)
                entry = ratios(done[budget], other, texts)
                entry |= {"bits": 8 * budget / items.weights, "bytes_ours_over_theirs": own.bytes / budget}
                entry["types"] = {t.name: int((own.choice == i).sum()) for i, t in enumerate(palette)}
                if rival == "per_tensor":
                    entry["predicted"] = own.damage / whole.damage
                entry["rare"] = [on_rare(side, rare) for side in (done[budget], other)]
                result["budgets"][name][rival] = entry
                say(
                    f"{name} bits, {rival}: {entry['ratio']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}], "
                    f"99th percentile {entry['p99'][0]:.3f}, doses {entry['dose'][0]:.3f}, "
                    f"worst domain {max(entry['domains'].values())[0]:.3f}, rare experts {entry['rare'][0]:.2f}",
                    started,
                )
            if args.shipped:
                shipped = llama.recipe(ftype, as_shipped=True)
                own = allocate(items.size, damage, shipped.expert_bytes)
                ours = compare(precise, bench.mixed(palette, own.choice), texts, reference)
                theirs_whole = compare(with_recipe(model, shipped), shipped.experts, texts, reference)
                entry = ratios(ours, theirs_whole, texts)
                result["budgets"][name]["as shipped"] = entry | {"their_file_bytes": shipped.file_bytes}
                say(f"{name} bits, llama.cpp as shipped: {entry['ratio']:.3f}, its dense types against Q8_0", started)
    result["upper"] = {
        name: {rival: entry["high"] for rival, entry in rivals.items() if rival != "as shipped"}
        for name, rivals in result["budgets"].items()
    }
    return result


def ablation(
    bench: Bench, quick: Bench, items: Items, damage: NDArray[np.float64], measure: Callable[[Experts], float]
) -> dict[str, dict[str, float]]:
    """Return the mean divergence at the bytes of one type for all experts: parts of our method added one by one, then
    all parts but one."""
    palette = types.PALETTES["small"].calibrated
    statistics = bench.calibrated.statistics
    alike = copy.deepcopy(statistics)
    alike.sample.entropy[:] = 0
    no_weights = Bench(bench.model, replace(bench.calibrated, statistics=alike))
    plain = replace(statistics, effects=np.zeros_like(statistics.effects))
    no_effects = Bench(bench.model, replace(bench.calibrated, statistics=plain))
    with patch.object(sensitivity, "PRIOR_TOKENS", 0):
        no_prior = Bench(bench.model, replace(bench.calibrated)).damage(palette)
    enough = [types.bits_per_weight(t) >= types.bits_per_weight(FLOOR) for t in palette]
    fast = types.PALETTES["fast"].calibrated
    plans = {
        "allocated, importance": (quick, quick.damage(palette)),
        "all but layers' effects": (bench, no_effects.damage(palette)),
        "all but weights of tokens": (no_weights, no_weights.damage(palette)),
        "all but the prior of rare experts": (bench, no_prior),
        f"all, none below {FLOOR.name}": (bench, np.where(enough, damage, np.inf)),
        "all": (bench, damage),
    }
    k_quants = bench.damage(fast)
    k_items = Items(bench, fast)
    result: dict[str, dict[str, float]] = {}
    for name, (_, single) in BUDGETS.items():
        budget = items.bytes_of(single)
        whole = allocate_together(items.size, damage, budget, items.tensor).choice
        found = {
            f"{single.name}, no statistics": measure(uniform(bench.model, single)),
            f"{single.name}, importance": measure(quick.single(single)),
            f"{single.name}, compensated": measure(bench.single(single)),
            "all but types of each expert": measure(bench.mixed(palette, whole)),
        }
        for part, (made, weighed) in plans.items():
            if np.where(np.isfinite(weighed), items.size, budget).min(axis=1).sum() <= budget:
                found[part] = measure(made.mixed(palette, allocate(items.size, weighed, budget).choice))
        if budget >= k_items.size.min(axis=1).sum():
            found["all but IQ types"] = measure(bench.mixed(fast, allocate(k_items.size, k_quants, budget).choice))
        result[name] = found
        print(f"{name} {json.dumps(found, indent=1)}", file=sys.stderr, flush=True)
    return result


def rare_experts(model: forward.Model, statistics: Statistics, texts: Passages) -> NDArray[np.bool_]:
    """Mark tokens [passages, length] that used one of the quarter of experts that calibration saw least in a layer."""
    tokens = statistics.tokens.sum(axis=0)
    rare = tokens < np.quantile(tokens, 0.25, axis=1, keepdims=True)
    met: list[NDArray[np.bool_]] = []
    for part in batches(texts.tokens):
        found = np.zeros(part.size, bool)

        def layer(moe_layer: int, x: Floats, experts: Any, *_: Any, into: NDArray[np.bool_] = found) -> None:
            into |= rare[moe_layer][experts].any(axis=1)

        forward.logits(model, part, forward.Watch(layer))
        met.append(found.reshape(part.shape))
    return np.concatenate(met)


def on_rare(side: Comparison, rare: NDArray[np.bool_]) -> float:
    """Return the mean divergence of tokens that used a rare expert over that of all others."""
    divergence = np.stack(side.divergence)
    return float(divergence[rare].mean() / divergence[~rare].mean())


def say(text: str, started: float) -> None:
    """Print progress to standard error."""
    print(f"{time.monotonic() - started:7.0f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("../shared/mini"), help="checkpoint folder")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of JSONL files")
    parser.add_argument("--palette", choices=sorted(types.PALETTES), default="small")
    parser.add_argument("--calibration", type=int, default=30, help="passages per file for the statistics")
    parser.add_argument("--effect", type=int, default=2, help="passages per file for the effects of layers")
    parser.add_argument("--passages", type=int, default=6, help="passages per file for the comparison")
    parser.add_argument("--shipped", action="store_true", help="add a rival: llama.cpp with its own dense types")
    parser.add_argument("--ablation", action="store_true", help="measure what each part is worth, not the rivals")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object at the end: budget -> rival -> upper bound"
    )
    args = parser.parse_args()
    result = run(args)
    if args.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result["ablation" if args.ablation else "upper"], indent=1))


if __name__ == "__main__":
    main()
