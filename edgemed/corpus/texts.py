"""Texts for calibration and evaluation, from JSONL or plain text files.

A JSONL row is a conversation (`messages`, `turns`, or `question` and `answer`, optionally with a `context` or a
`case`), a pair of translations (`en` and `zh`), a multiple-choice question (`question`, `options`, `answer`), or a
plain text (`text`, `abstract`, `definition`, `content` or `case`). `domain`, `lang` and `split` are optional: without
them, the domain is the file's name, the language follows from the script, and the row belongs to every split. Any other
file is plain text in UTF-8.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemed.errors import TextsError
from edgemed.sizes import file_size

PLAIN_FIELDS = ("text", "abstract", "definition", "content", "case")
TITLES = ("title", "name")
MOST_OPTIONS = 26
MOST_DOMAINS = 1024  # statistics count every expert's use per domain: 200 kB per domain for AntAngelMed
PART_CHARACTERS = 20_000  # a plain text file is cut into parts of about this length, between lines
_SPEAKERS = {
    "patient": "user",
    "user": "user",
    "human": "user",
    "doctor": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
}
_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Text:
    """One text. `name` is unique: file and line. A conversation has `turns` of (role, content) and no `text`."""

    name: str
    domain: str
    language: str
    text: str = ""
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question; `answer` is the index of the right option."""

    name: str
    domain: str
    language: str
    question: str
    options: tuple[str, ...]
    answer: int

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """The prompt for a model: it asks for one letter."""
        listed = [f"{letter_of(number)}. {option}" for number, option in enumerate(self.options)]
        asked = (
            "只回答正确选项的字母。" if self.language == "zh" else "Answer with the letter of the right option only."
        )
        return (("user", "\n".join([self.question, *listed, asked])),)


def letter_of(number: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + number)


