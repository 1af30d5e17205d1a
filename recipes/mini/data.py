"""Turn rows of JSONL into documents, token ids and packed batches.

A document is a list of turns, (role, text): role "text" is prose, "user" and "assistant" form a chat. rows(path, split)
reads a file, and document(row) turns one row of any known form into one document. Your own text works too: a row with
`text` is prose, a row with `question` and `answer` is a chat.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

Document = list[tuple[str, str]]

OPENING = "<role>SYSTEM</role>detailed thinking off<|role_end|>"  # the chat template with no system message
ROLES = {"user": "<role>HUMAN</role>", "assistant": "<role>ASSISTANT</role>"}
END = "<|role_end|>"


def rows(path: Path, split: str) -> Iterator[dict]:
    """Yield the rows of one split. Raises ValueError for multiple-choice files, which are for evaluation only."""
    if split == "train" and path.name.startswith("mcq_"):
        raise ValueError(f"{path.name} is for evaluation only and must not be used for training.")
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row.get("split", "train") == split:
                yield row


def document(row: dict) -> Document:
    """Return one row as a document. Raises ValueError for an unknown form."""
    if "turns" in row:
        spoken = "\n".join(f"{turn['speaker'].capitalize()}: {turn['text']}" for turn in row["turns"])
        return [("text", f"{spoken}\n\nNote: {row['note']}" if row.get("note") else spoken)]
    if "long_answer" in row:
        return pubmed_chat(row)
    if row.get("kind") == "math":
        question, _, answer = row["text"].partition("\n\n")
        return [("user", question), ("assistant", answer)]
    if "options" in row:
        options = "\n".join(f"{letter}. {text}" for letter, text in row["options"].items())
        return [("user", f"{row['question']}\n{options}"), ("assistant", row["answer"])]
    if "question" in row and "answer" in row:
        return [("user", row["question"]), ("assistant", row["answer"])]
    if "definition" in row:
        also = f" Also called {', '.join(row['synonyms'])}." if row["synonyms"] else ""
        return [("text", f"{row['name']}: {row['definition']}{also}")]
    if "zh" in row:
        return [("text", row["zh"])]
    if "case" in row:
        return [("text", row["case"])]
    if "text" in row:
        return [("text", row["text"])]
    raise ValueError(f"row {row.get('id')} has an unknown form: {sorted(row)}")


def pubmed_chat(row: dict) -> Document:
    """A research question about an abstract, answered with yes, no or maybe and then in words."""
    question = f"{' '.join(row['context'])}\n\nQuestion: {row['question']}\nAnswer yes, no or maybe, then explain."
    return [("user", question), ("assistant", f"{row['label'].capitalize()}. {row['long_answer']}")]


def visit_chats(row: dict) -> list[Document]:
    """Return a doctor's visit twice: as a chat in which the assistant asks like the doctor, and as a note to write."""
    turns: Document = []
    for turn in row["turns"]:
        role = "assistant" if turn["speaker"] == "doctor" else "user"
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]} {turn['text']}")
        elif turns or role == "user":
            turns.append((role, turn["text"]))
    spoken = "\n".join(f"{turn['speaker'].capitalize()}: {turn['text']}" for turn in row["turns"])
    note = [("user", f"Write the note of this visit.\n\n{spoken}"), ("assistant", row["note"])]
    return [turns, note] if len(turns) > 1 else [note]


def encode(tokenizer: Tokenizer, doc: Document) -> tuple[list[int], list[bool]]:
    """Return token ids, and for each whether supervised training learns it: prose, assistant text and its end mark."""
    ids: list[int] = []
    learned: list[bool] = []

    def add(text: str, learn: bool) -> None:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(piece)
        learned.extend([learn] * len(piece))

    if doc[0][0] == "text":
        add(doc[0][1], True)
    else:
        add(OPENING, False)
        for role, text in doc:
            add(ROLES[role], False)
            add(text + END, role == "assistant")
    add("<|endoftext|>", False)
    return ids, learned


def prompt_ids(tokenizer: Tokenizer, doc: Document) -> list[int]:
    """Return the ids up to the point where the assistant begins its answer to the last user turn."""
    text = OPENING + "".join(ROLES[role] + words + END for role, words in doc)
    return tokenizer.encode(text + ROLES["assistant"], add_special_tokens=False).ids


class Packed:
    """Documents joined in a new order each epoch, cut into rows of T + 2; the rows are shuffled and batches never end.

    The two extra columns are the targets of the last position: the next token and, for the MTP layer, the one after.
    With answers_only, the second tensor of a batch marks what encode() says is learned; otherwise it is all true.
    """

    def __init__(
        self, documents: list[tuple[list[int], list[bool]]], length: int, *, seed: int, answers_only: bool = False
    ) -> None:
        self.ids = [torch.tensor(ids, dtype=torch.int32) for ids, _ in documents]
        self.marks = [torch.tensor([mark or not answers_only for mark in marks]) for _, marks in documents]
        self.width, self.seed = length + 2, seed
        self.tokens_per_epoch = sum(len(ids) for ids in self.ids)

    def batches(self, size: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of `size` rows. The first `skip` batches are passed over, which is how a run resumes."""
        per_epoch = self.tokens_per_epoch // self.width // size
        for epoch in range(skip // per_epoch, 1_000_000):
            draw = random.Random(f"{self.seed} {epoch}")
            order = draw.sample(range(len(self.ids)), len(self.ids))
            ids, marks = (torch.cat([part[i] for i in order]) for part in (self.ids, self.marks))
            turns = draw.sample(range(len(ids) // self.width), len(ids) // self.width)
            for batch in range(skip % per_epoch, per_epoch):
                index = torch.tensor(turns[batch * size : (batch + 1) * size])
                at = index[:, None] * self.width + torch.arange(self.width)
                yield ids[at].long(), marks[at]
            skip = 0
