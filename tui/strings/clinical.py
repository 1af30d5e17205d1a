"""The sentences of red flags, of what is not given, and of the marks on answers, in both languages.

Braces are filled with `str.format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical import Language


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
    score: str
    no_score: str
    missing: str
    parameters: dict[str, str]
    reasons: dict[str, str]
    scale_now: str
    scale_none: str
    not_given: str
    fill_in: str
    fill_in_plain: str
    numbers: str
    names: str
    names_related: str
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
    score="NEWS2 {score} (scale {scale}): {evidence}",
    no_score="NEWS2 not computed: {why}",
    missing="missing {parameters}",
    parameters={
        "respiration": "respiration",
        "spo2": "SpO2",
        "oxygen": "oxygen",
        "systolic": "systolic pressure",
        "pulse": "pulse",
        "consciousness": "consciousness",
        "temperature": "temperature",
    },
    reasons={
        "under_16": "it is for patients of 16 and older",
        "pregnant": "it is not for pregnancy",
        "pregnancy_unknown": "missing pregnancy",
        "age_unknown": "missing age",
        "no_scale": "missing SpO2 scale (/scale 1 or /scale 2)",
    },
    scale_now="SpO2 scale of this case: {scale}.",
    scale_none="No SpO2 scale is chosen for this case; /scale 1 or /scale 2 chooses it.",
    not_given="not given: {fields}",
    fill_in="Ctrl+T: fill in",
    fill_in_plain="/case and a field sets it",
    numbers="numbers not from your text: {count}",
    names="names {found}: in this case's allergies ({allergy})",
    names_related="names {found}: related to this case's allergies ({allergy}): {note}",
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
    score="NEWS2 {score}（量表 {scale}）：{evidence}",
    no_score="未计算 NEWS2：{why}",
    missing="缺少{parameters}",
    parameters={
        "respiration": "呼吸频率",
        "spo2": "血氧饱和度",
        "oxygen": "是否吸氧",
        "systolic": "收缩压",
        "pulse": "脉搏",
        "consciousness": "意识",
        "temperature": "体温",
    },
    reasons={
        "under_16": "仅适用于 16 岁及以上",
        "pregnant": "不适用于妊娠",
        "pregnancy_unknown": "缺少妊娠情况",
        "age_unknown": "缺少年龄",
        "no_scale": "缺少血氧量表（/scale 1 或 /scale 2）",
    },
    scale_now="本病例的血氧量表：{scale}。",
    scale_none="本病例未选择血氧量表；用 /scale 1 或 /scale 2 选择。",
    not_given="未提供：{fields}",
    fill_in="Ctrl+T：填写",
    fill_in_plain="输入 /case 和字段即可填写",
    numbers="不来自您文字的数字：{count} 个",
    names="提及 {found}：属于本病例的过敏史（{allergy}）",
    names_related="提及 {found}：与本病例的过敏史（{allergy}）有关：{note}",
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
