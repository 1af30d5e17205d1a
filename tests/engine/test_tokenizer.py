"""llama.cpp with the tokenizer that convert writes gives the same ids as the `tokenizers` library."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from gguf import GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp import llama_cpp

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.demo import checkpoint_path
from edgemed.engine.chat_template import Span
from edgemed.engine.vocabulary import Vocabulary

BUNDLED: list[str] = json.loads((Path(__file__).parents[1] / "data" / "texts.json").read_text("utf-8"))
SHARED = Path(__file__).parents[3] / "shared" / "data"
SHARED_STRINGS = 5000

Encode = Callable[[str], list[int]]


@pytest.fixture(scope="module")
def theirs() -> tokenizers.Tokenizer:
    """The tokenizer of the demonstration checkpoint, trained on medical text."""
    return tokenizers.Tokenizer.from_file(str(checkpoint_path() / "tokenizer.json"))


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    """The same tokenizer as a GGUF without tensors."""
    folder = checkpoint_path()
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.gguf"
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    writer = GGUFWriter(path, "bailingmoe2")
    read_tokenizer(folder, replace(ANTANGELMED, n_vocab=rows)).write(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert model is not None
    yield Vocabulary(llama_cpp.llama_model_get_vocab(model), (), ANTANGELMED.END_TOKENS)
    llama_cpp.llama_model_free(model)


@pytest.fixture(scope="module")
def ours(vocabulary: Vocabulary) -> Encode:
    return lambda text: vocabulary.encode([Span(text, from_message=True)])


def ids(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def test_a_bundled_hundred(ours: Encode, theirs: tokenizers.Tokenizer) -> None:
    assert len(set(BUNDLED)) >= 100
    assert [text for text in BUNDLED if ours(text) != ids(theirs, text)] == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data folder is not beside this checkout")
def test_five_thousand_strings_of_the_data(ours: Encode, theirs: tokenizers.Tokenizer) -> None:
    strings = list(_strings_of_the_data())
    assert len(strings) == SHARED_STRINGS
    assert sum("\u4e00" <= character <= "\u9fff" for text in strings for character in text) > 10_000
    assert [text for text in strings if ours(text) != ids(theirs, text)] == []


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.sampled_from([*BUNDLED, " ", "\n", "'", "\r"]) | st.text(max_size=8)).map("".join))
def test_anything_joined(ours: Encode, theirs: tokenizers.Tokenizer, text: str) -> None:
    assert ours(text) == ids(theirs, text)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.text(max_size=60))
def test_ids_spell_the_text(vocabulary: Vocabulary, ours: Encode, text: str) -> None:
    assert b"".join(vocabulary.piece(token) for token in ours(text)) == text.encode()


def test_the_template_s_special_tokens(vocabulary: Vocabulary, theirs: tokenizers.Tokenizer) -> None:
    """Both parse the template's text into the same special ids."""
    system = "<role>SYSTEM</role>detailed thinking off<|role_end|>"
    prompt = system + "<role>HUMAN</role>什么是糖尿病？\n<|role_end|><role>ASSISTANT</role>"
    assert vocabulary.encode([Span(prompt, from_message=False)]) == ids(theirs, prompt)


def _strings_of_the_data() -> Iterator[str]:
    """Pieces of the texts of every file, of all lengths from 1 to 400 characters, evenly spaced."""
    files = sorted(SHARED.glob("*.jsonl"))
    for number, file in enumerate(files):
        lines = file.read_text("utf-8").strip().split("\n")  # splitlines would also cut at U+2028
        wanted = SHARED_STRINGS * (number + 1) // len(files) - SHARED_STRINGS * number // len(files)
        for i in range(wanted):
            texts = list(_texts(json.loads(lines[i * len(lines) // wanted])))
            text = texts[i % len(texts)]
            start = (97 * i) % max(1, len(text) - 200)
            yield text[start : start + 1 + (37 * i) % 400]


def _texts(value: Any) -> Iterator[str]:
    """Every non-empty string inside a JSON value."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
