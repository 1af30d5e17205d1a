"""Compare the engine's greedy answers with the PyTorch model's, token for token, on twenty prompts.

    edgemed convert CHECKPOINT -o mini-f16.gguf --plan f16_plan.json
    python agree.py CHECKPOINT mini-f16.gguf --edgemed ../../.venv/bin/edgemed

Texts and token counts are compared. Where two answers differ, the script prints the margin of the PyTorch model's best
token over its second best at the first difference: a margin near zero is a tie that rounding decides.
"""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from checkpoint import load
from data import prompt_ids
from generate import complete, stop_ids, text_of
from model import BailingMoeV2
from tokenizers import Tokenizer

PROMPTS = (
    "What is asthma?",
    "What are the symptoms of diabetes?",
    "What causes high blood pressure?",
    "What are the treatments for migraine?",
    "Is cystic fibrosis inherited?",
    "How many people are affected by sickle cell disease?",
    "What is the heart?",
    "How do kidneys work?",
    "What is a virus?",
    "What is 47 + 38?",
    "What is 12 times 7?",
    "One tablet holds 5 mg. How many tablets make 20 mg?",
    "A patient takes 50 mg of a medicine 3 times a day. How many mg is that in one day?",
    "I have crushing chest pain and my left arm hurts.",
    "How much syrup should I give a child?",
    "Are you a real doctor?",
    "Please prescribe me antibiotics.",
    "What is the outlook for stroke?",
    "How to prevent gallstones?",
    "My belly hurts. What is it?",
)


def engine_answer(edgemed: str, gguf: Path, prompt: str, max_tokens: int) -> tuple[str, int]:
    """Return the engine's greedy text and its number of tokens."""
    greedy = ["--temperature", "0", "--repeat-penalty", "1", "--max-tokens", str(max_tokens)]
    command = [edgemed, "generate", str(gguf), "-p", prompt, "--json", *greedy]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told["text"], told["tokens"]


@torch.no_grad()
def lead_where_they_part(model: BailingMoeV2, prompt: list[int], ours: list[int], theirs: list[int]) -> float:
    """Return the best logit minus the second best at the first position where the answers differ."""
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    best = model.lm_head(model(torch.tensor([prompt + ours[:at]]))[0, -1]).topk(2).values
    return (best[0] - best[1]).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="checkpoint folder")
    parser.add_argument("gguf", type=Path, help="the same checkpoint, converted with f16_plan.json")
    parser.add_argument("--edgemed", default="edgemed", help="the edgemed command")
    parser.add_argument("--max-tokens", type=int, default=48)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(args.folder).eval(), Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    stops = stop_ids(tokenizer)
    agreed = 0
    for prompt in PROMPTS:
        ids = prompt_ids(tokenizer, [("user", prompt)])
        (row,) = complete(model, torch.tensor([ids]), args.max_tokens, stops)
        ours = text_of(tokenizer, row, stops)
        theirs, tokens = engine_answer(args.edgemed, args.gguf, prompt, args.max_tokens)
        words = row[:-1] if row[-1] in stops else row
        # the engine may or may not count the stop token; the text decides the rest
        if ours == theirs and tokens in (len(words), len(row)):
            agreed += 1
            continue
        theirs_ids = tokenizer.encode(theirs, add_special_tokens=False).ids
        lead = lead_where_they_part(model, ids, words, theirs_ids)
        print(f"> {prompt}\nPyTorch: {ours}\nengine:  {theirs}\nmargin at the first difference: {lead:.5f}\n")
    print(f"{agreed} of {len(PROMPTS)} answers agree token for token")


if __name__ == "__main__":
    main()
