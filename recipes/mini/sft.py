"""Stage 2, supervised fine-tuning: chats, of which only the assistant's words are learned, and a little prose.

    python sft.py --init runs/pretrain/checkpoint --out runs/sft --minutes 10 DATA.jsonl...

Every file contributes at most --share chats, so that large sources do not drown small ones. The safety cases are few
and short, so they are repeated. Pieces of the pre-training texts are replayed to keep the model from forgetting prose.
"""

import argparse
import random
from itertools import islice
from pathlib import Path

import torch
from checkpoint import load, save
from data import Document, Packed, document, encode, rows, visit_chats
from tasks import Task, arithmetic, safety
from tokenizers import Tokenizer
from trainer import Run

SAFETY = Path(__file__).with_name("safety.jsonl")


def chats(row: dict) -> list[Document]:
    """Return what a row teaches an assistant; an empty list if the row is prose."""
    if "turns" in row and "note" in row:
        return visit_chats(row)
    doc = document(row)
    return [doc] if doc[0][0] == "user" else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="JSONL files; only rows of the train split are used")
    parser.add_argument("--init", type=Path, required=True, help="checkpoint folder of the pre-trained model")
    parser.add_argument("--out", type=Path, required=True, help="folder of this stage; run again to resume")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--share", type=int, default=600, help="most chats from one file")
    parser.add_argument("--replay", type=int, default=250, help="pieces of documents from one file, learned as a whole")
    parser.add_argument("--arithmetic", type=int, default=4000)
    parser.add_argument("--safety-repeats", type=int, default=12)
    parser.add_argument("--length", type=int, default=512, help="tokens per row")
    parser.add_argument("--rows", type=int, default=4, help="rows per micro-batch")
    parser.add_argument("--muon-rate", type=float, default=0.003)
    parser.add_argument("--adam-rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    draw = random.Random(args.seed)
    tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json"))
    train, held = [], []
    for path in args.data:
        known = [row for row in rows(path, "train") if row.get("lang", "en") == "en"]
        spoken = [doc for row in known for doc in chats(row)]
        train += [encode(tokenizer, doc) for doc in draw.sample(spoken, min(args.share, len(spoken)))]
        for row in draw.sample(known, min(args.replay, len(known))):
            ids, _ = encode(tokenizer, document(row))
            start = draw.randrange(max(1, len(ids) - args.length))
            piece = ids[start : start + args.length]
            train.append((piece, [True] * len(piece)))
        held += [encode(tokenizer, doc) for row in islice(rows(path, "eval"), 40) for doc in chats(row)]
    checkable: list[Task] = [*arithmetic(args.arithmetic, held=False, seed=args.seed)]
    checkable += list(safety(SAFETY, held=False)) * args.safety_repeats
    train += [encode(tokenizer, [*task.prompt, ("assistant", task.answer)]) for task in checkable]

    packed = Packed(train, args.length, seed=args.seed, answers_only=True)
    print(f"{packed.tokens_per_epoch:,} tokens per epoch")
    model = load(args.init, add_mtp=True)
    run = Run(model, args.out, args.minutes, args.muon_rate, args.adam_rate)
    held_batches = list(islice(Packed(held, args.length, seed=1, answers_only=True).batches(args.rows), 6))
    run.train(packed.batches(args.rows, skip=run.step * run.accumulate), held_batches)
    save(model, args.out / "checkpoint", args.init)


if __name__ == "__main__":
    main()
