"""Bits per byte of a checkpoint on the held-out rows of each file, comparable between tokenizers of any size.

    python evaluate.py --json CHECKPOINT DATA.jsonl...

Only the words of a document are scored, never the marks of the chat template. A document longer than the window is read
in windows that overlap by half, so every token except the first few sees at least half a window of context.
"""

import argparse
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from checkpoint import load
from data import END, OPENING, ROLES, Document, document, rows
from model import BailingMoeV2
from tokenizers import Tokenizer

BATCH = 12  # windows in one pass


def scored(tokenizer: Tokenizer, doc: Document) -> tuple[list[int], list[bool]]:
    """Return token ids, and for each whether it belongs to the document's own words."""
    chat = doc[0][0] != "text"
    pieces = [("<|endoftext|>" + (OPENING if chat else ""), False)]
    for role, text in doc:
        pieces += [(ROLES[role], False), (text, True), (END, False)] if chat else [(text, True)]
    ids: list[int] = []
    marks: list[bool] = []
    for text, mark in pieces:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        marks += [mark] * len(piece)
    return ids, marks


def windows(ids: list[int], marks: list[bool], size: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Yield overlapping windows in which every token is marked at most once."""
    yield ids[:size], marks[:size]
    for start in range(size // 2, len(ids) - size // 2, size // 2):
        fresh = marks[start + size // 2 : start + size]
        yield ids[start : start + size], [False] * (size // 2) + fresh


def total_bits(model: BailingMoeV2, pieces: list[tuple[list[int], list[bool]]], dtype: torch.dtype) -> float:
    """Return the bits of all marked tokens. Windows of similar length share a batch; padding is never marked."""
    pieces = sorted(pieces, key=lambda piece: len(piece[0]))
    batches = [pieces[start : start + BATCH] for start in range(0, len(pieces), BATCH)]

    @torch.no_grad()
    def nats(batch: list[tuple[list[int], list[bool]]]) -> float:
        longest = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in batch])
        marks = torch.tensor([marks + [False] * (longest - len(marks)) for _, marks in batch])[:, 1:]
        states = model(ids[:, :-1], dtype=dtype)[marks]
        return F.cross_entropy(model.lm_head(states).float(), ids[:, 1:][marks], reduction="sum").item()

    with ThreadPoolExecutor(2) as pool:  # one core per batch is faster than two cores on one batch
        return sum(pool.map(nats, batches)) / math.log(2)


def first_documents(path: Path, split: str, limit: int) -> list[Document]:
    """Return the documents of a split, up to `limit` bytes of text (0: all). Rows in other languages are skipped."""
    docs, size = [], 0
    for row in rows(path, split):
        if row.get("lang", "en") == "en" and not 0 < limit <= size:
            docs.append(document(row))
            size += sum(len(text.encode()) for _, text in docs[-1])
    return docs


def evaluate(folder: Path, data: list[Path], split: str, window: int, limit: int, dtype: torch.dtype) -> dict:
    """Return for each source: bits_per_byte, documents, tokens, bytes."""
    model = load(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    results = {}
    for path in data:
        docs = first_documents(path, split, limit)
        pieces = [window_ for doc in docs for window_ in windows(*scored(tokenizer, doc), window)]
        size = sum(len(text.encode()) for doc in docs for _, text in doc)
        results[path.stem] = {
            "bits_per_byte": round(total_bits(model, pieces, dtype) / size, 4),
            "documents": len(docs),
            "tokens": sum(sum(marks) for _, marks in pieces),
            "bytes": size,
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="checkpoint folder")
    parser.add_argument("data", nargs="+", type=Path, help="JSONL files")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--split", default="eval")
    parser.add_argument("--window", type=int, default=320, help="tokens per window")
    parser.add_argument("--bytes", type=int, default=0, help="bytes of text to read from each file; 0 for all")
    parser.add_argument("--float32", action="store_true", help="compute in float32 instead of bfloat16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dtype = torch.float32 if args.float32 else torch.bfloat16
    results = evaluate(args.folder, args.data, args.split, args.window, args.bytes, dtype)
    if args.json:
        print(json.dumps(results, indent=1))
        return
    for source, found in results.items():
        print(f"{source:20} {found['bits_per_byte']:.4f} bits per byte  ({found['documents']:,} documents)")


if __name__ == "__main__":
    main()
