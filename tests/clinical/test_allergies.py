"""Marks on an answer that names an allergy of the header, or a drug of its class."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import pytest

import edgemed.clinical
from edgemed.clinical.allergies import named
from testing.timing import MOST_SECONDS

TABLE = tomllib.loads((Path(edgemed.clinical.__file__).parent / "allergy_classes.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("allergies", "answer", "found"),
    [
        ("penicillin", "Give co-amoxiclav.", ["co-amoxiclav"]),
        ("Penicillin (rash as a child)", "Avoid penicillin; use doxycycline.", ["penicillin"]),
        ("penicillin", "Cefalexin is an option.", ["Cefalexin"]),
        ("penicillin", "Bacampicillins", ["Bacampicillins"]),
        ("青霉素过敏", "可用氟氯青霉素或阿莫西林", ["氟氯青霉素", "阿莫西林"]),
        ("青霉素", "amoxicillin 500 mg", ["amoxicillin"]),
        ("amoxicillin", "阿莫西林或头孢曲松", ["阿莫西林", "头孢曲松"]),
        ("sulfa", "Magnesium sulfate and ferrous sulphate, then co-trimoxazole.", ["co-trimoxazole"]),
        ("磺胺类", "柳氮磺吡啶", ["柳氮磺吡啶"]),
        ("aspirin - asthma", "Ibuprofen 400 mg or NSAIDs", ["Ibuprofen", "NSAIDs"]),
        ("codeine", "morphine", ["morphine"]),
        ("ramipril", "lisinopril, losartan", ["lisinopril"]),
        ("contrast dye", "CT with iohexol", ["iohexol"]),
        ("egg", "propofol 2 mg/kg", ["propofol"]),
        ("lidocaine", "bupivacaine or procaine", ["bupivacaine"]),
        ("carbamazepine", "phenytoin, valproate", ["phenytoin"]),
        ("latex", "Use latex-free gloves.", ["latex"]),
        ("metronidazole: nausea", "Metronidazole 400 mg", ["Metronidazole"]),
        ("peanuts", "peanut oil", ["peanut"]),
        ("甲硝唑过敏", "甲硝唑0.2g", ["甲硝唑"]),
        ("no known drug allergies except penicillin", "amoxicillin", ["amoxicillin"]),
        ("penicillin, trimethoprim", "trimethoprim; amoxicillin", ["trimethoprim", "amoxicillin"]),
        ("penicillin", "amoxicillin, then amoxicillin again", ["amoxicillin"]),
    ],
)
def test_a_named_allergy_is_marked(allergies: str, answer: str, found: list[str]) -> None:
    assert [mark.found for mark in named(answer, allergies)] == found


@pytest.mark.parametrize(
    "field",
    [
        "",
        "No known allergies",
        "NKDA",
        "nkda.",
        "none",
        "None known",
        "nil",
        "无",
        "否认药物过敏史",
        "无药物过敏史",
        "不详",
        "-",
    ],
)
def test_no_allergy_marks_nothing(field: str) -> None:
    everything = " ".join(word for one in TABLE["class"] for word in one["drugs"]) + " allergy drug 过敏 药物"
    assert named(everything, field) == []


def test_a_mark_says_what_it_is() -> None:
    (mark,) = named("阿莫西林", "青霉素（皮疹）")
    assert (mark.allergy, mark.drug_class, mark.note) == ("青霉素（皮疹）", "penicillins", "")
    assert "SA Health" in mark.source
    (cross,) = named("cefuroxime", "penicillin")
    assert cross.drug_class == "cephalosporins"
    assert "cross-reaction" in cross.note


def test_a_class_whose_source_was_not_read_is_off() -> None:
    assert named("simvastatin", "statins") == []
    assert [mark.found for mark in named("simvastatin", "statins", unread=True)] == ["simvastatin"]
    assert [mark.found for mark in named("statin", "statins")] == ["statin"]


@pytest.mark.parametrize("one", TABLE["class"], ids=lambda one: one["name"])
def test_each_class_names_its_source_and_finds_its_own_drugs(one: dict) -> None:  # type: ignore[type-arg]
    assert one["source"]
    assert one["edition"]
    assert isinstance(one["read"], bool)
    assert set(one.get("cross", {})) <= {other["name"] for other in TABLE["class"]}
    assert len(set(one["drugs"])) == len(one["drugs"])
    for drug in one["drugs"]:
        assert drug == drug.lower()
        assert [mark.drug_class for mark in named(f"Take {drug}.", one["allergy"][0], unread=True)] == [one["name"]]
    assert any(re.search(r"[\u4e00-\u9fff]", word) for word in (*one["drugs"], *one["allergy"]))


@pytest.mark.slow
def test_hostile_text_takes_less_than_a_second() -> None:
    before = time.process_time()
    for text in ("cillin ", "青", "penicillin ", "a"):
        named(text * (500_000 // len(text)), "penicillin, sulfa, aspirin, 青霉素")
    assert time.process_time() - before < MOST_SECONDS
