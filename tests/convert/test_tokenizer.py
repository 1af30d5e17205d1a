"""tokenizer.json is converted into GGUF keys."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import CheckpointError
from testing import tokenizers_json

IDS = tokenizers_json.special_ids()
ROWS = tokenizers_json.vocab_size()
MODEL = replace(ANTANGELMED, n_vocab=ROWS)
Change = Callable[[dict[str, Any]], None]


def folder_with(
    tmp_path: Path, change: Change = lambda document: None, config: dict[str, Any] | None = None, **files: Any
) -> Path:
    document = json.loads(json.dumps(tokenizers_json.tokenizer_json()))
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizers_json.tokenizer_config() | (config or {})))
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_token_rows_types_and_ids(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(folder_with(tmp_path), MODEL)
    assert len(tokenizer.tokens) == len(tokenizer.kinds) == ROWS == len(set(tokenizer.tokens))
    assert tokenizer.pre == "bailingmoe2"
    assert (tokenizer.bos, tokenizer.eos) == (IDS["<|startoftext|>"], IDS["<|endoftext|>"])
    assert (tokenizer.add_bos, tokenizer.add_eos) == (False, False)
    assert tokenizer.kinds[IDS["<|role_end|>"]] == TokenType.CONTROL
    assert tokenizer.kinds[0] == TokenType.NORMAL
    last = max(IDS.values())
    assert tokenizer.tokens[last + 1 :] == [f"[PAD{n}]" for n in range(last + 1, ROWS)]
    assert set(tokenizer.kinds[last + 1 :]) <= {TokenType.UNUSED}
    assert all(merge.count(" ") == 1 for merge in tokenizer.merges)


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


@pytest.mark.parametrize(
    ("normalizer", "notes"),
    [
        (sequence(), 0),
        (sequence(sequence(), sequence()), 0),
        (sequence({"type": "NFC"}), 1),
        (sequence(sequence({"type": "NFC"}), {"type": "NFC"}), 1),
    ],
)
def test_other_spellings_of_no_normalizer_and_of_nfc(tmp_path: Path, normalizer: dict[str, Any], notes: int) -> None:
    tokenizer = read_tokenizer(folder_with(tmp_path, lambda document: document.update(normalizer=normalizer)), MODEL)
    assert len(tokenizer.notes) == notes


@pytest.mark.parametrize(
    "normalizer",
    [
        sequence({"type": "NFC"}, {"type": "Lowercase"}),
        sequence({"type": "NFKC"}),
        sequence(sequence({"type": "Strip"})),
    ],
)
def test_any_other_normalizer_is_refused(tmp_path: Path, normalizer: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="normalises text in a way that"):
        read_tokenizer(folder_with(tmp_path, lambda document: document.update(normalizer=normalizer)), MODEL)


def test_pre_tokenizers_in_nested_sequences(tmp_path: Path) -> None:
    def nest(document: dict[str, Any]) -> None:
        inner = document["pre_tokenizer"]
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [inner]}

    assert read_tokenizer(folder_with(tmp_path, nest), MODEL).pre == "bailingmoe2"


@pytest.mark.parametrize("absent", ["", None, {"content": ""}, {"content": None, "special": True}])
def test_absent_special_tokens(tmp_path: Path, absent: object) -> None:
    config = dict.fromkeys(("bos_token", "eos_token", "pad_token"), absent)
    tokenizer = read_tokenizer(folder_with(tmp_path, config=config), MODEL)
    assert (tokenizer.bos, tokenizer.pad) == (None, None)
    assert set(tokenizer.ends) == {IDS["<|endoftext|>"], IDS["<|role_end|>"]}


def test_both_end_of_turn_tokens_are_always_set(tmp_path: Path) -> None:
    both = {IDS["<|endoftext|>"], IDS["<|role_end|>"]}
    for eos, listed in (
        ("<|endoftext|>", IDS["<|endoftext|>"]),
        ("<|role_end|>", [IDS["<|endoftext|>"], IDS["<|role_end|>"]]),
        ({"content": "<|role_end|>", "special": True}, None),
        (None, [IDS["<|role_end|>"]]),
    ):
        folder = folder_with(
            tmp_path, config={"eos_token": eos}, generation_config={"eos_token_id": listed}, config_={}
        )
        tokenizer = read_tokenizer(folder, MODEL)
        assert set(tokenizer.ends) == both
        assert tokenizer.ends[0] == tokenizer.eos


def test_further_end_tokens_of_generation_config_are_kept(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, generation_config={"eos_token_id": [5, 7]})
    assert set(read_tokenizer(folder, MODEL).ends) == {5, 7, IDS["<|endoftext|>"], IDS["<|role_end|>"]}


def test_merges_in_the_older_format(tmp_path: Path) -> None:
    def join(document: dict[str, Any]) -> None:
        document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]

    newer = read_tokenizer(folder_with(tmp_path), MODEL).merges
    assert read_tokenizer(folder_with(tmp_path, join), MODEL).merges == newer


def test_added_tokens_that_are_not_special_are_text(tmp_path: Path) -> None:
    def unmark(document: dict[str, Any]) -> None:
        for entry in document["added_tokens"]:
            entry["special"] = False

    tokenizer = read_tokenizer(folder_with(tmp_path, unmark), MODEL)
    assert tokenizer.kinds[IDS["<role>"]] == TokenType.USER_DEFINED
    assert tokenizer.kinds[IDS["<|role_end|>"]] == TokenType.CONTROL


def test_bos_from_a_post_processor(tmp_path: Path) -> None:
    def template(document: dict[str, Any]) -> None:
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<|startoftext|>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
        }

    tokenizer = read_tokenizer(folder_with(tmp_path, template), MODEL)
    assert (tokenizer.add_bos, tokenizer.add_eos) == (True, False)


def test_chat_template_sources(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    assert read_tokenizer(folder_with(tmp_path), MODEL).chat_template == tokenizers_json.CHAT_TEMPLATE
    assert read_tokenizer(folder_with(tmp_path, config={"chat_template": named}), MODEL).chat_template == "D"
    assert read_tokenizer(folder_with(tmp_path, config={"chat_template": None}), MODEL).chat_template is None
    (tmp_path / "chat_template.jinja").write_text("J")
    assert read_tokenizer(folder_with(tmp_path), MODEL).chat_template == "J"


def test_composition_is_noted(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(
        folder_with(tmp_path, lambda document: document.update(normalizer={"type": "NFC"})), MODEL
    )
    assert "NFC" in tokenizer.notes[0]


def split(document: dict[str, Any]) -> dict[str, Any]:
    step: dict[str, Any] = document["pre_tokenizer"]["pretokenizers"][0]
    return step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: split(d)["pattern"].update(Regex=r"\p{N}{1,3}|\s+"), "not among the expressions"),
        (lambda d: split(d).update(behavior="Removed"), "not among the expressions"),
        (lambda d: d["pre_tokenizer"]["pretokenizers"].pop(), "unknown pre-tokenizer"),
        (lambda d: d.update(pre_tokenizer=None), "unknown pre-tokenizer"),
        (lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(use_regex=True), "second time"),
        (lambda d: d["model"].update(type="Unigram"), "byte-level BPE"),
        (lambda d: d["model"].update(byte_fallback=True), "byte_fallback"),
        (lambda d: d["model"].update(vocab={}), "no vocabulary"),
        (lambda d: d["model"]["vocab"].update(zz=ROWS), "the id"),
        (lambda d: d["model"]["vocab"].update(zz=-1), "the id"),
        (lambda d: d["model"]["vocab"].update(zz=0), "two tokens"),
        (lambda d: d["added_tokens"].append({"id": ROWS - 1, "content": "!"}), "two ids"),
        (lambda d: d["added_tokens"].append("x"), "without text"),
        (lambda d: d["model"]["merges"].append(["a"]), "not a pair"),
        (lambda d: d["model"]["merges"].append(["a", "b c"]), "space"),
        (lambda d: d["model"].update(merges={}), "not a list"),
        (lambda d: d.update(normalizer={"type": "Lowercase"}), "normalises"),
    ],
)
def test_tokenizers_unsupported_by_llama_cpp_are_refused(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_tokenizer(folder_with(tmp_path, change), MODEL)


@pytest.mark.parametrize(
    "files",
    [
        {"config": {"eos_token": "<nowhere>"}},
        {"generation_config": {"eos_token_id": ROWS}},
        {"config": {"chat_template": 3}},
    ],
)
def test_contradicting_tokenizer_files_are_refused(tmp_path: Path, files: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        read_tokenizer(folder_with(tmp_path, **files), MODEL)
