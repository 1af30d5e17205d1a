"""Numbers behind a label: MRN, NHS No, SSN, Tel, 住院号, 医保号, 车牌 ..."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Identifier, Kind

_NO = r"(?: ?(?:no\.?|number|num\.?|nr\.?|id|identifier|#|code))"
_LABELS: tuple[tuple[Kind, str, int], ...] = (
    # kind, label, fewest digits
    ("nhs", rf"nhs{_NO}?|new nhs{_NO}", 8),
    ("ssn", rf"ssn|social security{_NO}?|nino|national insurance{_NO}?|ni{_NO}|tax{_NO}", 4),
    (
        "record",
        rf"mrn|(?:mr|hospital|hosp|unit|chart|record|records|medical records?|patient|patient's|pt|case|file"
        rf"|episode|encounter"
        rf"|visit|accession|specimen|lab|laboratory|sample|study|subject|trial|participant|pas|district|x-?ray|referral"
        rf"|admission|clinic|our ref|your ref|ref|reference|order|requisition|prescription|rx|ward|registration){_NO}"
        r"|medical record|accession|urn|uhid|csn|ubrn|chi|h&c|crn|our ref|your ref|(?:ref|reference)(?=:)",
        3,
    ),
    (
        "account",
        rf"(?:account|acct|a/c|policy|member|membership|insurance|insurer|subscriber|beneficiary|group|plan|health plan"
        rf"|claim|billing|invoice|card|credit card|debit card|bank|payer|medicare|medicaid|voucher){_NO}"
        r"|account|acct|iban|sort code|medicare|medicaid|mbi|credit card|debit card",
        4,
    ),
    (
        "vehicle",
        rf"vin|(?:vehicle|vehicle id|plate|number plate|licen[cs]e plate|vehicle reg(?:istration)?|reg){_NO}?",
        2,
    ),
    (
        "licence",
        rf"(?:licen[cs]e|driving licen[cs]e|driver'?s licen[cs]e|dl|certificate|visa|passport|registration|staff"
        rf"|employee"
        rf"|payroll|gmc|nmc|hcpc|gphc|npi|dea){_NO}?|driving licen[cs]e",
        4,
    ),
    (
        "device",
        rf"(?:serial|device|device serial|implant|pacemaker|pump|generator|lead|model|lot|batch|catalogue){_NO}"
        r"|serial|s/n|udi|imei|mac address",
        3,
    ),
    ("id_card", r"身份证(?:件)?(?:号码?)?|公民身份号码|证件号码?|身份号码", 6),
    (
        "licence",
        r"护照(?:号码?)?|军官证(?:号码?)?|驾驶?证(?:号码?)?|执业证书?(?:号码?|编号)|资格证书?(?:号码?|编号)|工号|学号",
        3,
    ),
    (
        "insurance",
        r"(?:医保|社保|社会保障|医疗保险|农合|新农合|医疗证|参保)(?:卡|证)?(?:号码?|编号|账号|个人编号)|(?:医保"
        r"|社保|社会保障)卡",
        4,
    ),
    (
        "record",
        r"(?:住院|病历|病案|门诊|就诊|急诊|登记|患者|病人|档案|检查|影像|超声|病理|标本|样本|条码|检验|放射|申请单"
        r"|处方|流水"
        r"|诊疗|诊疗卡|就诊卡|挂号|入院|体检|胃镜|手术|手环|试验|受试者|随机)(?:号码?|编号|卡号|id)"
        r"|(?:ct|mri?|x线|b超|id)号|病历(?=:)|条码",
        3,
    ),
    ("account", r"(?:银行)?卡号|银行账号|账号|保单号码?|发票号码?", 4),
    ("vehicle", r"车牌(?:号码?)?|车架号|发动机号", 2),
    ("device", r"序列号|设备(?:号|编号)|出厂编号|产品编号|(?:起搏器|植入物|支架|假体)(?:编号|号)|批号", 3),
    ("postcode", r"邮编|邮政编码|post ?code|zip(?: ?code)?", 4),
    (
        "messenger",
        r"(?:微信|微博|抖音|支付宝|qq)(?:号码?|账号|id)?|wechat(?: id)?|whatsapp|skype|telegram|instagram|twitter",
        3,
    ),
)
_KINDS = tuple((kind, re.compile(label.replace("(?=:)", "")), fewest) for kind, label, fewest in _LABELS)
_VALUE = (
    r"[ \t]{0,3}(?:is|was|of|为|是)?[ \t]{0,2}[:=#.)-]?[ \t#]{0,3}"
    r"(?P<v>[a-z]{0,6}[-/ ]?\d[\da-z/-]{1,24}(?: \d{2,6}(?![\d./]|-\d|[ -]?(?:mg|ml|mcg|kg|cm|mm|y|years?|yo|m|f)"
    r"(?![a-z])))"
    r"{0,4}(?: [a-z]{1,3}(?![a-z]))?|[a-z@][\w.@-]{3,30})"
)
_LABELLED = re.compile("(" + "|".join(label for _, label, _ in _LABELS) + ")" + _VALUE)

_PHONE = re.compile(
    r"(?P<fax>fax|传真)|(?P<short>ext|extension|bleep|bleeper|pager|分机|呼机|内线|尾号)"
    r"|(?:tel|telephone|phone|mobile|mob|cell|cellphone|contact|contact number|landline|call|ring|text|hotline"
    r"|电话|手机|联系方式|座机|固话|热线|号码)"
)
_PHONE_VALUE = re.compile(
    r"(?:号码?)?[ \t]{0,2}(?:no\.?|number|num\.?|#|on|at|me on|back on)?[ \t]{0,2}(?:is|为"
    r"|是)?[ \t]{0,2}[:.=]?[ \t]{0,3}"
    r"(?P<v>\+?\(?\d[\d ()-]{1,22}\d(?:,? ?(?:转|ext\.?|extension|x) ?\d{1,6})?)(?![\d/]|\.\d)"
)


def labelled(low: str) -> Iterator[Identifier]:
    """Numbers behind a label. `low` is folded and in lower case."""
    for match in _LABELLED.finditer(low):
        if _inside_word(low, match.start()) or (match.start("v") == match.end(1) and _inside_word(low, match.end(1))):
            continue  # platelets 212
        value = match["v"]
        kind, fewest = _kind_of(match[1])
        digits = sum(map(str.isdigit, value))
        if digits == 0 and kind == "messenger":
            if "_" in value or re.match(r"[ \t]*[:=]", low[match.end(1) : match.end(1) + 4]):
                yield Identifier(match.start("v"), match.end("v"), kind)
        elif digits >= fewest and len(re.sub(r"[^0-9a-z]", "", value)) >= 4:
            start, end = match.span("v")
            if kind not in ("vehicle", "ssn"):
                end -= len(value) - len(re.sub(r" [a-z]{1,3}$", "", value))
            yield Identifier(start, end, kind)
    for label in _PHONE.finditer(low):
        phone = None if _inside_word(low, label.start()) else _PHONE_VALUE.match(low, label.end())
        if phone and sum(map(str.isdigit, phone["v"])) >= (3 if label["short"] else 5):
            yield Identifier(phone.start("v"), phone.end("v"), "fax" if label["fax"] else "phone")


def _kind_of(label: str) -> tuple[Kind, int]:
    return next((kind, fewest) for kind, rule, fewest in _KINDS if rule.fullmatch(label))


def _inside_word(low: str, at: int) -> bool:
    return at > 0 and low[at].isascii() and low[at - 1].isascii() and low[at - 1].isalpha()