def read_texts(paths: Sequence[Path], split: str) -> tuple[list[Text], list[Question]]:
    """All texts and questions that belong to `split` or to no split.

    Raises TextsError for a file that cannot be read or has nothing to use (with the line's number), or for too many
    domains.
    """
    texts: list[Text] = []
    questions: list[Question] = []
    stems: set[str] = set()
    for path in paths:
        if path.name in stems:
            raise TextsError(f"Two files have the name {path.name}; rename one, or leave it out if they are the same.")
        stems.add(path.name)
        before = len(texts) + len(questions)
        try:
            file_size(path)
            found = _rows(path, split) if path.suffix == ".jsonl" else _parts(path)
            for one in found:
                (questions if isinstance(one, Question) else texts).append(one)  # type: ignore[arg-type]
        except OSError as error:
            raise TextsError(f"The file of texts {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise TextsError(f"The file of texts {path} is not UTF-8; convert it first.") from None
        if len(texts) + len(questions) == before:
            raise TextsError(
                f"The file {path} has no texts of the split {split}; leave it out, or check its `split` fields."
            )
    domains = {text.domain for text in texts} | {question.domain for question in questions}
    if len(domains) > MOST_DOMAINS:
        raise TextsError(
            f"The texts have {len(domains):,} domains, but the limit is {MOST_DOMAINS:,}; give related rows the same "
            "`domain`, or combine plain texts into fewer files."
        )
    return texts, questions


def language_of(text: str) -> str:
    """`zh` if at least a quarter of the letters are Chinese, otherwise `en`."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and 4 * len(_HAN.findall(text)) >= letters else "en"


def _parts(path: Path) -> Iterator[Text]:
    """A plain text file in parts."""
    lines: list[str] = []
    size = number = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            lines.append(line)
            size += len(line)
            if size >= PART_CHARACTERS:
                yield from _part(path, number, "".join(lines))
                lines, size, number = [], 0, number + 1
    yield from _part(path, number, "".join(lines))


def _as_text(name: str) -> str:
    """A file name as valid UTF-8 text; its bytes need not be UTF-8."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _part(path: Path, number: int, text: str) -> Iterator[Text]:
    if text.strip():
        yield Text(f"{_as_text(path.name)}#{number}", _as_text(path.stem), language_of(text), text=text)


def _rows(path: Path, split: str) -> Iterator[Text | Question]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"Line {number} of {path}"
            try:
                row = json.loads(line.decode("utf-8"))
                if b"\\ud" in line.lower():
                    json.dumps(row, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise TextsError(
                    f"{where} has an escape for half of a surrogate pair, which is not text; correct or remove it."
                ) from None
            except (ValueError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
                raise TextsError(f"{where} is not JSON ({reason}); correct or remove it.") from None
            if not isinstance(row, dict):
                raise TextsError(f"{where} is not a JSON object; correct or remove it.")
            if row.get("split", split) == split:
                yield from _Row(row, where, f"{_as_text(path.name)}:{number}", _as_text(path.stem)).read()


class _Row:
    """Reads one JSONL row. Raises TextsError for a field of the wrong kind."""

    def __init__(self, row: dict[str, Any], where: str, name: str, stem: str) -> None:
        self.row, self.where, self.name = row, where, name
        self.domain = self.string("domain") if "domain" in row else stem

    def read(self) -> Iterator[Text | Question]:
        row = self.row
        if "options" in row:
            yield self.multiple_choice()
        elif "messages" in row:
            yield self.conversation([(self.role(turn, "role"), self.of(turn, "content")) for turn in self.list_of()])
        elif "turns" in row:
            yield self.dialogue()
        elif "question" in row and ("answer" in row or "long_answer" in row):
            asked = "\n\n".join([*self.context(), self.string("question")])
            answer = self.string("answer" if "answer" in row else "long_answer")
            yield self.conversation([("user", asked), ("assistant", answer)])
        elif "qa" in row:
            yield self.case()
        elif "en" in row and "zh" in row:
            for language in ("en", "zh"):
                yield Text(f"{self.name}:{language}", self.domain, language, text=self.string(language))
        else:
            yield self.plain()

    def multiple_choice(self) -> Question:
        options, answer = self.row["options"], self.row.get("answer")
        if isinstance(options, dict):
            letters, options = list(options), list(options.values())
        elif isinstance(options, list):
            letters = [letter_of(number) for number in range(len(options))]
        else:
            raise self.wrong("options", "a list, or an object from letters to texts")
        if not (2 <= len(options) <= MOST_OPTIONS and all(isinstance(option, str) for option in options)):
            raise self.wrong("options", f"2 to {MOST_OPTIONS} texts")
        if answer in letters:
            answer = letters.index(answer)
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
            raise self.wrong("answer", "the letter of one of the options")
        asked = self.string("question")
        return Question(self.name, self.domain, self.language(asked), asked, tuple(options), answer)

    def dialogue(self) -> Text:
        """Alternating questions and answers become a conversation; any other exchange becomes a plain text."""
        said = [(self.of(turn, "speaker"), self.of(turn, "text")) for turn in self.list_of("turns")]
        roles = [_SPEAKERS.get(speaker.lower()) for speaker, _ in said]
        if roles == [("user", "assistant")[at % 2] for at in range(len(said))]:
            return self.conversation([(str(role), content) for role, (_, content) in zip(roles, said, strict=True)])
        lines = [f"{speaker}: {content}" for speaker, content in said]
        note = self.string("note") if self.row.get("note") else ""
        text = "\n".join([*lines, *(["", note] if note else [])])
        return Text(self.name, self.domain, self.language(text), text=text)

    def case(self) -> Text:
        """A case with questions and answers about it."""
        turns = []
        for number, pair in enumerate(self.list_of("qa")):
            asked = self.of(pair, "question")
            first = [*self.context(), asked]
            turns += [("user", "\n\n".join(first) if number == 0 else asked), ("assistant", self.of(pair, "answer"))]
        return self.conversation(turns)

    def plain(self) -> Text:
        field = next((field for field in PLAIN_FIELDS if field in self.row), None)
        if field is None:
            raise TextsError(
                f"{self.where} has none of the fields that edgemed reads; give it `text`, `question` and `answer`, "
                "`messages`, or `turns`."
            )
        text = self.string(field)
        title = next((self.string(title) for title in TITLES if self.row.get(title)), "")
        if title and title not in text[: len(title) + 8]:
            text = f"{title}\n{text}"
        return Text(self.name, self.domain, self.language(text), text=text)

    def conversation(self, turns: list[tuple[str, str]]) -> Text:
        language = self.language("".join(content for _, content in turns))
        return Text(self.name, self.domain, language, turns=tuple(turns))

    def context(self) -> list[str]:
        """The paragraphs before a question."""
        value = self.row.get("context", self.row.get("case", []))
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise self.wrong("context", "a text or a list of texts")
        return parts

    def language(self, text: str) -> str:
        return self.string("lang") if "lang" in self.row else language_of(text)

    def list_of(self, field: str = "messages") -> list[dict[str, Any]]:
        value = self.row[field]
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.wrong(field, "a list of objects, not empty")
        return value

    def role(self, turn: dict[str, Any], field: str) -> str:
        role = self.of(turn, field)
        if role not in ("system", "user", "assistant"):
            raise self.wrong(field, "system, user or assistant")
        return role

    def string(self, field: str) -> str:
        return self.of(self.row, field)

    def of(self, row: dict[str, Any], field: str) -> str:
        value = row.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, "a text")
        return value

    def wrong(self, field: str, wanted: str) -> TextsError:
        return TextsError(f"{self.where} has a `{field}` that is not {wanted}.")
