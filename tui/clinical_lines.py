"""Lines about red flags, about what is not given, and about an answer, as the screen and line mode show them."""

from __future__ import annotations

from collections.abc import Sequence

from edgemed.chat.visible import visible
from edgemed.clinical import Language
from edgemed.clinical.allergies import AllergyMark
from edgemed.clinical.case import label
from edgemed.clinical.flags.flag import Flag
from edgemed.clinical.flags.news2 import News2
from edgemed.clinical.watch import Marks, NotGiven
from edgemed.tui.strings.clinical import ClinicalStrings, clinical_strings

MOST_LINES = 2
"""Flags that are shown at once. The others are counted."""
_EVIDENCE_CHARACTERS = 160


def flag_lines(flags: Sequence[Flag], words: ClinicalStrings, emergency: str) -> list[str]:
    """What is shown before an answer: at most MOST_LINES flags, how many more there are, and what not to wait for."""
    lines = [_flag(flag, words) for flag in flags[:MOST_LINES]]
    rest = len(flags) - len(lines)
    last = [words.more.format(count=rest)] if rest else []
    if flags:
        last += [words.if_emergency, words.number.format(number=visible(emergency)) if emergency else ""]
    if len(lines) == 1:
        return [_joined([*lines, *last], words)]
    return [*lines, *filter(None, [_joined(last, words)])]


def listed_lines(flags: Sequence[Flag], words: ClinicalStrings) -> list[str]:
    """Every flag, with its group and its source."""
    return [
        words.listed.format(
            rule=flag.rule, group=words.groups[flag.group], evidence=_evidence(flag, words), source=flag.source
        )
        + (f" {words.asks_unit}" if flag.asks_unit else "")
        for flag in flags
    ] or [words.none_found]


def score_line(score: News2 | None, language: Language) -> str:
    """The NEWS2, or why there is none; empty without observations."""
    words = clinical_strings(language)
    if score is None:
        return ""
    if score.score is not None:
        evidence = _short(", ".join(map(_line, score.evidence)))
        return words.score.format(score=score.score, scale=score.scale, evidence=evidence)
    why = [words.reasons[score.reason]] if score.reason else []
    if score.missing:
        names = ("、" if language == "zh-CN" else ", ").join(words.parameters[name] for name in score.missing)
        why.append(words.missing.format(parameters=names))
    return words.no_score.format(why=("；" if language == "zh-CN" else "; ").join(why))


def not_given_line(found: NotGiven, language: Language, *, plain: bool = False) -> str:
    """Which fields of the header a question about a dose or a drug lacks, and how to fill them; empty if none.

    If the rules ended with an error, that is said instead.
    """
    words = clinical_strings(language)
    if found.failed:
        return failed_line(found.failed, words)
    names = ("、" if language == "zh-CN" else ", ").join(_field(name, language) for name in found.fields)
    how = words.fill_in_plain if plain else words.fill_in
    return f"{words.not_given.format(fields=names)} · {how}" if found.fields else ""


def allergy_lines(marks: Marks, words: ClinicalStrings) -> str:
    """What an answer names of the case's allergies, one a line, and which comparisons failed; empty if nothing."""
    lines = []
    for mark in marks.allergies:
        sentence = words.names_related if mark.note else words.names
        lines.append(sentence.format(found=_named(mark), allergy=_line(mark.allergy), note=_line(mark.note)))
    if marks.failed:
        lines.append(failed_line(marks.failed, words))
    return "\n".join(dict.fromkeys(lines))


def numbers_line(marks: Marks, words: ClinicalStrings) -> str:
    """How many numbers of an answer are not in the user's text; empty if none."""
    return words.numbers.format(count=marks.numbers) if marks.numbers else ""


def failed_line(groups: Sequence[str], words: ClinicalStrings) -> str:
    """Which groups of rules ended with an error."""
    return words.failed.format(groups=", ".join(words.groups[group] for group in groups))


def review_line(version: str, reviewed_by: str, words: ClinicalStrings) -> str:
    """Which rules these are, and whether anybody has reviewed them."""
    return (words.reviewed if reviewed_by else words.not_reviewed).format(version=version, name=visible(reviewed_by))


def _flag(flag: Flag, words: ClinicalStrings) -> str:
    told = words.flag.format(rule=flag.rule, evidence=_evidence(flag, words), source=flag.source)
    return _joined([told, words.asks_unit if flag.asks_unit else ""], words)


def _field(name: str, language: Language) -> str:
    """A field's name within a sentence: "weight", but "eGFR"."""
    shown = label(name, language)
    return shown if shown[:2].isupper() or "G" in shown else shown.lower()


def _named(mark: AllergyMark) -> str:
    """The drug, with its class if it is another word."""
    found, drug_class = _line(mark.found), _line(mark.drug_class)
    return f"{found} ({drug_class})" if drug_class and drug_class.casefold() != found.casefold() else found


def _line(text: str) -> str:
    return " ".join(visible(text).split())


def _evidence(flag: Flag, words: ClinicalStrings) -> str:
    """On one line, and not longer than a line is read."""
    return _short(_line(words.joined.join(flag.evidence)))


def _short(text: str) -> str:
    return text if len(text) <= _EVIDENCE_CHARACTERS else f"{text[: _EVIDENCE_CHARACTERS - 1]}…"


def _joined(sentences: Sequence[str], words: ClinicalStrings) -> str:
    return ("" if words is clinical_strings("zh-CN") else " ").join(filter(None, sentences))
