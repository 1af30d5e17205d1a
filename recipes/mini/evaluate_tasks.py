"""How often a checkpoint's greedy answer earns the full reward on held-out questions, and is one checkpoint better?

    python evaluate_tasks.py --pubmedqa pubmedqa.jsonl runs/sft/checkpoint runs/grpo/checkpoint

Prints one JSON object: for each kind of task and each folder the rate and a 95 % interval (bootstrap over questions),
and for two folders the interval of their difference on the same questions.
"""

import argparse
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from checkpoint import load
from data import prompt_ids
from generate import complete, stop_ids, text_of
from sft import SAFETY
from tasks import Task, arithmetic, research, safety
from tokenizers import Tokenizer


def held_tasks(pubmedqa: Path) -> list[Task]:
    """Return the held-out questions, the same for every checkpoint; none was used for training."""
    sums = {task.prompt[0][1]: task for task in arithmetic(1500, held=True, seed=99)}
    return [*sums.values(), *safety(SAFETY, held=True), *research(pubmedqa, "eval")]


def rewards(folder: Path, tasks: list[Task]) -> list[float]:
    """Return the rewards of the greedy answers; prompts of the same length and kind share a batch."""
    model, tokenizer = load(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
    stops = stop_ids(tokenizer)
    prompts = [prompt_ids(tokenizer, task.prompt) for task in tasks]
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        together[len(prompt), tasks[i].max_tokens].append(i)
    earned = [0.0] * len(tasks)

    def answer(indices: list[int]) -> None:
        rows = complete(model, torch.tensor([prompts[i] for i in indices]), tasks[indices[0]].max_tokens, stops)
        for i, row in zip(indices, rows, strict=True):
            earned[i] = tasks[i].reward(text_of(tokenizer, row, stops))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(answer, together.values()))
    return earned


def interval(values: np.ndarray) -> dict[str, object]:
    """Return the mean and its 95 % percentile-bootstrap interval."""
    draw = np.random.default_rng(0)
    means = values[draw.integers(len(values), size=(10_000, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="checkpoint folders")
    parser.add_argument("--pubmedqa", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tasks = held_tasks(args.pubmedqa)
    earned = [np.array(rewards(folder, tasks)) for folder in args.folders]
    kinds = {"all": np.ones(len(tasks), bool)}
    kinds |= {kind: np.array([task.kind == kind for task in tasks]) for kind in sorted({t.kind for t in tasks})}
    names = [str(folder) for folder in args.folders]
    report: dict[str, dict[str, object]] = {}
    for kind, mask in kinds.items():
        whole = [(e[mask] == 1.0).astype(float) for e in earned]
        report[kind] = {
            "questions": int(mask.sum()),
            "whole_reward": dict(zip(names, map(interval, whole), strict=True)),
            "mean_reward": dict(zip(names, (interval(e[mask]) for e in earned), strict=True)),
        }
        if len(earned) == 2:
            report[kind]["difference"] = interval(whole[1] - whole[0])
            report[kind]["difference_of_means"] = interval(earned[1][mask] - earned[0][mask])
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
