"""What the header and the texts say about the patient's age, sex and pregnancy, as the rules of values need it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgemed.clinical import mentioned, patient_patterns
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags.flag import Text

_AGE = re.compile(r"\s*(\d{1,3})(?:\.\d+)?\s*-?\s*([a-z]+|[\u4e00-\u9fff]+)?", re.I)
_NOT_PREGNANT = re.compile(
    r"\b(?:not|isn['’]t|never|non)[\s-]+(?:been |currently )?pregnan\w+|\bden(?:y|ies|ied) (?:any )?pregnancy"
    r"|pregnancy (?:test )?(?:was |is )?(?:neg\w*|excluded|ruled out)|negative pregnancy test|(?:hcg"
    r"|pregnancy)[:=]?\s*(?:neg\w*|-ve|no\b)"
    r"|\bpost-?menopausal\b|\bhysterectomy\b|未孕|未怀孕|没有怀孕|否认(?:妊娠|怀孕)|非(?:妊娠|孕)|绝经|妊娠试验阴性"
    r"|子宫切除",
    re.I,
)
_PREGNANT = re.compile(
    r"\bpregnant\b|\bpregnancy\b|\b(?:primi|multi)gravida|\bg\d{1,2}\s?p\d|\b(?:[4-9]|[123]\d|4[0-3])(?:\+\d)?\s?(?:weeks?|/40"
    r"|wks?)(?:['’]? of)? (?:gestation|pregnan)"
    r"|\b(?:[4-9]|[123]\d|4[0-3])(?:\+\d)?/40\b|\bgestation(?:al age)?\b|孕\s?\d|孕妇|怀孕|妊娠|产妇",
    re.I,
)
_NO = re.compile(r"(?:no|not|none|nil|n/?a|neg\w*|false|-|0)\b|否|无|未|不|非|阴", re.I)
_LOOKED_AT = 4000
"""Characters of a text in which a pregnancy is looked for."""


def age(texts: Sequence[Text], header: CaseHeader) -> float | None:
    """Years, from the header or from the newest text that opens with an age or has a field for it; None if unknown."""
    if (match := _AGE.match(header.age)) and match[1]:
        return mentioned.age_item(match[1], match[2] or "", "").years
    for text in reversed(texts):
        body = text.body[:_LOOKED_AT]
        if labelled := patient_patterns.LABELLED_AGE.search(body):
            written = (labelled["n"] or labelled["hn"], labelled["u"] or labelled["hu"] or "")
            return mentioned.age_item(*written, "").years
        for item in mentioned.ages_in(mentioned.opening_of(body)):
            if item.kind == "age":
                return item.years
    return None


def sex(texts: Sequence[Text], header: CaseHeader) -> str:
    """ "M", "F" or "" if it is not known."""
    if known := patient_patterns.SEX_WORDS.get(header.sex.strip().lower()):
        return known
    for text in reversed(texts):
        body = text.body[:_LOOKED_AT]
        if labelled := patient_patterns.LABELLED_SEX.search(body):
            return patient_patterns.SEX_WORDS[(labelled["s"] or labelled["hs"]).lower()]
        for item in mentioned.ages_in(mentioned.opening_of(body)):
            if item.kind == "sex":
                return item.value
    return ""


def pregnant(texts: Sequence[Text], header: CaseHeader) -> bool | None:
    """Whether header or texts say so; None if neither says anything."""
    if header.pregnancy.strip():
        return not _NO.match(header.pregnancy.strip())
    for text in reversed(texts):
        body = text.body[:_LOOKED_AT]
        if _PREGNANT.search(_NOT_PREGNANT.sub(" ", body)):
            return True
        if _NOT_PREGNANT.search(body):
            return False
    return None
