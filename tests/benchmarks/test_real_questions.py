"""The order of the real questions and the text that stands for each."""

from benchmarks.real_questions import hash_order, question_text


def test_the_order_depends_on_seed_file_and_id_only() -> None:
    rows = [{"id": str(number), "question": "?"} for number in range(50)]
    order = [row["id"] for row in hash_order("kqa", rows)]
    assert order == [row["id"] for row in hash_order("kqa", rows[::-1])]
    assert order != [row["id"] for row in hash_order("medquad", rows)]
    assert sorted(order) == sorted(row["id"] for row in rows)


def test_a_dialogue_is_cut_after_four_turns_and_a_consultation_after_the_first() -> None:
    turns = [{"speaker": "patient", "text": str(number)} for number in range(6)]
    assert question_text({"turns": turns}) == "patient: 0\npatient: 1\npatient: 2\npatient: 3"
    assert question_text({"turns": turns, "department": "ENT"}) == "0"
    assert question_text({"case": "a case", "title": "no"}) == "a case"
    assert question_text({"question": "why?"}) == "why?"
