"""The sentences of red flags, of what is not given, and of the marks on answers, in both languages.

Braces are filled with `str.format`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemed.chat.visible import visible
from edgemed.clinical import Language
from edgemed.clinical.case import label
from edgemed.clinical.flags.flag import Flag
from edgemed.clinical.watch import AllergyMark, Marks

MOST_LINES = 2
"""Flags that are shown at once. The others are counted."""
_EVIDENCE_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class ClinicalStrings:
    """One language's sentences."""

    flag: str
    if_emergency: str
    number: str
    asks_unit: str
    more: str
    joined: str
    failed: str
    not_given: str
    fill_in: str
    fill_in_plain: str
    numbers: str
    names: str
    not_reviewed: str
    reviewed: str
    found_in_chat: str
    none_found: str
    listed: str
    groups: dict[str, str]
    rules_title: str
    on: str
    off: str
    turned_on: str
    turned_off: str
    rules_plain: str
    no_group: str
    emergency_now: str
    emergency_none: str
    emergency_help: str


ENGLISH = ClinicalStrings(
    flag='Text match, not an assessment: "{evidence}" ({rule}, {source}).',
    if_emergency="If this is an emergency, use your local pathway; do not wait for this answer.",
    number="Emergency number (typed by you): {number}.",
    asks_unit="No unit: which one is meant?",
    more="and {count} more (/flags).",
    joined=" ... ",
    failed="These rules ended with an error, so the text was not read by them: {groups}.",
    not_given="not given: {fields}",
    fill_in="Ctrl+T: fill in",
    fill_in_plain="/case and a field sets it",
    numbers="numbers not from your text: {count}",
    names="names {found}: in this case's allergies ({allergy})",
    not_reviewed="Rules {version}: NOT CLINICALLY REVIEWED. Nothing found does not mean that there is nothing.",
    reviewed="Rules {version}, reviewed by {name}. Nothing found does not mean that there is nothing.",
    found_in_chat="Text matches in this chat:",
    none_found="No rule matches a text of this chat.",
    listed='{rule} ({group}): "{evidence}". Source: {source}.',
    groups={
        "phrases": "red flags by phrase",
        "values": "red flags by value",
        "news2": "NEWS2",
        "missing": "“not given” before an answer about a dose or a drug",
        "allergies": "mark on an answer that names an allergy of the case",
        "numbers": "count of an answer's numbers that are not in your text",
        "guard": "question whether a text is about another patient",
    },
    rules_title="Groups of rules. Enter switches one on or off.",
    on="on",
    off="OFF",
    turned_on="On: {group}.",
    turned_off="OFF until you switch it on again: {group}.",
    rules_plain="/rules and a name switches a group, as in /rules values.",
    no_group="There is no group {word}. /rules lists them.",
    emergency_now="Emergency number: {number}. It is shown with every text match.",
    emergency_none="No emergency number is set.",
    emergency_help="/emergency and a number sets it, as you typed it; a hyphen clears it.",
)

CHINESE = ClinicalStrings(
    flag="文字匹配，并非评估：“{evidence}”（{rule}，{source}）。",
    if_emergency="如属紧急情况，请按本单位流程处理；不要等待本回答。",
    number="急救电话（由您输入）：{number}。",
    asks_unit="没有单位：是哪个单位？",
    more="另有 {count} 项（/flags）。",
    joined=" ... ",
    failed="以下规则出错，未能检查该文字：{groups}。",
    not_given="未提供：{fields}",
    fill_in="Ctrl+T：填写",
    fill_in_plain="输入 /case 和字段即可填写",
    numbers="不来自您文字的数字：{count} 个",
    names="提及 {found}：属于本病例的过敏史（{allergy}）",
    not_reviewed="规则 {version}：未经临床审核（NOT CLINICALLY REVIEWED）。未发现不等于没有。",
    reviewed="规则 {version}，审核人：{name}。未发现不等于没有。",
    found_in_chat="本对话中的文字匹配：",
    none_found="没有规则与本对话的文字匹配。",
    listed="{rule}（{group}）：“{evidence}”。来源：{source}。",
    groups={
        "phrases": "红旗征：词语",
        "values": "红旗征：数值",
        "news2": "NEWS2",
        "missing": "剂量或药物问题前的“未提供”",
        "allergies": "回答提及本病例过敏药物时的标记",
        "numbers": "回答中不来自您文字的数字个数",
        "guard": "文字是否属于另一位患者的询问",
    },
    rules_title="规则分组。按 Enter 开启或关闭。",
    on="开",
    off="关",
    turned_on="已开启：{group}。",
    turned_off="已关闭，直到您重新开启：{group}。",
    rules_plain="输入 /rules 和名称可开启或关闭一组，例如 /rules values。",
    no_group="没有名为 {word} 的分组。/rules 列出全部分组。",
    emergency_now="急救电话：{number}。每次文字匹配时显示。",
    emergency_none="未设置急救电话。",
    emergency_help="输入 /emergency 和号码即可设置，按您输入的内容显示；输入连字符则清除。",
)

_BY_LANGUAGE: dict[Language, ClinicalStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def clinical_strings(language: Language) -> ClinicalStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]


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


def not_given_line(fields: Sequence[str], language: Language, *, plain: bool = False) -> str:
    """Which fields of the header a question about a dose or a drug lacks, and how to fill them; empty if none."""
    words = clinical_strings(language)
    names = ("、" if language == "zh-CN" else ", ").join(_field(name, language) for name in fields)
    how = words.fill_in_plain if plain else words.fill_in
    return f"{words.not_given.format(fields=names)} · {how}" if fields else ""


def allergy_lines(marks: Marks, words: ClinicalStrings) -> str:
    """What an answer names of the case's allergies, one a line, and which comparisons failed; empty if nothing."""
    lines = [words.names.format(found=_named(mark), allergy=_line(mark.allergy)) for mark in marks.allergies]
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
    text = _line(words.joined.join(flag.evidence))
    return text if len(text) <= _EVIDENCE_CHARACTERS else f"{text[: _EVIDENCE_CHARACTERS - 1]}…"


def _joined(sentences: Sequence[str], words: ClinicalStrings) -> str:
    return ("" if words is CHINESE else " ").join(filter(None, sentences))
