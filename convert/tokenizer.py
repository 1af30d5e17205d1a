"""Translating tokenizer.json and the files beside it to the tokenizer keys of a GGUF.

llama.cpp implements byte-level BPE and a fixed list of pre-tokenizers, known by name. The checkpoint's regular
expression must be one of those: any other would split text differently, so it is refused and not approximated. A family
lists the expressions that its checkpoints have (`TokenizerRules`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFValueType, GGUFWriter, TokenType

from edgemed.architectures import Architecture
from edgemed.convert.json_files import read_json, read_optional_json
from edgemed.errors import CheckpointError
from edgemed.model_file import keys
from edgemed.sizes import file_size

UNKNOWN_TO_LLAMA = (
    "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"
)  # fmt: skip
MAX_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Everything llama.cpp and the chat need. `tokens` and `kinds` have one entry for each row of the embedding."""

    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    pre: str
    bos: int | None
    eos: int
    pad: int | None
    add_bos: bool
    add_eos: bool
    ends: tuple[int, ...]
    """Every token id that ends a turn; `eos` is the first."""
    chat_template: str | None
    notes: tuple[str, ...] = ()

    @property
    def special_texts(self) -> dict[str, str]:
        """`bos_token` and the like, as chat templates name them; empty for an absent one."""
        ids = {"bos_token": self.bos, "eos_token": self.eos, "pad_token": self.pad}
        return {name: "" if number is None else self.tokens[number] for name, number in ids.items()}

    def write(self, writer: GGUFWriter) -> None:
        """Add the tokenizer's keys, named as by llama.cpp's own converter, and edgemed's list of end tokens."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.kinds)
        writer.add_token_merges(self.merges)
        if self.bos is not None:
            writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        if len(self.ends) > 1:
            # llama.cpp itself stops at eos and eot only; without this key it would run past the second end token.
            writer.add_eot_token_id(self.ends[1])
        if self.pad is not None:
            writer.add_pad_token_id(self.pad)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        writer.add_key_value(
            keys.END_OF_GENERATION_IDS, list(self.ends), GGUFValueType.ARRAY, sub_type=GGUFValueType.UINT32
        )
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)


def read_tokenizer(folder: Path, hparams: Architecture) -> Tokenizer:
    """The tokenizer of the checkpoint in `folder`, padded to the rows of the embedding. Raises CheckpointError."""
    document = read_json(folder / "tokenizer.json")
    if reason := hparams.TOKENIZER.refuse(document):
        raise CheckpointError(f"The checkpoint's tokenizer cannot be used: {reason}")
    config = read_optional_json(folder / "tokenizer_config.json")
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise _refused("is not byte-level BPE")
    for key in UNKNOWN_TO_LLAMA:
        if model.get(key):
            raise _refused(f"sets {key}, which llama.cpp's byte-level BPE does not support")
    tokens, kinds = _tokens(model.get("vocab"), document.get("added_tokens"), hparams.n_vocab)
    ids = {token: number for number, token in enumerate(tokens)}
    eos, ends = _ends(folder, config, ids, hparams.END_TOKENS)
    return Tokenizer(
        tokens=tokens,
        kinds=kinds,
        merges=[_merge(pair) for pair in _list(model.get("merges"), "merges")],
        pre=_pre_tokenizer(document.get("pre_tokenizer"), hparams.TOKENIZER.pre_tokenizers),
        bos=_special(config, "bos_token", ids),
        eos=eos,
        pad=_special(config, "pad_token", ids),
        add_bos=_adds(document, config, "bos"),
        add_eos=_adds(document, config, "eos"),
        ends=ends,
        chat_template=_chat_template(folder, config),
        notes=_normalizer_notes(document.get("normalizer")),
    )


def _tokens(vocabulary: Any, added: Any, n_vocab: int) -> tuple[list[str], list[int]]:
    """Text and kind of every row of the embedding; unused rows are named [PADn]."""
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise _refused("has no vocabulary")
    rows: dict[int, tuple[str, TokenType]] = {}
    for token, number in vocabulary.items():
        _place(rows, number, token, TokenType.NORMAL, n_vocab)
    for entry in _list(added, "added_tokens"):
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise _refused("has an added token without text")
        token = entry["content"]
        # llama.cpp's rule: a token that looks like <|this|> is a control token, even if the file does not say so.
        control = entry.get("special") or (token.startswith("<|") and token.endswith("|>"))
        _place(rows, entry.get("id"), token, TokenType.CONTROL if control else TokenType.USER_DEFINED, n_vocab)
    texts = [token for token, _ in rows.values()]
    if len(set(texts)) < len(texts):
        raise _refused("gives two ids to one token")
    padded = [rows.get(row, (f"[PAD{row}]", TokenType.UNUSED)) for row in range(n_vocab)]
    return [token for token, _ in padded], [int(kind) for _, kind in padded]


def _place(rows: dict[int, tuple[str, TokenType]], number: Any, token: str, kind: TokenType, n_vocab: int) -> None:
    if type(number) is not int or not 0 <= number < n_vocab:
        raise _refused(f"gives {token!r:.60} the id {number}, but the embedding has the rows 0 to {n_vocab - 1}")
    if number in rows and rows[number][0] != token:
        raise _refused(f"gives the id {number} to two tokens")
    rows[number] = (token, kind)


def _merge(pair: Any) -> str:
    """One merge as llama.cpp reads it, "left right". In tokenizer.json it is that text or, lately, a pair."""
    halves = pair.split(" ") if isinstance(pair, str) else pair
    if not isinstance(halves, list) or len(halves) != 2 or not all(isinstance(half, str) for half in halves):
        raise _refused("has a merge that is not a pair")
    if any(" " in half for half in halves):
        raise _refused("has a merge with a space, which byte-level BPE cannot contain")
    return " ".join(halves)


def _pre_tokenizer(value: Any, known: Mapping[str, str]) -> str:
    """llama.cpp's name for the pre-tokenizer. Raises CheckpointError for one it does not implement."""
    steps = _steps(value, "pretokenizers")
    if [step.get("type") for step in steps] != ["Split", "ByteLevel"]:
        raise _refused("has an unknown pre-tokenizer: edgemed supports one Split followed by ByteLevel")
    split, byte_level = steps
    pattern = split.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    name = known.get(expression) if isinstance(expression, str) else None
    if name is None or split.get("behavior") != "Isolated" or split.get("invert"):
        raise _refused(
            f"splits text by {expression!r:.120}, which is not among the expressions that llama.cpp implements"
        )
    if byte_level.get("add_prefix_space", True) or byte_level.get("use_regex", True):
        raise _refused("splits text a second time in ByteLevel")
    return name


