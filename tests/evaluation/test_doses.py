"""Tokens that carry doses are found however the words are split into tokens."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.evaluation.doses import carry_dose


def marked(text: str) -> str:
    """The text with every character that carries no dose replaced by a dot."""
    pieces = [character.encode() for character in text]
    return "".join(c if carries else "." for c, carries in zip(text, carry_dose(pieces), strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("take 2.5 mg twice daily", ".....2.5.mg.twice.daily"),
        ("amoxicillin 500mg", "amoxicillin.500mg"),
        ("do not give with warfarin", "...not...........warfarin"),
        ("the patient doesn't smoke", "............doesn't......"),
        ("口服阿莫西林0.5克，每日3次", "口服阿莫西林0.5克.每日3次"),
        ("不可与华法林同服", "不..华法林.."),
        ("cholesterol and peptides, a person with a concept", "." * 49),
        ("note nothing notable", "." * 20),
        ("支气管升高克服片段", "........."),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert marked(text) == expected


@given(st.lists(st.binary(max_size=6), max_size=20))
def test_any_bytes(pieces: list[bytes]) -> None:
    assert carry_dose(pieces).shape == (len(pieces),)


@given(st.text(alphabet="5 mg西林不no\u00b5x\n", max_size=40), st.data())
def test_cuts_change_nothing(text: str, data: st.DataObject) -> None:
    """A token carries a dose if and only if one of its bytes, as a token by itself, does."""
    whole = text.encode()
    single = carry_dose([bytes([byte]) for byte in whole])
    places = sorted(data.draw(st.sets(st.integers(0, len(whole)))) | {0, len(whole)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(places)]
    expected = [bool(single[a:b].any()) for a, b in itertools.pairwise(places)]
    assert carry_dose(pieces).tolist() == expected
