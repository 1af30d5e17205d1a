"""Codes with letters and digits behind a word that says what they number, and account names behind the service's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Identifier, Kind

_CODE = (
    r"(?P<v>[a-z]{0,6}\d[a-z\d]*(?:[-/][a-z\d]+){0,4}|[a-z]{1,6}[-/][a-z\d]+(?:[-/][a-z\d]+){0,3}|[a-z]{2,4}"
    r"(?: \d{2,4}(?:-\d{2,4})?){1,4}|[a-z]{1,4}\d[a-z][a-z\d]{1,6})(?![a-z\d])"
)
_LABELS: tuple[tuple[Kind, str], ...] = (
    ("device", r"lot|batch|kit|transmitter|sensor|s/n|serial|tank id|批号|起搏器|药盒|泵号|管号|编号"),
    (
        "record",
        r"ref|reference|barcode|booking code|booking|donor code|claim|case|sample|subject|participant|form|id"
        r"|true one|crime no|incident|条码|样本|受试者|切片号|案号|警号|航班|实为",
    ),
    ("licence", r"badge|pass|permit|certificate|residence card|居留证|证"),
    ("account", r"policy|group|member|voucher|发票号"),
)
_LABELLED = tuple(
    (kind, re.compile(rf"(?:{label})(?: (?:no\.?|number|id|code|ref))?[:#]? ?(?<![a-z]){_CODE}"))
    for kind, label in _LABELS
)
_AMOUNT = re.compile(r"\d+(?:mg|mcg|ml|g|kg|mm|cm|l|st|nd|rd|th|h|d|x|yo|y|m|f|w)?(?:/\d+)?")
_FORM = re.compile(r"(?<![\w./-])[a-z]{1,4}\d{0,2}[-/]\d{2,8}[-/]\d{2,6}(?![\w/-])")
_PUBLISHED = re.compile(r"covid|icd|who|sars|hla|il-|ca-|ct/|mri/|cha2|h\dn\d")
_LOCAL = re.compile(r"(?<![\d./-])[2-9]\d\d-(?:0\d{3})(?![\d./-]\d|\d)")
_HAN_CASE = re.compile(r"[(（]\d{4}[)）][\u4e00-\u9fff]{1,8}第?\d{1,8}号|[\u4e00-\u9fff]字第?\d{3,12}号")
_SERVICE = re.compile(
    r"(?:微信|微博|抖音|支付宝|小红书|快手|qq|wechat|whatsapp|skype|telegram|kakaotalk|kakao|line id|viber|signal"
    r"|instagram|facebook|twitter|snapchat|tiktok)(?:号码?|账号|id| id)?[:：]? ?"
    r"(?P<v>(?:wx: ?|live:)?[a-z][\w.@-]{3,40})"
)


def codes(low: str) -> Iterator[Identifier]:
    """`low` is folded and in lower case."""
    for kind, pattern in _LABELLED:
        for match in pattern.finditer(low):
            value = match["v"]
            digits = sum(map(str.isdigit, value))
            code = value.isdigit() or not _AMOUNT.fullmatch(value)
            if code and digits >= 2 and len(value) >= 5 and not _inside(low, match.start()):
                yield Identifier(*match.span("v"), kind)
    for match in _FORM.finditer(low):
        if not _PUBLISHED.match(match[0]):
            yield Identifier(*match.span(), "record")
    yield from (Identifier(*match.span(), "phone") for match in _LOCAL.finditer(low))
    yield from (Identifier(*match.span(), "record") for match in _HAN_CASE.finditer(low))
    for match in _SERVICE.finditer(low):
        value = match["v"]
        if not _inside(low, match.start()) and (re.search(r"[\d_@:]", value) or "-" in value.strip("-")):
            yield Identifier(match.start("v"), match.end("v") - value.endswith((".", "-")), "messenger")


def _inside(low: str, at: int) -> bool:
    return at > 0 and low[at].isascii() and low[at - 1].isascii() and low[at - 1].isalpha()
