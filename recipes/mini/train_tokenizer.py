"""Train a byte-level BPE tokenizer on the train split, with Ling's regex, special tokens and chat template.

    python train_tokenizer.py --out runs/tokenizer DATA.jsonl...

Any text can be encoded: all 256 bytes are in the vocabulary. Digits stay single.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from checkpoint import write_json
from data import document, rows
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]", "<|role_end|>", "<role>", "</role>"]
PATTERN = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
TEMPLATE = (
    "<role>SYSTEM</role>{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}\n{% endif %}"
    "detailed thinking off<|role_end|>{% for m in messages %}{% if m['role'] == 'user' %}"
    "<role>HUMAN</role>{{ m['content'] }}<|role_end|>{% elif m['role'] == 'assistant' %}"
    "<role>ASSISTANT</role>{{ m['content'] }}<|role_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<role>ASSISTANT</role>{% endif %}"
)


def texts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for row in rows(path, "train"):
            yield from (text for _, text in document(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="JSONL files; only rows of the train split are used")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json and its config")
    parser.add_argument("--size", type=int, default=4096, help="vocabulary size, special tokens included")
    args = parser.parse_args()

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=args.size, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts(args.data), trainer)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    config = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "cls_token": "[CLS]",
        "gmask_token": "[gMASK]",
        "add_bos_token": False,
        "add_eos_token": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    write_json(args.out / "tokenizer_config.json", config)


if __name__ == "__main__":
    main()
