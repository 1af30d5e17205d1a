"""A small tokenizer in the published form: byte-level BPE, Ling's pre-tokenizer regex, Ling's special tokens.

The merges build a list of words from left to right, so both halves of a merge exist before it. The order is that of the
real vocabulary: 256 bytes, merges, special tokens, padding up to a multiple of 128.
"""

from functools import cache
from typing import Any

REGEX = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]", "<|role_end|>", "<role>", "</role>")
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}<role>SYSTEM</role>{{ messages[0]['content'] }}\n"
    "{% else %}<role>SYSTEM</role>{% endif %}detailed thinking off<|role_end|>"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<role>HUMAN</role>{{ message['content'] }}<|role_end|>"
    "{% elif message['role'] == 'assistant' %}<role>ASSISTANT</role>{{ message['content'] }}<|role_end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<role>ASSISTANT</role>{% endif %}"
)
_WORDS = """
the of and in to is with for that what are patient disease treatment symptoms pain fever heart blood acute chronic
diabetes infection doctor medicine dose daily therapy diagnosis cancer liver kidney cough headache HUMAN ASSISTANT
SYSTEM detailed thinking off ... 的 是 患者 治疗 症状 什么 如何 糖尿病 高血压 发热 ，。
"""


@cache
def _byte_characters() -> dict[int, str]:
    """GPT-2's printable character for every byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


@cache
def _vocabulary() -> tuple[dict[str, int], list[list[str]]]:
    """Return (token -> id, merges) without the special tokens."""
    characters = _byte_characters()
    vocabulary = {characters[byte]: byte for byte in range(256)}
    merges: list[list[str]] = []
    for word in [form for base in _WORDS.split() for form in (" " + base, base)] + ["\n\n", "   "]:
        spelled = "".join(characters[byte] for byte in word.encode())
        for end in range(2, len(spelled) + 1):
            if spelled[:end] not in vocabulary:
                merges.append([spelled[: end - 1], spelled[end - 1]])
                vocabulary[spelled[:end]] = len(vocabulary)
    return vocabulary, merges


def special_ids() -> dict[str, int]:
    """Return special token -> id."""
    first = len(_vocabulary()[0])
    return {token: first + i for i, token in enumerate(SPECIAL_TOKENS)}


def vocab_size() -> int:
    """The number of rows of the embedding: all tokens, padded to a multiple of 128."""
    return -(-(len(_vocabulary()[0]) + len(SPECIAL_TOKENS)) // 128) * 128


def tokenizer_json() -> dict[str, Any]:
    """The content of tokenizer.json."""
    vocabulary, merges = _vocabulary()
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": REGEX}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **flags} for token, number in special_ids().items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def tokenizer_config(chat_template: str = CHAT_TEMPLATE) -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    return {
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "cls_token": "[CLS]",
        "gmask_token": "[gMASK]",
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": chat_template,
    }
