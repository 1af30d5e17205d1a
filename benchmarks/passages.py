"""Passages of the data folder's texts as tokens: equal in length, balanced over files, the same in every run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

LENGTH = 256
CHAT = (
    "<role>SYSTEM</role>detailed thinking off<|role_end|><role>HUMAN</role>{question}<|role_end|>"
    "<role>ASSISTANT</role>{answer}<|role_end|>"
)
# Tokens that carry a dose: digits, units, negations, and the commonest endings of drug names.
DOSE = re.compile(
    r"\d|^\s*(mg|ml|mcg|kg|µg|iu|units?|tablets?|daily|twice|hours?)\b|毫克|毫升|微克|片|粒|每日|每天"
    r"|^\s*(no|not|never|without|none|denies|negative)\b|不|无|没|未|禁|勿"
    r"|(mycin|cillin|olol|pril|sartan|statin|azole|prazole|caine|mab|nib|vir|pam|formin)\b|霉素|西林|洛尔|沙坦|他汀|唑",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Passages:
    """tokens [passages, LENGTH], the file of each passage, and where the next token carries a dose [.., LENGTH]."""

    tokens: NDArray[np.int64]
    domain: tuple[str, ...]
    dose: NDArray[np.bool_]


def text_of(row: Mapping[str, Any]) -> str:
    """Return one record of any of the files as text; a question with its answer becomes a chat."""
    if "turns" in row:
        turns = "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in row["turns"])
        return turns + "\n" + str(row.get("note") or "")
    if "question" in row and "answer" in row:
        return CHAT.format(**row)
    if "context" in row:
        return " ".join([*row["context"], row["question"], str(row.get("long_answer") or "")])
    if "definition" in row:
        return f"{row['name']}: {row['definition']}"
    if "en" in row:
        return f"{row['en']}\n{row['zh']}"
    return str(row.get("text") or row.get("case") or "")


def load(data: Path, tokenizer: Path, split: str, each: int) -> Passages:
    """Return up to `each` passages of one split from every file that is not multiple choice."""
    encoder = Tokenizer.from_file(str(tokenizer))
    end = encoder.token_to_id("<|endoftext|>")
    tokens, domains = [], []
    for path in sorted(data.glob("*.jsonl")):
        if path.stem.startswith("mcq_"):
            continue
        with path.open(encoding="utf-8") as lines:
            rows = [row for line in lines if (row := json.loads(line))["split"] == split]
        rows.sort(key=lambda row: hashlib.blake2b(row["id"].encode()).digest())
        stream: list[int] = []
        for row in rows:
            if len(stream) >= each * LENGTH:
                break
            stream += [*encoder.encode(text_of(row)).ids[: 2 * LENGTH], end]
        count = min(each, len(stream) // LENGTH)
        tokens.append(np.array(stream[: count * LENGTH], np.int64).reshape(count, LENGTH))
        domains += [path.stem] * count
    joined = np.concatenate(tokens)
    carries = np.array([bool(DOSE.search(encoder.decode([token]))) for token in range(encoder.get_vocab_size())])
    following = np.concatenate([joined[:, 1:], np.full((len(joined), 1), end)], axis=1)
    return Passages(joined, tuple(domains), carries[following])
