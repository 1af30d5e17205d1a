"""The fictitious patients of the demonstration in a real vault."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.wrong_patient import mismatches
from edgemed.commands._demo_patients import fill, patients
from edgemed.vault.folder import create
from edgemed.vault.keys import FLOOR
from edgemed.vault.search import Index


def test_eight_patients_in_two_languages_can_be_listed_opened_and_found(tmp_path: Path) -> None:
    vault, _ = create(tmp_path / "vault", "fictitious patients only", cost=FLOOR)
    now = datetime.now(UTC)
    try:
        vault.do(lambda store: fill(store, patients(), now)).result()
        cases = vault.do(lambda store: store.cases()).result()
        chats = vault.do(lambda store: store.chats()).result()
        assert len(cases) == 8
        assert sum("岁" in case.title for case in cases) == 3
        assert {chat.case_id for chat in chats} == {case.id for case in cases}
        assert all(chat.state == "whole" for chat in chats)

        held = {chat.title: chat.changed for chat in chats}
        assert (
            timedelta(0) <= now - timedelta(days=1) - held["K 6.2 on ramipril and spironolactone"] < timedelta(hours=1)
        )
        assert [case.title[:2] for case in vault.do(lambda store: store.stale_cases()).result()] == ["陈某"]

        chat = next(chat for chat in chats if chat.title == "胸痛伴大汗2小时")
        turns = vault.do(lambda store: store.load(chat.id)).result().turns
        assert [turn.parent for turn in turns] == [None, turns[0].id]
        assert turns[0].asked < turns[1].asked <= now

        index = Index()
        index.load(vault)
        assert chat.case_id in {hit.found.case_id for hit in index.find("胸痛")}
        assert index.find("K 6.2")
    finally:
        vault.close()


def test_every_patient_has_a_header_that_fits_the_chats() -> None:
    headers = [CaseHeader.of(case["header"]) for case in patients()]
    assert all(header.age and header.sex and header.number for header in headers)
    assert sum(bool(header.allergies) and not header.allergies.startswith("none") for header in headers) == 3
    assert 0 < sum(bool(header.weight) for header in headers) < 8, "a dose question lacks something in some of them"
    for case, header in zip(patients(), headers, strict=True):
        assert set(case["header"]) <= set(header.values)
        earlier: list[str] = []
        for question in (turn["question"] for chat in case["chats"] for turn in chat["turns"]):
            assert mismatches(header, earlier, question) == []
            earlier.append(question)
