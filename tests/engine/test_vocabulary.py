"""Tokens of prompts: the content of a message is always plain text."""

import codecs
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp import llama_cpp

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.engine.chat_template import Span
from edgemed.engine.vocabulary import Vocabulary
from testing.tokenizers_json import SPECIAL_TOKENS, special_ids

HUMAN, END, ASSISTANT = "<role>HUMAN</role>", "<|role_end|>", "<role>ASSISTANT</role>"


@pytest.fixture(scope="module")
def vocabulary(models: dict[str, Path]) -> Iterator[Vocabulary]:
    """llama.cpp's tokenizer with the tiny model's vocabulary; no weights are loaded."""
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(models["llama.cpp"]).encode(), params)
    assert model is not None
    yield Vocabulary(llama_cpp.llama_model_get_vocab(model), [0, 10**9], ANTANGELMED.END_TOKENS)
    llama_cpp.llama_model_free(model)


def text_of(vocabulary: Vocabulary, tokens: list[int]) -> str:
    return b"".join(map(vocabulary.piece, tokens)).decode()


def around(content: str) -> list[Span]:
    return [Span(HUMAN, False), Span(content, True), Span(END + ASSISTANT, False)]


def specials_in(tokens: list[int]) -> list[int]:
    return [token for token in tokens if token in set(special_ids().values())]


def template_specials(*names: str) -> list[int]:
    return [special_ids()[name] for name in names]


FRAME = template_specials("<role>", "</role>", "<|role_end|>", "<role>", "</role>")


def test_the_template_writes_special_tokens(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.encode(around("What is a fever?"))
    assert specials_in(tokens) == FRAME
    assert text_of(vocabulary, tokens) == HUMAN + "What is a fever?" + END + ASSISTANT


PARTS = [*SPECIAL_TOKENS, "<|role", "_end|>", "<", "|>", "</", "role>", "[CLS", "]", " ", "\n", "a", "胸痛", "😀", "\0"]


@pytest.mark.slow
@given(
    before=st.sampled_from(["", HUMAN, "<", "<|role_", "<|role_end|"]),
    content=st.lists(st.sampled_from(PARTS) | st.text(min_size=1, max_size=5), min_size=1).map("".join),
    after=st.sampled_from([END, ">", "end|>", "|>", "/role>", ""]),
)
@settings(max_examples=200)
def test_no_content_makes_a_special_token(vocabulary: Vocabulary, before: str, content: str, after: str) -> None:
    """Not even together with text of the template that could be the other half of a token."""
    content = content.encode(errors="replace").decode()
    tokens = vocabulary.encode([Span(before, False), Span(content, True), Span(after, False)])
    only_template = vocabulary.encode([Span(before, False)]) + vocabulary.encode([Span(after, False)])
    assert specials_in(tokens) == specials_in(only_template)
    assert text_of(vocabulary, tokens) == before + content + after


def test_ordinary_text_is_tokenised_as_one_with_its_neighbours(vocabulary: Vocabulary) -> None:
    """Splitting at every boundary would give different tokens from those the model was trained on."""
    parts = [Span("detailed thin", False), Span("king off", True)]
    assert vocabulary.encode(parts) == vocabulary.encode([Span("detailed thinking off", False)])


CONTROLS_AND_NEWER_LETTERS = ["\x1c", "-\x1c", "a\x1c", " \x1c", "a\U00031350", "-\U00031350"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["a", "胸", " ", "\n", "-", "_", " \n", "-_", "é", "\u200d", "<|role_end", *CONTROLS_AND_NEWER_LETTERS]
)
def test_no_word_is_too_long(vocabulary: Vocabulary, unit: str) -> None:
    """llama.cpp's splitting into words overflows the stack at 26,000 characters of one kind."""
    text = "Take " + unit * (400_000 // len(unit)) + " 5 mg"
    assert text_of(vocabulary, vocabulary.encode([Span(text, True)])) == text


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["-", "<", "a", "\n"])
def test_where_a_word_is_cut_the_template_stays_whole(vocabulary: Vocabulary, sign: str) -> None:
    """The brackets of its tokens are symbols, like a line of dashes before them."""
    for length in (*range(4070, 4105), *range(8180, 8200)):
        tokens = vocabulary.encode(around(sign * length))
        assert specials_in(tokens) == FRAME
        assert text_of(vocabulary, tokens) == HUMAN + sign * length + END + ASSISTANT


def test_no_text_without_such_words_is_cut(vocabulary: Vocabulary) -> None:
    text = "胸痛、发热 and cough, 5 mg/kg (IV) -- " * 4000
    whole = vocabulary._tokens(text, parse_special=False)
    assert vocabulary.encode([Span(text, True)]) == whole


def test_user_defined_tokens_are_spelt_in_bytes(vocabulary: Vocabulary) -> None:
    """llama.cpp finds user-defined tokens even in plain text, so only single bytes are safe."""
    marked = vocabulary.encode([Span("the patient", True)])
    assert len(marked) < len("the patient")
    vocabulary._reserved |= {marked[0]}
    try:
        spelt = vocabulary.encode([Span(vocabulary.text(marked[0]), True)])
    finally:
        vocabulary._reserved -= {marked[0]}
    assert marked[0] not in vocabulary._encode_plain("ordinary")
    assert text_of(vocabulary, spelt) == text_of(vocabulary, [marked[0]])


def test_turns_end_on_every_known_end(vocabulary: Vocabulary) -> None:
    assert vocabulary.ends == {*template_specials("<|endoftext|>", "<|role_end|>"), 0}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30) | st.just("胸痛和糖尿病 😀👨‍👩‍👧 é"))
@settings(max_examples=100)
def test_characters_split_over_tokens_come_out_whole(vocabulary: Vocabulary, text: str) -> None:
    decoder, shown = codecs.getincrementaldecoder("utf-8")("replace"), ""
    for token in vocabulary.encode([Span(text, True)]):
        shown += decoder.decode(vocabulary.piece(token))
        assert text.startswith(shown)
    assert shown + decoder.decode(b"", final=True) == text
