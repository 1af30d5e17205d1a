"""What is not given before a dose question, and the marks below an answer. On the screen and in line mode.

The rules of these tests are given to the chat, so that the tests do not depend on the wording of the real ones.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from edgemed.chat.conversation import Conversation
from edgemed.clinical import Language
from edgemed.clinical.allergies import AllergyMark
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.watch import Marks, NotGiven, Rules, Watch
from edgemed.tui.app import ChatApp
from edgemed.tui.clinical_lines import allergy_lines, not_given_line
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.case_form import CaseForm
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.clinical import clinical_strings
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine, Hold
from tests.tui.driving import screen_text, session, shows, shows_not, wait_until, write
from tests.tui.test_kept import unlocked
from tests.tui.vaults import entrance, make_vault

NAMES = "names amoxicillin (penicillins): in this case's allergies (penicillin: rash)"


class Read:
    """Rules that find words, and note which threads they ran on and how often an answer was read."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.answers: list[str] = []

    def missing(self, question: str, header: CaseHeader, earlier: Sequence[str]) -> list[str]:
        self.threads.add(threading.get_ident())
        fields = ("weight", "egfr", "allergies") if "dose" in question else ()
        return [name for name in fields if not getattr(header, name) and name not in " ".join(earlier)]

    def allergies(self, answer: str, allergies: str) -> list[AllergyMark]:
        self.threads.add(threading.get_ident())
        return [AllergyMark("amoxicillin", allergies, "penicillins", "a table")] if "amoxicillin" in answer else []

    def numbers(self, sources: Sequence[str], answer: str, read: object) -> list[str]:
        self.threads.add(threading.get_ident())
        self.answers.append(answer)
        known = " ".join(sources).split()
        return [word for word in answer.split() if word.isdigit() and word not in known]

    @property
    def watch(self) -> Watch:
        return Watch(Rules(missing=self.missing, allergies=self.allergies, numbers=self.numbers))


def watched(engine: FakeEngine, read: Read | None = None, language: Language = "en") -> ChatSession:
    return replace(session(engine, language=language), watch=(read or Read()).watch)


async def test_a_typed_dose_question_says_what_is_missing_and_one_key_goes_to_the_field() -> None:
    engine, read = FakeEngine(["Rest."]), Read()
    app = ChatApp(watched(engine, read))
    async with app.run_test(size=(80, 30)) as pilot:
        await write(pilot, "Which dose of gentamicin?")
        await shows(pilot, "not given: weight, eGFR, allergies · Ctrl+T: fill in")
        assert not engine.asked, "before it is sent"
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: isinstance(app.focused, Input) and app.focused.id == "weight")
        await pilot.press("7", "0", "ctrl+s")
        await wait_until(pilot, lambda: not isinstance(app.screen, CaseForm))
        await shows(pilot, "not given: eGFR, allergies", "Which dose of gentamicin?")
        await pilot.press("enter")
        await shows(pilot, "Rest.", "not given: eGFR, allergies")
        await write(pilot, "An emollient?")
        await shows_not(pilot, "not given")
    assert threading.get_ident() not in read.threads


async def test_an_answers_numbers_and_allergies_are_marked_when_it_has_ended() -> None:
    hold, read = Hold(), Read()
    engine = FakeEngine(["Give 500 mg amoxicillin", hold, " and 45 more."], ["Rest."])
    app = ChatApp(watched(engine, read))
    async with app.run_test(size=(100, 40)) as pilot:
        await shows(pilot, "mini")
        app.chat._take_header(app.chat._conversation, CaseHeader(allergies="penicillin: rash"))
        await write(pilot, "A man of 45 ?", "enter")
        await shows(pilot, "Give 500")
        assert "numbers not from" not in screen_text(pilot)
        assert not read.answers, "an answer that is being written is not read"
        hold.release()
        await shows(pilot, NAMES, "numbers not from your text: 1")
        await write(pilot, "And then?", "enter")
        await shows(pilot, "Rest.")
        assert screen_text(pilot).count("numbers not from") == 1, "nothing is said of an answer without numbers"
    assert threading.get_ident() not in read.threads


async def test_a_changed_header_changes_the_marks() -> None:
    app = ChatApp(watched(FakeEngine(["Give amoxicillin."])))
    async with app.run_test(size=(100, 40)) as pilot:
        await write(pilot, "What now?", "enter")
        await shows(pilot, "Give amoxicillin.")
        assert "names amoxicillin" not in screen_text(pilot)
        app.chat._take_header(app.chat._conversation, CaseHeader(allergies="penicillin: rash"))
        await shows(pilot, NAMES)
        app.chat._take_header(app.chat._conversation, CaseHeader())
        await shows_not(pilot, "names amoxicillin")