def _ends(
    folder: Path, config: dict[str, Any], ids: dict[str, int], published: Sequence[str]
) -> tuple[int, tuple[int, ...]]:
    """eos, and every id that ends a turn: those named in any of the checkpoint's files, and the family's own."""
    named: list[int] = []
    if (eos := _special(config, "eos_token", ids)) is not None:
        named.append(eos)
    for file in ("generation_config.json", "config.json"):
        value = read_optional_json(folder / file).get("eos_token_id")
        for number in value if isinstance(value, list) else [value]:
            if number is None:
                continue
            if type(number) is not int or not 0 <= number < len(ids):
                raise CheckpointError(f"{file} names the end token {number!r:.40}, which the tokenizer does not have.")
            named.append(number)
    named += [ids[token] for token in published if token in ids]
    if not named:
        raise _refused("has no token that ends a turn, so no answer would ever end")
    return named[0], tuple(dict.fromkeys(named))


def _special(config: dict[str, Any], key: str, ids: dict[str, int]) -> int | None:
    """The id of a special token that tokenizer_config.json gives as text or as an object; None if it gives none."""
    value = config.get(key)
    text = value.get("content") if isinstance(value, dict) else value
    if text in (None, ""):  # some tools write an absent token as empty text
        return None
    if not isinstance(text, str) or text not in ids:
        raise CheckpointError(f"tokenizer_config.json's {key} is {text!r:.60}, which tokenizer.json does not have.")
    return ids[text]


def _adds(document: dict[str, Any], config: dict[str, Any], which: str) -> bool:
    """Whether encoding adds this token, by the post-processor or, if there is none, by tokenizer_config.json."""
    for step in _steps(document.get("post_processor"), "processors"):
        if step.get("type") == "TemplateProcessing":
            single = _list(step.get("single"), "single")
            edge = single[0 if which == "bos" else -1] if single else None
            return isinstance(edge, dict) and "SpecialToken" in edge
    return config.get(f"add_{which}_token") is True


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """The template in chat_template.jinja, else in tokenizer_config.json (of several, the one named "default")."""
    file = folder / "chat_template.jinja"
    if file.exists():
        try:
            if file_size(file) > MAX_TEMPLATE_BYTES:
                raise CheckpointError(
                    f"{file.name} is larger than {MAX_TEMPLATE_BYTES >> 20} MiB, too large for a template; "
                    "download it again."
                )
            return file.read_text("utf-8")
        except OSError as error:
            raise CheckpointError(f"{file.name} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CheckpointError(f"{file.name} is not UTF-8 text; download it again.") from None
    value = config.get("chat_template")
    if isinstance(value, list):
        templates = (entry for entry in value if isinstance(entry, dict) and entry.get("name") == "default")
        value = next(templates, {}).get("template")
    if value is not None and (not isinstance(value, str) or len(value.encode()) > MAX_TEMPLATE_BYTES):
        raise CheckpointError(
            f"tokenizer_config.json's chat_template is not text of at most {MAX_TEMPLATE_BYTES >> 20} MiB; "
            "download it again."
        )
    return value


def _normalizer_notes(normalizer: Any) -> tuple[str, ...]:
    """A note for NFC, since nearly all text is composed already. Raises CheckpointError for any other normalizer."""
    kinds = {step.get("type") for step in _steps(normalizer, "normalizers")}
    if not kinds:
        return ()
    if kinds == {"NFC"}:
        return (
            "tokenizer.json normalises Unicode to NFC, but llama.cpp does not: decomposed text may split differently.",
        )
    raise _refused("normalises text in a way that llama.cpp does not")


def _steps(value: Any, sequence: str) -> list[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or post-processor: none, a single one, or sequences of them."""
    if value is None:
        return []
    if isinstance(value, dict) and sequence not in value:
        return [value]
    steps = value[sequence] if isinstance(value, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise _refused(f"has {sequence} that are not a list of objects")
    return [inner for step in steps for inner in _steps(step, sequence)]


def _list(value: Any, what: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _refused(f"has {what} that are not a list")
    return value or []


def _refused(fault: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint's tokenizer cannot be used: tokenizer.json {fault}.")
