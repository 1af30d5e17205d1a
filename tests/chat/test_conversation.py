"""A conversation as data: the messages it sends to the engine, and the ids of its turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edgemed.chat.conversation import Conversation, Queued, State, Turn
from edgemed.chat.service import ask
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.region import Region
from edgemed.engine.process.protocol import Message
from edgemed.errors import EngineDied, EngineError
from testing.fake_engine import FakeEngine


def test_the_engine_is_given_whole_turns_and_the_open_question() -> None:
    conversation = Conversation()
    first = conversation.ask("first")
    first.raw, first.state = "one\u200b", "whole"
    failed = conversation.ask("failed")
    failed.state = "failed"
    conversation.ask("last")
    assert conversation.messages() == [
        Message("user", "first"),
        Message("assistant", "one\u200b"),
        Message("user", "last"),
    ]


def test_an_answer_is_shown_visibly_and_given_back_as_it_was() -> None:
    turn = Turn("q", raw="a\u202eb")
    assert turn.text == "a⟨U+202E⟩b"
    assert turn.raw == "a\u202eb"


def test_queued_questions_are_turns_of_their_own() -> None:
    engine = FakeEngine(["Answer A."], ["Answer B."])
    conversation = Conversation()
    conversation.queue("Patient A, 5 years, rash")
    conversation.queue("Patient B, 80 years, stroke signs", "brief")
    while queued := conversation.next_queued():
        list(ask(engine, conversation, conversation.ask(queued.text, queued.length)))
    assert [turn.raw for turn in conversation.turns] == ["Answer A.", "Answer B."]
    assert engine.asked[0] == [Message("user", "Patient A, 5 years, rash")]
    assert engine.asked[1][:2] == [*engine.asked[0], Message("assistant", "Answer A.")]
    assert engine.asked[1][2].content.startswith("Patient B, 80 years, stroke signs\n\nAnswer briefly")
    assert conversation.next_queued() is None


def test_a_queued_question_is_taken_back_alone() -> None:
    conversation = Conversation()
    conversation.queue("one")
    conversation.queue("two", "full")
    assert conversation.take_back() == Queued("two", "full")
    assert conversation.queued == [Queued("one")]


def test_a_system_message_comes_first() -> None:
    conversation = Conversation(system="Be brief.")
    conversation.ask("Why?")
    assert conversation.messages() == [Message("system", "Be brief."), Message("user", "Why?")]


def test_two_conversations_never_share_an_id() -> None:
    conversations = [Conversation(), Conversation()]
    for conversation in conversations:
        for _ in range(1000):
            conversation.ask("q").state = "whole"
    ids = {turn.id for conversation in conversations for turn in conversation.turns}
    assert len(ids) == 2000
    assert all(len(each) == 32 for each in ids), "128 bits: no two processes draw the same"


def test_a_turn_knows_when_it_was_asked_whatever_the_time_zone() -> None:
    before = datetime.now(UTC)
    asked = Turn("q").asked
    assert before <= asked <= datetime.now(UTC)
    assert asked.utcoffset() == timedelta(0)


# --- siblings and branches ---


def answered(conversation: Conversation, *questions: str) -> list[Turn]:
    """Ask these questions and answer each with its own text in capitals."""
    turns = []
    for question in questions:
        turns.append(conversation.ask(question))
        turns[-1].raw, turns[-1].state = question.upper(), "whole"
    return turns


def contents(conversation: Conversation, turn: Turn | None = None) -> list[str]:
    return [message.content for message in conversation.messages(turn)]


def test_a_regenerated_answer_is_a_sibling_that_does_not_see_the_one_before() -> None:
    conversation = Conversation()
    first, second = answered(conversation, "one", "two")
    again = conversation.regenerate(second, "full")
    assert conversation.siblings(second) == [second, again]
    assert conversation.turns == [first, again]
    assert contents(conversation)[:2] == ["one", "ONE"]
    assert contents(conversation)[2].startswith("two\n\nAnswer in full")
    assert second.raw == "TWO", "the first answer is kept"


def test_an_edited_question_is_a_sibling_and_the_old_branch_comes_back_whole() -> None:
    conversation = Conversation()
    shown = conversation.turns
    first, second, third = answered(conversation, "one", "two", "three")
    edited = conversation.edit(first, "uno")
    edited.state = "whole"
    assert conversation.turns == [edited]
    conversation.show(second)
    assert conversation.turns == [first, second, third], "the branch continues as it was last shown"
    assert shown is conversation.turns


def test_a_prompt_follows_its_own_turn_whatever_is_shown() -> None:
    conversation = Conversation()
    first, _ = answered(conversation, "one", "two")
    edited = conversation.edit(first, "uno")
    conversation.show(first)
    assert conversation.open_turn is edited
    assert contents(conversation, edited) == ["uno"]


def test_a_cut_answer_is_resumed_in_the_same_turn() -> None:
    engine = FakeEngine(["Take 5", EngineDied("It died.")], [" mg."])
    conversation = Conversation()
    turn = conversation.ask("How much?")
    with pytest.raises(EngineDied):
        list(ask(engine, conversation, turn))
    request = turn.request
    list(ask(engine, conversation, conversation.resume(turn)))
    assert (turn.raw, turn.state, turn.reason) == ("Take 5 mg.", "whole", "")
    assert conversation.turns == [turn]
    assert engine.asked[0] == engine.asked[1] == [Message("user", "How much?")]
    assert engine.continued == ["", "Take 5"]
    assert request != turn.request, "a late stop of the first request must not stop the second"


@pytest.mark.parametrize(
    ("state", "may"),
    [("whole", False), ("context", False), ("open", False)]
    + [(state, True) for state in ("stopped", "length", "failed", "interrupted")],
)
def test_only_an_answer_that_was_cut_and_has_room_is_resumable(state: State, may: bool) -> None:
    conversation = Conversation(turns=[turn := Turn("q", raw="half", state=state)])
    assert conversation.resumable(turn) is may


def test_an_answer_that_was_built_upon_is_not_resumable() -> None:
    conversation = Conversation(turns=[turn := Turn("q", raw="half", state="stopped")])
    answered(conversation, "and then?")
    assert not conversation.resumable(turn)


def test_an_answer_of_another_model_is_not_continued() -> None:
    engine = FakeEngine([" mg."])
    turn = Turn("q", raw="Take 5", state="interrupted", weights_digest="another")
    conversation = Conversation(turns=[turn])
    with pytest.raises(EngineError, match="Another model file began this answer"):
        list(ask(engine, conversation, conversation.resume(turn)))
    assert (turn.raw, turn.state, turn.weights_digest) == ("Take 5", "failed", "another")
    assert engine.asked == []


def test_a_question_without_an_answer_can_be_withdrawn() -> None:
    conversation = Conversation()
    (first,) = answered(conversation, "one")
    failed = conversation.ask("tow")
    failed.state = "stopped"
    assert conversation.withdraw(failed) == "tow"
    assert conversation.turns == conversation.all_turns == [first]
    failed = conversation.regenerate(first)
    failed.state = "failed"
    conversation.withdraw(failed)
    assert conversation.turns == [first], "its sibling is shown again"


def test_a_new_chat_with_the_case_starts_from_its_first_question() -> None:
    conversation = Conversation(case_id="case", saved=False, system="Be brief.")
    answered(conversation, "Man, 72, ...", "two")
    fresh = conversation.with_case()
    assert (fresh.draft, fresh.case_id, fresh.saved, fresh.system) == ("Man, 72, ...", "case", False, "Be brief.")
    assert fresh.turns == []
    assert fresh.id != conversation.id


def test_the_instruction_is_in_the_language_of_the_question_and_stays_in_later_prompts() -> None:
    conversation = Conversation()
    turn = conversation.ask("胸痛怎么办?", "brief")
    turn.raw, turn.state = "…", "whole"
    conversation.ask("why?")
    asked, _, plain = contents(conversation)
    assert asked == "胸痛怎么办?\n\n请简短回答，最多五个短句或要点，但不要省略警示信息。"
    assert plain == "why?"
    assert turn.question == "胸痛怎么办?"


def test_a_templates_instruction_stands_below_the_question_in_every_later_prompt() -> None:
    conversation = Conversation(header=CaseHeader(age="54"))
    turn = conversation.ask("Write: SOAP note", template="soap", instruction="Write a SOAP note.")
    told = "The patient:\nAge: 54 years\n\nWrite: SOAP note\n\nWrite a SOAP note."
    assert conversation.messages() == [Message("user", told)]
    turn.raw, turn.state = "Subjective", "whole"
    again = conversation.regenerate(turn, "brief")
    assert (again.template, again.instruction) == ("soap", "Write a SOAP note.")
    assert again.told.startswith("Write: SOAP note\n\nWrite a SOAP note.\n\nAnswer briefly")
    again.state = "stopped"
    edited = conversation.edit(turn, "Write: SOAP note, without a plan")
    assert edited.told == "Write: SOAP note, without a plan\n\nWrite a SOAP note."
    edited.raw, edited.state = "S", "whole"
    conversation.ask("And now?")
    assert "Write a SOAP note." in conversation.messages()[0].content


def test_the_heading_is_the_title_or_the_first_line() -> None:
    conversation = Conversation(draft="a draft\nof two lines")
    assert conversation.heading == "a draft"
    conversation.ask("Man, 72\nchest pain")
    assert conversation.heading == "Man, 72"
    conversation.title = "Bed 4"
    assert conversation.heading == "Bed 4"


PLANTED = CaseHeader(
    age="54",
    sex="M",
    weight="80",
    allergies="penicillin",
    medicines="warfarin",
    problems="CKD 3b",
    pregnancy="no",
    egfr="28",
    initials="QX-INITIALS",
    born="QX-BORN",
    number="QX-NUMBER",
)


def test_the_header_stands_before_the_first_question_of_every_prompt() -> None:
    conversation = Conversation(system="Be brief.", header=PLANTED, region=Region(units="mmol/L"))
    withdrawn = conversation.ask("Never answered?")
    withdrawn.state = "failed"
    first = conversation.ask("K 6.2?", "brief")
    first.raw, first.state = "Calcium.", "whole"
    second = conversation.edit(first, "K 6.3?")
    second.raw, second.state = "Calcium, and insulin.", "whole"
    for messages in (
        conversation.messages(),
        conversation.messages(first),
        conversation.messages_with("And then?", "full"),
        Conversation(header=PLANTED).messages_with("K 6.2?", "standard"),
        conversation.with_case().messages_with("K 6.2?", "standard"),
    ):
        texts = [message.content for message in messages if message.role == "user"]
        assert all(value in texts[0] for value in ("54 years", "80 kg", "penicillin", "warfarin", "CKD 3b", "28 mL"))
        assert not any("penicillin" in text for text in texts[1:])
        assert not any("QX-" in message.content for message in messages)
    assert first.question == "K 6.2?", "the question itself is unchanged"


def test_without_a_header_a_question_is_sent_as_it_is() -> None:
    assert Conversation().messages_with("K 6.2?", "standard") == [Message("user", "K 6.2?")]


def test_pasted_text_is_not_changed_by_the_header() -> None:
    pasted = "Mr Park, Parkinson disease, 白 cells 12, born in May"
    (message,) = Conversation(header=CaseHeader(initials="May Park", age="70")).messages_with(pasted, "standard")
    assert message.content.endswith(f"\n\n{pasted}")
