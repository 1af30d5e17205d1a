"""What the routers learned: how balanced the experts are, and how much they specialise on domains.

    python routing.py CHECKPOINT --data ../../../shared/data

For each MoE layer and domain: the load of the busiest expert over the mean load. For each layer: the mutual information
I(domain; expert) in bits, with all domains weighted equally. A finite sample always shows some, so the value by chance
is given too (domains shuffled over documents). Prints one JSON object; --plot draws each expert's part of the load.
"""

import argparse
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from checkpoint import load
from data import Document, document, encode, rows
from model import BailingMoeV2
from tokenizers import Tokenizer
from trainer import loads

DOMAINS = {
    "anatomy": ("textbooks", lambda row: row["source"].startswith("OpenStax Anatomy")),
    "pharmacology": ("textbooks", lambda row: row["source"].startswith("Pharmacology")),
    "maths": ("general", lambda row: row["kind"] == "math"),
    "dialogue": ("dialogues", lambda row: True),
    "Chinese (never trained)": ("zh_toyhom_qa", lambda row: True),
}
ROW = 256  # tokens read from one document


def samples(data: Path, tokenizer: Tokenizer, tokens: int) -> dict[str, list[list[int]]]:
    """Return about this many tokens of each domain from held-out rows; each list of ids is a piece of one document."""
    found = {}
    for domain, (file, belongs) in DOMAINS.items():
        pieces: list[list[int]] = []
        for row in rows(data / f"{file}.jsonl", "eval"):
            if belongs(row):
                doc: Document = document(row)
                ids, _ = encode(tokenizer, doc)
                pieces += [ids[start : start + ROW] for start in range(0, min(len(ids), 8 * ROW), ROW)]
        found[domain] = random.Random(0).sample(pieces, len(pieces))
        while sum(map(len, found[domain])) > tokens and len(found[domain]) > 1:
            found[domain].pop()
    return found


@torch.no_grad()
def counts(model: BailingMoeV2, pieces: list[list[int]]) -> np.ndarray:
    """Return the number of assignments (pieces, MoE layers, experts)."""

    def one(ids: list[int]) -> np.ndarray:
        routes: list[torch.Tensor] = []
        model(torch.tensor([ids]), routes=routes)
        return loads(routes, model.config.num_experts).numpy()

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(lambda ids: torch.no_grad()(one)(ids), pieces)))


def information(shares: np.ndarray) -> float:
    """Return I(domain; expert) in bits from `shares` (domains, experts), one distribution per row."""
    mean = shares.mean(0)
    ratio = np.divide(shares, mean, out=np.ones_like(shares), where=shares > 0)
    return float((shares * np.log2(ratio)).sum(1).mean())


def shares_of(per_piece: np.ndarray, labels: np.ndarray, layer: int) -> np.ndarray:
    totals = np.stack([per_piece[labels == d, layer].sum(0) for d in range(labels.max() + 1)]).astype(float)
    return totals / totals.sum(1, keepdims=True)


def report(model: BailingMoeV2, domains: dict[str, list[list[int]]]) -> tuple[dict, list[np.ndarray]]:
    """Return the JSON report, and per layer the distribution of assignments (domains, experts)."""
    per_piece = counts(model, [ids for pieces in domains.values() for ids in pieces])
    labels = np.repeat(np.arange(len(domains)), [len(pieces) for pieces in domains.values()])
    draw = np.random.default_rng(0)
    layers, all_shares = [], []
    for layer in range(per_piece.shape[1]):
        shares = shares_of(per_piece, labels, layer)
        chance = np.mean([information(shares_of(per_piece, draw.permutation(labels), layer)) for _ in range(20)])
        mean = shares.mean(0)
        busiest = {name: round(float(s.max() * len(s)), 2) for name, s in zip(domains, shares, strict=True)}
        layers.append(
            {
                "layer": layer + model.config.first_k_dense_replace,
                "max_over_mean_load": {"all": round(float(mean.max() * len(mean)), 2), **busiest},
                "mutual_information_bits": round(information(shares), 4),
                "by_chance_bits": round(float(chance), 4),
                "expert_entropy_bits": round(float(-(mean * np.log2(mean + 1e-12)).sum()), 3),
            }
        )
        all_shares.append(shares)
    tokens = {name: sum(map(len, pieces)) for name, pieces in domains.items()}
    return {"tokens": tokens, "layers": layers}, all_shares


def plot(shares: list[np.ndarray], names: list[str], path: Path) -> None:
    """Draw a row of tiles for each layer: the fraction of a domain's assignments that each expert gets."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(shares), figsize=(3.2 * len(shares), 2.2), sharey=True, layout="constrained")
    top = max(float(s.max()) for s in shares)
    for layer, (axis, share) in enumerate(zip(axes, shares, strict=True), 1):
        image = axis.imshow(share, aspect="auto", vmin=0, vmax=top, cmap="viridis")
        axis.set_title(f"MoE layer {layer}", fontsize=9)
        axis.set_xlabel("expert")
        axis.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(image, ax=axes, label="fraction of assignments")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="checkpoint folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with textbooks.jsonl and the others")
    parser.add_argument("--tokens", type=int, default=12_000, help="tokens per domain")
    parser.add_argument("--plot", type=Path, help="write a plot of the assignments")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    found, shares = report(load(args.folder).eval(), samples(args.data, tokenizer, args.tokens))
    print(json.dumps(found, indent=1))
    if args.plot:
        plot(shares, list(DOMAINS), args.plot)


if __name__ == "__main__":
    main()
