"""Line mode's commands: every command of the table, unknown words, sentences."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.chat.lengths import Length
from edgemed.engine.process.protocol import Message
from edgemed.errors import EngineDied
from edgemed.tui.commands import COMMANDS
from edgemed.tui.kept import Kept
from edgemed.tui.plain.chat import PlainChat, separated
from edgemed.tui.plain.commands import LENGTHS, SCREEN_ONLY, VAULT_ONLY, PlainCommands
from edgemed.tui.plain.sentences import Sentences
from testing.fake_engine import PROMPT_DIGEST, FakeEngine, finished
from tests.tui.driving import session
from tests.tui.vaults import PASSPHRASE, make


def said(engine: FakeEngine, typed: str, length: Length = "standard") -> str:
    """What line mode prints after its hint when this is typed."""
    writer = io.StringIO()
    assert PlainChat(session(engine, length=length), reader=io.StringIO(typed), writer=writer).run() == 0
    return writer.getvalue().partition("continues on the next line.\n")[2]


def texts(asked: list[Message]) -> list[str]:
    return [message.content for message in asked]


def test_every_command_of_the_palette_has_a_word_here() -> None:
    here = {command.name for command in COMMANDS if hasattr(PlainCommands, f"_run_{command.name}")}
    assert here | SCREEN_ONLY | VAULT_ONLY | {"edit", "case", "quit", *LENGTHS} == {
        command.name for command in COMMANDS
    }


@pytest.mark.parametrize("word", [command.word for command in COMMANDS])
def test_no_command_fails_or_reaches_the_model_in_an_empty_chat(word: str) -> None:
    engine = FakeEngine()
    printed = said(engine, f"{word}\n")
    assert not engine.asked
    assert word == "/quit" or printed.removeprefix("\n> ").strip()


def test_an_unknown_word_is_refused() -> None:
    engine = FakeEngine()
    assert "There is no command /nonsense. It was not sent to the model." in said(engine, "/nonsense me\n")
    assert not engine.asked


def test_a_misspelt_new_chat_still_parts_two_patients() -> None:
    assert list(separated("Patient A?\n/newe\nPatient B?")) == ["Patient A?", "/newe", "Patient B?"]
    assert list(separated("K 6.2\n/2 of the dose")) == ["K 6.2\n/2 of the dose"]


def test_help_lists_the_commands() -> None:
    printed = said(FakeEngine(), "/help\n")
    assert "/resume: Resume the answer. Continue an answer that was cut off." in printed
    assert "/dark" not in printed


def test_an_answer_is_read_again_and_copied() -> None:
    printed = said(FakeEngine(["Rest."], ["Drink."]), "one\ntwo\n/previous\n/last\n/copyboth\n")
    assert "Question 1 of 2:\none\nAnswer:\nRest.\nEnd of answer." in printed
    assert "Question 2 of 2:\ntwo\nAnswer:\nDrink.\nEnd of answer." in printed
    assert "two\n\nDrink.\n----" in printed


def test_another_answer_and_its_versions() -> None:
    engine = FakeEngine(["Rest."], ["Sleep."], ["More."])
    printed = said(engine, "What helps?\n/again\n/earlier\n/earlier\nAnd then?\n")
    assert "There is no other version." in printed
    assert texts(engine.asked[1]) == ["What helps?"]
    assert texts(engine.asked[2]) == ["What helps?", "Rest.", "And then?"]


def test_an_edited_question_and_another_length() -> None:
    engine = FakeEngine(["Rest."], ["Cool it."], ["Cool it, because."])
    said(engine, "A fever of 39\n/edit A fever of 38\n/longer\n")
    assert texts(engine.asked[1]) == ["A fever of 38"]
    assert texts(engine.asked[2])[0].startswith("A fever of 38\n\nAnswer in full")


def test_brief_answers_come_first_and_the_length_can_be_changed() -> None:
    engine = FakeEngine(["Rest."], ["Rest."])
    printed = said(engine, "one\n/standard\ntwo\n", length="brief")
    assert "Answer briefly" in texts(engine.asked[0])[0]
    assert texts(engine.asked[1])[-1] == "two"
    assert "standard answer" in printed


def test_a_cut_answer_is_resumed_and_a_whole_one_is_not() -> None:
    cut = finished("Take 5", tokens=2, prompt=1, reason="length")
    engine = FakeEngine(["Take 5", cut], [" mg."])
    printed = said(engine, "dose?\n/resume\n/resume\n")
    assert engine.continued == ["", "Take 5"]
    assert "Only the last answer can be resumed" in printed


def test_the_case_goes_into_a_new_chat() -> None:
    engine = FakeEngine(["Rest."], ["Drink."], ["Sleep."])
    said(engine, "A man of 60.\n/samecase\nAnd now?\n/back\nAgain?\n")
    assert texts(engine.asked[1]) == ["A man of 60.\n\nAnd now?"]
    assert texts(engine.asked[2]) == ["A man of 60.", "Rest.", "Again?"]


def test_where_and_what_the_model_saw() -> None:
    printed = said(FakeEngine(["Rest."]), "What helps?\n/where\n/seen\n")
    assert "What helps? · question 1 of 1 · standard answer · context 12 of 2048 tokens · mini" in printed
    assert f"What the model saw: 11 tokens, SHA-256 {PROMPT_DIGEST}\nThis is what was sent" in printed


def test_a_dead_engine_is_restarted_by_a_word() -> None:
    engine = FakeEngine([EngineDied("It died.")])
    assert "The model is running again." in said(engine, "one\n/restart\n")
    assert engine.restarts == 1


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["Take 2.", "5 mg. Then", " rest."], ["", "Take 2.5 mg. ", "", "Then rest."]),
        (["1. ", "Rest\n2. Drink"], ["", "1. Rest\n", "2. Drink"]),
        (["休息。多", "喝水"], ["休息。", "", "多喝水"]),
        (["It is 5. Then"], ["It is 5. ", "Then"]),
    ],
)
def test_text_is_cut_into_sentences(pieces: list[str], shown: list[str]) -> None:
    sentences = Sentences()
    assert [*(sentences.feed(piece) for piece in pieces), sentences.close()] == shown


@pytest.mark.slow
def test_the_chats_of_a_vault_are_listed_found_and_opened(tmp_path: Path) -> None:
    vault, _ = make(tmp_path / "vault", PASSPHRASE)
    kept = asyncio.run(Kept.open(vault, PASSPHRASE))
    engine = FakeEngine(["Rest."], ["Drink."], ["Sleep."], ["Gone."])
    writer = io.StringIO()
    typed = ["Fever of 39", "/new", "胸痛 since noon", "/chats", "/open 2", "And then?", "/find 胸痛", "/open 9"]
    lines = "\n".join([*typed, "/unsaved", "Secret?", "/chats", ""])
    chat = PlainChat(kept.joined_to(session(engine)), Conversation(), reader=io.StringIO(lines), writer=writer)
    try:
        assert chat.run() == 0
    finally:
        kept.close()
    printed = writer.getvalue()
    assert texts(engine.asked[2]) == ["Fever of 39", "Rest.", "And then?"]
    assert "1. 胸痛 since noon, " in printed
    assert "2. Fever of 39, " in printed
    assert "Question 1 of 1:\nFever of 39" in printed
    assert "1. 胸痛 since noon\n" in printed
    assert "/open and a number from the last list" in printed
    assert "Secret" not in printed.partition("Unsaved chat.")[2]
