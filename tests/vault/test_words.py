"""Passphrases and recovery words as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.errors import VaultError
from edgemed.vault import words


def test_a_suggested_passphrase_has_five_words_and_is_accepted() -> None:
    suggested = {words.suggest_passphrase() for _ in range(20)}
    assert len(suggested) == 20
    for passphrase in suggested:
        assert len(passphrase.split()) == 5
        words.refuse_weak(passphrase)


@pytest.mark.parametrize("passphrase", ["short", "aaaaaaaaaaaaaaaa", "abababababababab", "胸痛", "     a     b     "])
def test_a_short_passphrase_is_refused_with_the_rule(passphrase: str) -> None:
    with pytest.raises(VaultError, match="at least 12 characters"):
        words.refuse_weak(passphrase)


def test_a_number_is_refused_however_long() -> None:
    with pytest.raises(VaultError, match="needs letters"):
        words.refuse_weak("138 0013 8000 1985-06-21")


@pytest.mark.parametrize("passphrase", ["abcdef ghijk", "急诊科夜班真累", "p@ssw0rd-1985"])
def test_a_long_enough_passphrase_is_accepted(passphrase: str) -> None:
    words.refuse_weak(passphrase)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_passphrase_is_refused(text: str) -> None:
    with pytest.raises(VaultError, match="is empty"):
        words.passphrase_bytes(text)


def test_bytes_that_are_no_text_and_long_texts_are_refused() -> None:
    with pytest.raises(VaultError, match="not UTF-8"):
        words.passphrase_bytes("abc\udcff")
    with pytest.raises(VaultError, match="longer than"):
        words.passphrase_bytes("x" * 2000)


def test_an_input_method_and_blanks_do_not_change_a_passphrase() -> None:
    assert words.passphrase_bytes("  Ａｂｃ　１２３\n") == words.passphrase_bytes("Abc 123")
    assert words.passphrase_bytes("abc") != words.passphrase_bytes("Abc")


@given(seed=st.binary(min_size=32, max_size=32), data=st.data())
def test_recovery_words_are_forgiven_case_blanks_and_numbers(seed: bytes, data: st.DataObject) -> None:
    recovery = words._list().to_mnemonic(seed).split()
    blank = st.sampled_from([" ", "  ", "\n", "\t", ", ", " 7. "])
    typed = "".join(
        data.draw(st.sampled_from([word, word.upper(), word.title()])) + data.draw(blank) for word in recovery
    )
    assert words.recovery_entropy(typed) == seed
    assert words.typing_error(typed) is None


def test_mistakes_in_recovery_words_are_named_without_repeating_a_word() -> None:
    recovery = ["abandon"] * 23 + ["art"]
    assert words.recovery_entropy(" ".join(recovery)) == bytes(32)
    assert "23 were typed" in str(words.typing_error(" ".join(recovery[:-1])))
    wrong = [*recovery[:6], "patientname", *recovery[7:]]
    assert words.typing_error(" ".join(wrong)) == "Recovery word 7 is not on the list; compare it with the paper."
    assert "checksum" in str(words.typing_error(" ".join([*recovery[:-1], "zoo"])))
    assert words.typing_error("correct horse battery staple") is None
