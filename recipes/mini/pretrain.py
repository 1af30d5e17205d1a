"""Stage 1, pre-training on prose and questions, from random weights or from a checkpoint folder (--init).

python pretrain.py --out runs/pretrain --tokenizer runs/tokenizer --minutes 60 DATA.jsonl...
"""

import argparse
from itertools import islice
from pathlib import Path

import torch
from checkpoint import load, save
from data import Packed, document, encode, rows
from model import BailingMoeV2, Config
from tasks import arithmetic
from tokenizers import Tokenizer
from trainer import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="JSONL files; only rows of the train split are used")
    parser.add_argument("--out", type=Path, required=True, help="folder of this stage; run again to resume")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with tokenizer.json")
    parser.add_argument("--init", type=Path, help="checkpoint folder to continue from (default: random weights)")
    parser.add_argument("--minutes", type=float, default=30, help="processor time of each of two threads")
    parser.add_argument("--length", type=int, default=320, help="tokens per row")
    parser.add_argument("--rows", type=int, default=12, help="rows per micro-batch")
    parser.add_argument("--accumulate", type=int, default=2, help="micro-batches per step")
    parser.add_argument("--muon-rate", type=float, default=0.015)
    parser.add_argument("--adam-rate", type=float, default=1.5e-3)
    parser.add_argument("--arithmetic", type=int, default=12000, help="generated sums added to the data")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    config = Config(vocab_size=-(-tokenizer.get_vocab_size() // 256) * 256)
    model = load(args.init, add_mtp=True) if args.init else BailingMoeV2(config)
    train, held = [], []
    for path in args.data:
        train += [encode(tokenizer, document(row)) for row in rows(path, "train") if row.get("lang", "en") == "en"]
        held += [encode(tokenizer, document(row)) for row in rows(path, "eval") if row.get("lang", "en") == "en"]
    for task in arithmetic(args.arithmetic, held=False, seed=args.seed):
        train.append(encode(tokenizer, [*task.prompt, ("assistant", task.answer)]))
    packed = Packed(train, args.length, seed=args.seed)
    print(f"{sum(p.numel() for p in model.parameters()):,} weights, {packed.tokens_per_epoch:,} tokens per epoch")

    run = Run(model, args.out, args.minutes, args.muon_rate, args.adam_rate, args.accumulate)
    held_batches = list(islice(Packed(held, args.length, seed=1).batches(args.rows), 8))
    run.train(packed.batches(args.rows, skip=run.step * args.accumulate), held_batches)
    save(model, args.out / "checkpoint", args.tokenizer)


if __name__ == "__main__":
    main()
