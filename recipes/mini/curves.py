"""Plot a run from its logs: loss of every stage, load of the experts, reward of GRPO.

python curves.py --runs runs --out runs
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

STAGES = ("pretrain", "sft", "grpo")


def read(runs: Path, stage: str) -> list[dict]:
    path = runs / stage / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def smooth(values: list[float], width: int = 15) -> np.ndarray:
    """Return the mean over the last `width` steps (fewer at the beginning)."""
    sums = np.cumsum(np.concatenate(([0.0], values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss(records: list[dict], stage: str, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    tokens = np.array([record["tokens"] for record in records]) / 1e6
    axis.plot(tokens, smooth([record["loss"] for record in records]), label="training, mean of 15 steps")
    axis.plot(tokens, smooth([record["mtp_loss"] for record in records]), label="MTP layer, training", alpha=0.6)
    held = [(record["tokens"] / 1e6, record["held_loss"]) for record in records if "held_loss" in record]
    if held:
        axis.plot(*zip(*held, strict=True), "o-", label="held-out")
    axis.set(xlabel="million tokens", ylabel="nats per token", title=stage)
    axis.legend()
    figure.savefig(path, dpi=110)


def load(records: list[dict], path: Path) -> None:
    """Plot the load of the busiest expert over the mean load in each layer during training."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    counts = np.array([record["load"] for record in records], dtype=float)  # (step, layer, expert)
    ratio = counts.max(2) / counts.mean(2)
    tokens = np.array([record["tokens"] for record in records]) / 1e6
    for layer in range(ratio.shape[1]):
        name = "MTP layer" if layer == ratio.shape[1] - 1 else f"layer {layer + 1}"
        axis.plot(tokens, smooth(list(ratio[:, layer])), label=name)
    axis.set(xlabel="million tokens", ylabel="busiest expert over mean", title="load over pre-training")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def reward(records: list[dict], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    steps = [record["step"] for record in records]
    axis.plot(steps, [record["reward"] for record in records], ".", alpha=0.4, label="one step")
    axis.plot(steps, smooth([record["reward"] for record in records]), label="mean of 15 steps")
    axis.set(xlabel="step", ylabel="mean reward of the samples", title="GRPO")
    divergence = axis.twinx()
    divergence.plot(steps, smooth([record["loss"] for record in records]), color="tab:red", alpha=0.6)
    divergence.set_ylabel("KL divergence from the supervised model, nats per token", color="tab:red")
    axis.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder with pretrain, sft, grpo")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        records = read(args.runs, stage)
        if not records:
            continue
        if stage == "grpo":
            reward(records, args.out / "reward.png")
        else:
            loss(records, stage, args.out / f"loss_{stage}.png")
        if stage == "pretrain":
            load(records, args.out / "load.png")


if __name__ == "__main__":
    main()
