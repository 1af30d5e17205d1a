"""Complete prompts with the PyTorch model, many rows at once, with a KV cache.

python generate.py CHECKPOINT "What is asthma?"
"""

import argparse
from pathlib import Path

import torch
from checkpoint import load
from data import prompt_ids
from model import BailingMoeV2
from tokenizers import Tokenizer
from torch import Tensor


def stop_ids(tokenizer: Tokenizer) -> set[int]:
    return {tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|role_end|>")}


@torch.no_grad()
def complete(
    model: BailingMoeV2,
    ids: Tensor,
    max_tokens: int,
    stops: set[int],
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Return the continuation of each row of ids (B, T), the stop token included; temperature 0 is greedy."""
    caches: list[list[Tensor]] = [[] for _ in range(model.config.num_hidden_layers)]
    rows: list[list[int]] = [[] for _ in ids]
    done = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(max_tokens):
        logits = model.lm_head(model(ids, caches=caches)[:, -1])
        if temperature == 0:
            chosen = logits.argmax(-1)
        else:
            if top_k:
                logits[logits < logits.topk(top_k).values[:, -1:]] = float("-inf")
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
        for row, token, over in zip(rows, chosen.tolist(), done.tolist(), strict=True):
            if not over:
                row.append(token)
        done |= torch.tensor([token in stops for token in chosen.tolist()])
        if done.all():
            break
        ids = chosen[:, None]
    return rows


def text_of(tokenizer: Tokenizer, row: list[int], stops: set[int]) -> str:
    """Return the text of a completion without the stop token; other special tokens stay visible."""
    return tokenizer.decode(row[:-1] if row and row[-1] in stops else row, skip_special_tokens=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="checkpoint folder")
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--max-tokens", type=int, default=120)
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(args.folder).eval(), Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    generator = torch.Generator().manual_seed(args.seed)
    for prompt in args.prompts:
        ids = torch.tensor([prompt_ids(tokenizer, [("user", prompt)])])
        stops = stop_ids(tokenizer)
        (row,) = complete(
            model,
            ids,
            args.max_tokens,
            stops,
            temperature=args.temperature,
            top_k=args.top_k,
            generator=generator,
        )
        print(f"> {prompt}\n{text_of(tokenizer, row, stops)}\n")


if __name__ == "__main__":
    main()