async def test_a_group_that_is_switched_off_takes_its_lines_away() -> None:
    app = ChatApp(watched(FakeEngine(["Give 500 mg."])))
    async with app.run_test(size=(100, 40)) as pilot:
        await write(pilot, "Which dose?", "enter")
        await shows(pilot, "numbers not from your text: 1", "not given: weight")
        await write(pilot, "/rules numbers", "enter")
        await shows_not(pilot, "numbers not from")
        await write(pilot, "/rules missing", "enter")
        await shows_not(pilot, "not given")


@pytest.mark.slow
async def test_a_stored_answer_is_marked_when_it_is_shown_and_read_once(tmp_path: Path) -> None:
    def fill(store: Store) -> None:
        header = CaseHeader(allergies="penicillin: rash")
        chat = Conversation(case_id=store.new_case("Bed 4", header.dump()), title="First")
        turn = chat.ask("What now?")
        turn.raw, turn.state = "Give 500 mg amoxicillin.", "whole"
        store.keep(Snapshot.of(chat))

    read, engine = Read(), FakeEngine()
    real = entrance(make_vault(tmp_path / "vault", fill), engine)
    opened = replace(real, open_session=lambda settings: replace(real.open_session(settings), watch=read.watch))
    app = ChatApp(entrance=opened)
    async with app.run_test(size=(100, 40)) as pilot:
        await unlocked(pilot)
        await shows(pilot, NAMES, "numbers not from your text: 1")
        await pilot.press("ctrl+n")
        await shows_not(pilot, "numbers not from")
        await write(pilot, "/back", "enter")
        await shows(pilot, NAMES, "numbers not from your text: 1")
    assert read.answers == ["Give 500 mg amoxicillin."]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "not given: weight, eGFR, allergies, pregnancy, age · Ctrl+T: fill in"),
        ("zh-CN", "未提供：体重、eGFR、过敏史、妊娠、年龄 · Ctrl+T：填写"),
    ],
)
def test_the_fields_are_named_as_people_write_them(language: Language, line: str) -> None:
    assert not_given_line(NotGiven(("weight", "egfr", "allergies", "pregnancy", "age")), language) == line
    assert not_given_line(NotGiven(), language) == ""


BROKEN = "These rules ended with an error, so the text was not read by them: “not given” before an answer about a dose"


def broken(question: str, header: CaseHeader, earlier: Sequence[str]) -> list[str]:
    raise ValueError("a bug")


@pytest.mark.slow
async def test_a_fault_is_told_in_full_and_the_question_is_sent() -> None:
    app = ChatApp(replace(session(FakeEngine(["One."])), watch=Watch(Rules(missing=broken))))
    async with app.run_test(size=(60, 24)) as pilot:
        await write(pilot, "Which dose?")
        await wait_until(pilot, lambda: BROKEN in " ".join(screen_text(pilot).split()))
        await pilot.press("enter")
        await shows(pilot, "One.")
        await write(pilot, "/rules missing", "enter")
        await shows_not(pilot, "ended with an error")


def test_line_mode_tells_a_fault_before_the_answer() -> None:
    writer = io.StringIO()
    told = replace(session(FakeEngine(["One."])), watch=Watch(Rules(missing=broken)))
    PlainChat(told, Conversation(saved=False), reader=io.StringIO("Which dose?\n"), writer=writer).run()
    assert BROKEN in writer.getvalue().partition("One.")[0]


def test_a_related_class_is_named_with_its_reason() -> None:
    marks = Marks((AllergyMark("Cefalexin", "penicillin: rash", "cephalosporins", "a table", "1 to 2 % react"),))
    said = allergy_lines(marks, clinical_strings("en"))
    assert (
        said == "names Cefalexin (cephalosporins): related to this case's allergies (penicillin: rash): 1 to 2 % react"
    )


def test_line_mode_says_the_same() -> None:
    writer = io.StringIO()
    typed = "/case allergies penicillin: rash\nWhich dose?\n/last\n/rules numbers\n/last\n"
    told = watched(FakeEngine(["Give 500 mg amoxicillin."]))
    PlainChat(told, Conversation(saved=False), reader=io.StringIO(typed), writer=writer).run()
    asked, answered, read, again = writer.getvalue().split("Give 500 mg amoxicillin.\n")
    assert "not given: weight, eGFR · /case and a field sets it\n" in asked
    for part in (answered, read):
        ended, _, said = part.partition("End of answer.\n")
        assert NAMES not in ended
        assert f"{NAMES}\nnumbers not from your text: 1\n" in said
    assert "numbers not from" not in again
