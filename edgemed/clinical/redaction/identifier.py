"""What the redaction rules find: a part of a text, and the kind of thing it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from edgemed.clinical.language import Language

Kind = Literal[
    "name", "date", "age", "address", "place", "postcode", "phone", "fax", "email", "url", "ip", "ssn", "nhs",
    "id_card",
    "record", "insurance", "account", "licence", "vehicle", "device", "messenger", "number", "other",
]  # fmt: skip
"""The Safe Harbor identifiers that a text can hold, the Chinese ones, and "other" for what a person marks."""

LABELS: dict[Language, dict[Kind, str]] = {
    "en": {
        "name": "NAME", "date": "DATE", "age": "AGE OVER 89", "address": "ADDRESS", "place": "PLACE",
        "postcode": "POSTCODE", "phone": "PHONE", "fax": "FAX", "email": "EMAIL", "url": "WEB ADDRESS",
        "ip": "IP ADDRESS", "ssn": "SOCIAL SECURITY NUMBER", "nhs": "NHS NUMBER", "id_card": "ID CARD",
        "record": "RECORD NUMBER", "insurance": "INSURANCE NUMBER", "account": "ACCOUNT NUMBER", "licence": "LICENCE",
        "vehicle": "VEHICLE", "device": "DEVICE", "messenger": "MESSENGER", "number": "NUMBER", "other": "REDACTED",
    },
    "zh-CN": {
        "name": "姓名", "date": "日期", "age": "89岁以上", "address": "地址", "place": "地点", "postcode": "邮编",
        "phone": "电话", "fax": "传真", "email": "邮箱", "url": "网址", "ip": "IP地址", "ssn": "社会保障号",
        "nhs": "NHS号", "id_card": "身份证号", "record": "病历号", "insurance": "医保号", "account": "账号",
        "licence": "证件号", "vehicle": "车牌", "device": "设备号", "messenger": "社交账号", "number": "编号",
        "other": "已隐去",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identifier:
    """The characters [start, end) of a text. `known`: the case header has it."""

    start: int
    end: int
    kind: Kind
    known: bool = False


@dataclass(frozen=True, slots=True)
class Name:
    """A name at [start, end) of a text. `sure`: its words are looked for in the rest of the text."""

    start: int
    end: int
    sure: bool


def merged(found: Iterable[Identifier]) -> list[Identifier]:
    """In the order of the text, with overlapping ones made one: of the kind of the longest, known if any is."""
    whole: list[Identifier] = []
    longest = 0
    for each in sorted(found, key=lambda one: (one.start, -one.end)):
        if not whole or each.start >= whole[-1].end:
            whole.append(each)
            longest = each.end - each.start
            continue
        last = whole[-1]
        if each.end <= last.end and last.known >= each.known:
            continue
        kind = each.kind if each.end - each.start > longest else last.kind
        longest = max(longest, each.end - each.start)
        whole[-1] = replace(last, end=max(last.end, each.end), kind=kind, known=last.known or each.known)
    return whole
