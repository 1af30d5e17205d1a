"""Which tokens carry a dose: digits, units, negations and drug names, in English and Chinese.

One wrong token there can cause harm, so a quantised model is also scored on these tokens alone. Words are searched in
the text, and every token that spells part of a match counts. Drugs are recognised by the stems of the WHO's
international nonproprietary names
(https://www.who.int/teams/health-product-and-policy-standards/inn/stembook) and
by a list of older names without a stem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NOT_IN_WORD = (r"(?<![^\W\d_])(?:", r")(?![^\W\d_])")


def _words(*alternatives: str) -> str:
    """A pattern for any of the alternatives as a whole word."""
    return "|".join(alternatives).join(_NOT_IN_WORD)


_NUMBER = r"(?:\d+(?:[.,/×-]\d+)*|[一二三四五六七八九十百半两]+)"
_PATTERNS = (
    # numbers followed by a unit that is otherwise a common word or a letter
    _NUMBER + r"\s?(?:g|l|克|升|片|粒|滴|袋|支|丸|次|岁|天|日|周|个?月|年|小时|分钟)(?![a-zA-Z])",
    r"\d+(?:[.,/×-]\d+)*(?:\s?[%‰])?",
    # units
    _words(
        r"[mkμµn]g|mcg|m?cg|ml|dl|mmol|mol|mEq|IU|units?|kcal|mmHg|bpm|tablets?|capsules?|drops?|puffs?|doses?",
        r"dosage|daily|once|twice|thrice|hourly|weekly|hours?|days?|weeks?|per|b\.?i\.?d|t\.?i\.?d|q\.?i\.?d|p\.?r\.?n",
    ),
    r"°[CF]|℃|毫克|微克|千克|公斤|毫升|毫摩尔|单位|毫米汞柱|胶囊|每日|每天|每次|每周|小时|剂量|日服|口服",
    # negations
    _words(
        r"no|not|never|without|none|neither|nor|cannot|den(?:y|ies|ied)|negative|absent|avoid|contraindicated|stop",
        r"(?:do|does|did|is|are|was|were|has|have|had|should|must|ca|wo|would|could)n['’]t",
    ),
    r"不|无|没|未|非|否|勿|禁|忌|避免|停|阴性",
    # drug names by their stems
    _words(
        r"[^\W\d_]{2,}(?:cillin|mycin|micin|cycline|floxacin|azole|prazole|vir|olol|pril|sartan|dipine|statin|gliptin"
        r"|gliflozin|glitazone|tidine|caine|barbital|azepam|azolam|setron|triptan|profen|oxicam|coxib|tinib|ciclib|mab"
        r"|ercept|parin|xaban|gatran|grel|thiazide|semide|zolamide|lukast|buterol|meterol|moterol|tropium|asone|isone"
        r"|olone|onide|fibrate|dronate|platin|rubicin|taxel|poside|trexate|oquine|oxetine|pramine|triptyline|peridol"
        r"|promazine|glutide|reotide|formin|zosin|asteride|relin)"
    ),
    r"[\u4e00-\u9fff]{0,3}(?:霉素|西林|环素|沙星|硝唑|康唑|洛韦|拉唑|替丁|洛尔|普利|沙坦|地平|他汀|列汀|列净|肝素|沙班"
    r"|格雷|噻嗪|塞米|特罗|松龙|地松|米松|可的松|昔康|昔布|替尼|单抗|紫杉醇|蝶呤|西泮|唑仑|司琼|曲坦|卡因|双胍)",
    # drugs without a stem
    _words(
        r"aspirin|ibuprofen|paracetamol|acetaminophen|insulin|warfarin|heparin|digoxin|lithium|morphine|codeine|fentanyl",
        r"oxycodone|methadone|naloxone|adrenaline|epinephrine|norepinephrine|atropine|amiodarone|levothyroxine|phenytoin",
        r"valproate|carbamazepine|gabapentin|pregabalin|clozapine|quetiapine|olanzapine|sertraline|citalopram|tamoxifen",
        r"escitalopram|venlafaxine|bupropion|colchicine|allopurinol|nitroglycerin|isosorbide|salbutamol|theophylline",
        r"rifampicin|isoniazid|ethambutol|ivermectin|tramadol|ketamine|propofol|magnesium|potassium|calcium|sodium",
    ),
    r"头孢[\u4e00-\u9fff]{0,2}|格列[\u4e00-\u9fff]{1,2}|布洛芬|阿司匹林|对乙酰氨基酚|胰岛素|华法林|地高辛|吗啡|可待因|阿托品"
    r"|肾上腺素|胺碘酮|硝酸甘油|左甲状腺素|秋水仙碱|氨茶碱|异烟肼|利福平|氯化钾|顺铂|卡铂|奥沙利铂",
)
DOSE = re.compile("|".join(_PATTERNS), re.IGNORECASE)


def carry_dose(pieces: Sequence[bytes]) -> NDArray[np.bool_]:
    """Which tokens of one text, given as bytes, spell part of a dose: bool [tokens]."""
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    text, place = _decoded(b"".join(pieces))
    carries = np.zeros(len(pieces), bool)
    for match in DOSE.finditer(text):
        first, last = np.searchsorted(ends, (place[match.start()], place[match.end()] - 1), "right")
        carries[first : last + 1] = True
    return carries


def _decoded(data: bytes) -> tuple[str, list[int]]:
    """The text, with invalid UTF-8 replaced, and the byte offset of each character and of the end."""
    characters: list[str] = []
    place: list[int] = []
    at = 0
    for character in data.decode("utf-8", "surrogateescape"):
        characters.append("\ufffd" if "\udc80" <= character <= "\udcff" else character)
        place.append(at)
        at += 1 if "\udc80" <= character <= "\udcff" else len(character.encode())
    return "".join(characters), [*place, at]
