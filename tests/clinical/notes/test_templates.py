"""Templates: the shipped ones, the user's files, what is wrong with a broken one, and what is filled in last."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import get_args

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.language import Language
from edgemed.clinical.notes import Library, Template, TemplateError, filled
from edgemed.clinical.notes.library import MOST_BYTES, NAMES, identity_in

HEADER = CaseHeader(age="54", sex="F", initials="QXI", born="1972-04-03", number="QX998877")
IDENTITY = ("QXI", "1972-04-03", "QX998877")
LANGUAGES = get_args(Language)
OWN = "My letter\nWrite a letter.\n---\nTo {patient}\n{note}\nBye\n"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_template_asks_for_the_source_and_names_nobody(name: str, language: Language) -> None:
    template = Library(None, language).get(name)
    assert template.title
    assert "{patient}" in template.letter
    assert ("not stated" if language == "en" else "未提供") in template.instruction
    assert "{" not in template.instruction
    note = template.around("K 6.2 mmol/l")
    assert "K 6.2 mmol/l" in note
    assert "{patient}" in note, "the identity is filled in on the way out only"
    assert all(value in filled(note, HEADER) for value in IDENTITY) or name == "patient"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_holds_the_identity(name: str, language: Language) -> None:
    template = Library(None, language).get(name)
    conversation = Conversation(header=HEADER)
    conversation.ask("A cough.").raw = "Since when?"
    conversation.turns[0].state = "whole"
    conversation.ask(f"Write: {template.title}", template=name, instruction=template.instruction)
    prompt = "".join(message.content for message in conversation.messages())
    assert template.instruction in prompt
    assert not [value for value in IDENTITY if value in prompt]


def test_the_identity_is_filled_in_once() -> None:
    header = CaseHeader(initials="{born}", number="12 {number}")
    assert filled("{patient}, {born}, {number}, {other}", header) == "{born}, ______, 12 {number}, {other}"


@pytest.mark.parametrize(
    ("text", "why", "detail"),
    [
        ("", "no_title", ""),
        ("# only a remark\n", "no_title", ""),
        ("Title\n---\n{note}", "no_instruction", ""),
        ("Title\nWrite.\n", "no_letter", ""),
        ("Title\nWrite.\n---\nDear colleague", "no_note", ""),
        ("Title\nWrite.\n---\n{note}{note}", "no_note", ""),
        ("Title\nWrite.\n---\n{note} {name}", "placeholder", "{name}"),
        ("Title\nWrite about {patient}.\n---\n{note}", "placeholder_told", "{patient}"),
        ("For {number}\nWrite.\n---\n{note}", "placeholder_told", "{number}"),
    ],
)
def test_a_broken_template_says_what_is_wrong(text: str, why: str, detail: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse("own", text)
    assert (caught.value.why, caught.value.detail) == (why, detail)


def test_a_users_file_of_the_same_name_wins_and_others_follow(tmp_path: Path) -> None:
    library = Library(tmp_path, "en")
    assert library.names == list(NAMES)
    path = library.save("soap", OWN)
    assert path == tmp_path / "en" / "soap.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert library.get("soap") == Template("soap", "My letter", "Write a letter.", "To {patient}\n{note}\nBye")
    library.save("clinic", OWN.replace("\n", "\r\n"))
    assert library.names == [*NAMES, "clinic"]
    assert [library.named(each) for each in ("SOAP", "clinic", "x")] == ["soap", "clinic", None]
    assert library.get("clinic").around(" x \n") == "To {patient}\nx\nBye"
    assert Library(tmp_path, "zh-CN").get("soap").title == "SOAP 病程记录"


def test_a_file_that_cannot_be_read_breaks_nothing_else(tmp_path: Path) -> None:
    library = Library(tmp_path, "en")
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "soap.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "en" / "long.txt").write_bytes(b"a" * (MOST_BYTES + 1))
    (tmp_path / "en" / "not a name.txt").write_text(OWN)
    assert library.names == [*NAMES, "long"]
    for name in ("soap", "long"):
        assert library.title(name) == name
        with pytest.raises(TemplateError, match="unreadable"):
            library.get(name)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "a b", "x" * 41])
def test_a_template_is_stored_under_no_other_kind_of_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a template"):
        Library(tmp_path / "templates", "en").save(name, OWN)
    assert not (tmp_path / "templates").exists()


def test_the_identity_of_the_case_is_found_in_a_template() -> None:
    assert identity_in(OWN, HEADER) == ""
    assert identity_in(OWN + "QX998877", HEADER) == "QX998877"
    assert identity_in(OWN, CaseHeader(number="1")) == ""
