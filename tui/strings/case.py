"""The sentences of the case header, the place and the question about another patient, in both languages.

Braces are filled with `str.format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.chat.visible import visible
from edgemed.clinical import Language
from edgemed.clinical.wrong_patient import Mismatch


@dataclass(frozen=True, slots=True)
class CaseStrings:
    """One language's sentences."""

    heading: str
    told: str
    screen_only: str
    hints: dict[str, str]
    keys: str
    place: str
    place_unset: str
    unnamed: str
    changed: str
    read_again: str
    not_told: str
    told_from_now: str
    new_case: str
    new_case_said: str
    new_case_keys: str
    new_case_plain: str
    moved: str
    empty: str
    case_plain: str
    no_field: str
    dropped: str


ENGLISH = CaseStrings(
    heading="Case header. Every field is optional.",
    told="Told to the model with every question of this case:",
    screen_only="For the screen only, never in a prompt (text that you paste goes to the model unchanged):",
    hints={
        "age": "e.g. 54, or 8 months",
        "sex": "M or F",
        "weight": "kg",
        "allergies": "e.g. penicillin: rash; or none known",
        "medicines": "with doses",
        "problems": "long-term and current",
        "pregnancy": "e.g. no; 24 weeks; breastfeeding",
        "egfr": "mL/min/1.73 m²",
        "initials": "e.g. JS",
        "born": "e.g. 1972-04-03",
        "number": "MRN or another",
    },
    keys="Tab, Up, Down: fields · Enter: next · Ctrl+S: save · Esc: leave without saving",
    place="The model is told of the place: {place}",
    place_unset="The model is told nothing of the place. /units, /drugnames and /answersin set it.",
    unnamed="Case",
    changed="Case header changed.",
    read_again="Case header changed. The next answer starts by reading the whole conversation again.",
    not_told="The model is no longer told.",
    told_from_now="The model is told from the next question on: {value}",
    new_case="New case? “{found}” does not fit “{known}” in this one.",
    new_case_said="New case? The text begins with “{found}”.",
    new_case_keys="Alt+M: new case with this text · Enter: go on with this case",
    new_case_plain="It was not sent. /newcase: send it in a new chat. Empty line: send it in this one.",
    moved="New case. Enter sends the text.",
    empty="not given",
    case_plain="/case and a field sets it, as in /case allergies penicillin; a hyphen clears it.",
    no_field="There is no field {word}. /case lists them.",
    dropped="The text before was not sent.",
)

CHINESE = CaseStrings(
    heading="病例信息。所有字段均可不填。",
    told="随本病例的每个问题告知模型：",
    screen_only="只显示在屏幕上，不会写入提示（您粘贴的文字会原样发送给模型）：",
    hints={
        "age": "例如 54，或 8 个月",
        "sex": "男或女",
        "weight": "kg",
        "allergies": "例如 青霉素：皮疹；或无",
        "medicines": "含剂量",
        "problems": "慢性病和当前疾病",
        "pregnancy": "例如 否；孕 24 周；哺乳期",
        "egfr": "mL/min/1.73 m²",
        "initials": "例如 ZS",
        "born": "例如 1972-04-03",
        "number": "住院号或病历号",
    },
    keys="Tab、上、下：切换字段 · Enter：下一项 · Ctrl+S：保存 · Esc：不保存离开",
    place="告知模型的地区设置：{place}",
    place_unset="未告知模型地区设置。用 /units、/drugnames、/answersin 设置。",
    unnamed="病例",
    changed="病例信息已更新。",
    read_again="病例信息已更新。下一个回答会先重新读取整个对话。",
    not_told="不再告知模型。",
    told_from_now="从下一个问题起告知模型：{value}",
    new_case="是新病例吗？“{found}”与本病例的“{known}”不符。",
    new_case_said="是新病例吗？文字以“{found}”开头。",
    new_case_keys="Alt+M：以此文字新建病例 · Enter：继续本病例",
    new_case_plain="尚未发送。/newcase：在新对话中发送。空行：在本对话中发送。",
    moved="新病例。按 Enter 发送文字。",
    empty="未填",
    case_plain="输入 /case、字段和内容即可设置，例如 /case 过敏史 青霉素；输入连字符则清除。",
    no_field="没有字段 {word}。/case 列出全部字段。",
    dropped="之前的文字未发送。",
)

_BY_LANGUAGE: dict[Language, CaseStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def case_strings(language: Language) -> CaseStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]


def question_about(mismatch: Mismatch, words: CaseStrings) -> str:
    """The question whether a text is about another patient."""
    asked = words.new_case if mismatch.known else words.new_case_said
    return asked.format(found=visible(mismatch.found), known=visible(mismatch.known)).replace("\n", " ")
