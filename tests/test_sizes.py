"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.errors import UsageError
from edgemed.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 << 30),
        ("8 gib", 8 << 30),
        ("1.5MiB", 3 << 19),
        ("500MB", 500_000_000),
        ("2kB", 2000),
        ("1TB", 10**12),
        ("123", 123),
        ("7B", 7),
    ],
)
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "8GiBs", "-1GiB", "0", "0.1B", "1e9", "8 G iB", "nan", "٣MB", "1..2MB"])
def test_invalid_size_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size; write for example 8GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1 << 30, "1 GiB"), (8_000_000_000, "7.45 GiB"), (150 << 20, "150 MiB")],
)
def test_sizes_are_formatted(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 1 << 50))
def test_formatted_sizes_parse_back_within_their_digits(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size * 0.006
