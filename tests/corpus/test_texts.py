"""Rows of many kinds become texts; unusable ones are refused with a sentence."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.corpus.texts import MOST_DOMAINS, Question, Text, language_of, read_texts
from edgemed.errors import TextsError


def write(folder: Path, *rows: Any, name: str = "some.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), "utf-8")
    return path


def one(folder: Path, row: dict[str, Any]) -> Text:
    (text,), questions = read_texts([write(folder, row)], "eval")
    assert questions == []
    return text


def test_question_with_context_becomes_a_conversation(tmp_path: Path) -> None:
    text = one(tmp_path, {"question": "Why?", "context": ["One.", "Two."], "long_answer": "So.", "label": "yes"})
    assert text.turns == (("user", "One.\n\nTwo.\n\nWhy?"), ("assistant", "So."))
    assert (text.name, text.domain, text.language) == ("some.jsonl:1", "some", "en")


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"question": "q", "answer": "a"}, (("user", "q"), ("assistant", "a"))),
        ({"messages": [{"role": "system", "content": "s"}]}, (("system", "s"),)),
        (
            {"turns": [{"speaker": "patient", "text": "p"}, {"speaker": "doctor", "text": "d"}]},
            (("user", "p"), ("assistant", "d")),
        ),
        (
            {"case": "c", "qa": [{"question": "1", "answer": "a"}, {"question": "2", "answer": "b"}]},
            (("user", "c\n\n1"), ("assistant", "a"), ("user", "2"), ("assistant", "b")),
        ),
    ],
)
def test_conversations(tmp_path: Path, row: dict[str, Any], turns: object) -> None:
    assert one(tmp_path, row).turns == turns


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "# T\n\nwords", "title": "T"}, "# T\n\nwords"),
        ({"definition": "A disease.", "name": "gout"}, "gout\nA disease."),
        ({"turns": [{"speaker": "doctor", "text": "d"}], "note": "n"}, "doctor: d\n\nn"),
    ],
)
def test_plain_texts(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    found = one(tmp_path, row)
    assert (found.text, found.turns) == (text, ())


def test_translation_becomes_two_texts(tmp_path: Path) -> None:
    texts, _ = read_texts([write(tmp_path, {"en": "cough", "zh": "咳嗽"})], "eval")
    assert [(text.language, text.text) for text in texts] == [("en", "cough"), ("zh", "咳嗽")]


@pytest.mark.parametrize("options", [{"A": "x", "B": "y"}, ["x", "y"]])
@pytest.mark.parametrize("answer", ["B", 1])
def test_multiple_choice(tmp_path: Path, options: object, answer: object) -> None:
    _, questions = read_texts([write(tmp_path, {"question": "q", "options": options, "answer": answer})], "eval")
    assert questions == [Question("some.jsonl:1", "some", "en", "q", ("x", "y"), 1)]
    assert questions[0].turns[0][1].startswith("q\nA. x\nB. y\n")


def test_domain_language_and_split_of_a_row_take_precedence(tmp_path: Path) -> None:
    rows = [{"text": "a", "split": "calib"}, {"text": "b", "split": "eval", "domain": "d", "lang": "fr"}, {"text": "c"}]
    texts, _ = read_texts([write(tmp_path, *rows)], "eval")
    assert [(text.text, text.domain, text.language) for text in texts] == [("b", "d", "fr"), ("c", "some", "en")]


def test_plain_file_is_split_without_loss(tmp_path: Path) -> None:
    lines = "".join(f"Line {number} of a long text.\n" for number in range(3000))
    (tmp_path / "book.txt").write_text(lines)
    texts, _ = read_texts([tmp_path / "book.txt"], "eval")
    assert len(texts) > 2
    assert "".join(text.text for text in texts) == lines
    assert len({text.name for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{broken", "Line 2 of .* is not JSON"),
        ("[" * 100_000, "Line 2 of .* is not JSON"),
        ("[1]", "Line 2 of .* is not a JSON object"),
        ('{"text": "a", "domain": "\\ud800"}', "Line 2 of .* has an escape for half of a surrogate pair"),
        ('{"text": "a \\uDFFF"}', "Line 2 of .* has an escape for half of a surrogate pair"),
        ('{"other": 1}', "Line 2 of .* has none of the fields that edgemed reads"),
        ('{"text": 7}', "Line 2 of .* has a `text` that is not a text"),
        ('{"turns": []}', "Line 2 of .* has a `turns`"),
        ('{"messages": [{"role": "tool", "content": "x"}]}', "`role` that is not system, user or assistant"),
        ('{"question": "q", "options": ["x"], "answer": 0}', "`options` that is not 2 to 26 texts"),
        ('{"question": "q", "options": ["x", "y"], "answer": "C"}', "`answer` that is not the letter"),
        ('{"question": "q", "options": ["x", "y"], "answer": true}', "`answer` that is not the letter"),
    ],
)
def test_error_names_the_bad_line(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(TextsError, match=sentence):
        read_texts([write(tmp_path, {"text": "good"}, line)], "eval")


def test_missing_empty_and_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\0")
    (tmp_path / "empty.txt").write_text(" \n")
    cases = {
        tmp_path / "missing.txt": "cannot be read",
        tmp_path / "binary.txt": "is not UTF-8",
        tmp_path / "empty.txt": "has no texts of the split",
        write(tmp_path, {"text": "a", "split": "train"}): "no texts of the split eval",
    }
    for path, sentence in cases.items():
        with pytest.raises(TextsError, match=sentence):
            read_texts([path], "eval")
    with pytest.raises(TextsError, match="Two files have the name some"):
        read_texts([write(tmp_path, {"text": "a"})] * 2, "eval")


def test_surrogate_pair_is_one_character(tmp_path: Path) -> None:
    texts, _ = read_texts([write(tmp_path, '{"text": "\\ud83d\\ude00", "domain": "\\\\ud800"}')], "eval")
    assert (texts[0].text, texts[0].domain) == ("😀", "\\ud800")


def test_too_many_domains_are_refused(tmp_path: Path) -> None:
    """A different domain in every row would cost hours and gigabytes."""
    rows = [{"text": "A cough.", "domain": f"patient {number}"} for number in range(MOST_DOMAINS + 1)]
    assert len(read_texts([write(tmp_path, *rows[1:])], "eval")[0]) == MOST_DOMAINS
    with pytest.raises(TextsError, match="have 1,025 domains"):
        read_texts([write(tmp_path, *rows)], "eval")


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_an_endless_file_is_refused(tmp_path: Path, suffix: str) -> None:
    pipe, endless = tmp_path / f"pipe{suffix}", tmp_path / f"endless{suffix}"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        with pytest.raises(TextsError, match="cannot be read: it is not a regular file"):
            read_texts([path], "eval")


def test_a_file_name_that_is_not_utf8_gives_a_printable_domain(tmp_path: Path) -> None:
    for suffix, content in ((b".txt", "Plain."), (b".jsonl", '{"text": "A row."}')):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9" + suffix))
        path.write_text(content)
        (text,) = read_texts([path], "eval")[0]
        assert text.domain == "caf\\xe9"
        assert text.name.startswith("caf\\xe9" + suffix.decode())


@given(st.text())
def test_every_text_has_a_language(text: str) -> None:
    assert language_of(text) in ("en", "zh")
    assert language_of(text + "头痛三天" * (len(text) + 1)) == "zh"


def test_a_few_words_of_chinese_do_not_make_an_english_text_chinese() -> None:
    assert language_of("Fever 发热 (fever) for three days, no cough, no rash") == "en"
