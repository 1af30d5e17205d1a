"""Passages are balanced over languages and domains for any set of texts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.corpus.passages import SHORTEST_PASSAGE, choose
from edgemed.corpus.texts import Text
from edgemed.engine.scoring_model import Encoded
from edgemed.errors import TextsError

LENGTH = 40


def encode(text: Text) -> Encoded:
    """One token per character, after two tokens of a template."""
    return Encoded([0, 0, *map(ord, text.text)], 2)


TEXTS = st.lists(
    st.builds(
        lambda language, domain, size: (language, domain, size),
        st.sampled_from(["en", "zh"]),
        st.sampled_from("abc"),
        st.integers(0, 150),
    ),
    max_size=30,
).map(lambda parts: [Text(str(number), d, lang, text="x" * n) for number, (lang, d, n) in enumerate(parts)])


@given(TEXTS, st.integers(1, 2000), st.randoms())
def test_passages_are_balanced(texts: list[Text], tokens: int, random) -> None:  # type: ignore[no-untyped-def]
    usable = sum(len(text.text) for text in texts if len(text.text) >= SHORTEST_PASSAGE)
    if not usable:
        with pytest.raises(TextsError, match="too short"):
            choose(texts, encode, tokens, LENGTH)
        return
    passages = choose(texts, encode, tokens, LENGTH)
    shuffled = random.sample(texts, len(texts))
    assert choose(shuffled, encode, tokens, LENGTH) == passages
    total = sum(len(passage.tokens) for passage in passages)
    assert total < tokens + LENGTH
    assert all(2 <= len(passage.tokens) <= LENGTH and passage.positions > 0 for passage in passages)
    # Within a language, no domain is more than one passage ahead of another that still has text left.
    read = Counter[tuple[str, str]]()
    for passage in passages:
        read[passage.language, passage.domain] += len(passage.tokens)
    there = Counter[tuple[str, str]]()
    for text in texts:
        encoded = encode(text).tokens
        for at in range(0, len(encoded), LENGTH):
            part = encoded[at : at + LENGTH]
            least = SHORTEST_PASSAGE + (2 if at == 0 else 0)
            if len(part) < least:
                break
            there[text.language, text.domain] += len(part)
    for key, available in there.items():
        rivals = [count for other, count in read.items() if other[0] == key[0]]
        assert read[key] == available or read[key] + LENGTH >= max(rivals, default=0)


def test_long_text_continues_after_the_others() -> None:
    texts = [Text("long", "d", "en", text="x" * 100), Text("short", "d", "en", text="y" * 20)]
    passages = choose(texts, encode, 1000, LENGTH)
    assert sorted(passage.name for passage in passages) == ["long", "long~1", "long~2", "short"]
    assert sum(len(passage.tokens) for passage in passages) == 2 + 100 + 2 + 20
    assert {passage.name: passage.first for passage in passages} == {"long": 1, "long~1": 0, "long~2": 0, "short": 1}
