"""The format of the rule files, the language of phrases, the digest and the signature."""

from __future__ import annotations

import pytest

from edgemed.clinical.flags import rules
from edgemed.clinical.flags.language import PhraseError, Phrases, beginnings, literals
from edgemed.clinical.flags.reading import Reading, misspellings
from edgemed.clinical.flags.rule_file import read_rules

FILE = """
[scope]
ends = ["but"]
[words]
pain = ["pain*"]
chest = ["{pain} ... chest"]
[[silence]]
kind = "negated"
scope = "after"
words = ["no"]
[[rule]]
id = "A-1"
condition = "acs"
any = ["chest + pain"]
"""


def where(phrase: str, text: str) -> list[str]:
    return [text[start:end] for start, end in Phrases([phrase], {"pain": ["pain*", "ache"]}).spans(Reading(text))]


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("pain*", "painful", ["painful"]),
        ("pain", "painful pain", ["pain"]),
        ("ha?em", "haem hem", ["haem", "hem"]),
        ("{pain} here", "ache here", ["ache here"]),
        ("stiff neck", "stiff-neck", ["stiff-neck"]),
        ("arm ... leg", "arm and leg", ["arm and leg"]),
        ("arm ... leg", "arms and leg", []),
        ("arm ... leg", "arm. leg", []),
        ("arm ... leg", "arm " + "x" * 50 + " leg", []),
        ("bp [4-8]\\d", "bp 82", ["bp 82"]),
        ("38\\.\\d", "138.5 38.5", ["38.5"]),
        ("\\?pe", "?pe", ["?pe"]),
        ("fit(?! and)", "fit and fit", ["fit"]),
    ],
)
def test_phrases_match(phrase: str, text: str, expected: list[str]) -> None:
    assert where(phrase, text) == expected


@pytest.mark.parametrize("phrase", ["pain+", "^pain", "a ... b ... c", "(pain", "{nothing}"])
def test_a_malformed_phrase_is_refused(phrase: str) -> None:
    with pytest.raises(PhraseError):
        Phrases([phrase], {}).spans(Reading("pain"))


def test_what_a_match_begins_with_and_contains() -> None:
    assert beginnings("(left|right) arm") == frozenset({"left", "right"})
    assert beginnings("(the )?arm*") == frozenset({"the", "arm"})
    assert beginnings("\\d?\\d min") == frozenset({"0"})
    assert beginnings("\\?pe") == frozenset({"?"})
    assert literals("(left|right) (forearm|shoulder)") == frozenset({" forearm", " shoulder"})
    assert literals("(fore)?arm") == frozenset({"arm"})
    assert literals("chest ... pain*") == frozenset({" chest"})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("chest + pain", "chest + nothing"),
        ('scope = "after"', 'scope = "sideways"'),
        ("any =", "all ="),
        ("[words]", "[letters]"),
        ('id = "A-1"', 'id = "A-1"\ncolour = "red"'),
        ("[scope]", "[scope"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(old: str, new: str) -> None:
    assert [rule.id for rule in read_rules("x.toml", FILE).rules] == ["A-1"]
    with pytest.raises(PhraseError, match=r"x\.toml|A-1|needs kind|wrong keys"):
        read_rules("x.toml", FILE.replace(old, new))


def test_two_rules_of_one_id_are_refused() -> None:
    with pytest.raises(PhraseError, match="two rules of one id"):
        read_rules("x.toml", FILE + FILE[FILE.index("[[rule]]") :])


def test_the_rule_files_are_valid_and_in_the_package() -> None:
    files = dict(rules.files())
    assert {"phrases.en.toml", "sources.toml"} <= set(files)
    assert "review.toml" not in files
    ids = [rule.id for rule in read_rules("phrases.en.toml", files["phrases.en.toml"]).rules]
    assert len(ids) == len(set(ids))
    assert "NOT CLINICALLY REVIEWED" in files["phrases.en.toml"].splitlines()[0]


def test_a_source_is_named_and_one_not_read_is_off() -> None:
    assert rules.source("sah") == "NICE NG228, 2022"
    assert rules.enabled("sah")
    assert not rules.enabled("no such condition")
    assert rules.source("no such condition").endswith("source not read here")


def test_without_sources_every_rule_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_sources", dict)
    assert not rules.enabled("sah")


def test_nobody_has_reviewed_the_rules_and_a_changed_file_voids_a_signature() -> None:
    assert rules.reviewed_by() == ""
    signature = {"clinically_reviewed_by": " Dr A ", "digest": rules.digest()}
    assert rules.signed(signature, rules.digest()) == "Dr A"
    assert rules.signed(signature, "0" * 64) == ""
    assert rules.signed({}, rules.digest()) == ""
    assert rules.rules_version() == rules.digest()[:12]
    assert len(rules.digest()) == 64


def test_a_reading_keeps_the_words_of_the_text() -> None:
    reading = Reading("Severe HEADAHCE and naus\u00ef", misspellings(["headache"]))
    start = reading.lower.index("headache")
    assert reading.original(start, start + 8) == "HEADAHCE"
    assert Reading("worst headache\u2019s").lower == "worst headache's"
