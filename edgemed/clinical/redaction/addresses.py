"""Addresses without a house number, towns behind a verb, and employers, schools and homes. English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Identifier, Kind
from edgemed.clinical.redaction.words import EPONYMS, GENERAL, STOP

_CAP = r"[A-Z][a-z'-]{1,20}"
_TOWN = rf"{_CAP}(?: {_CAP}){{0,2}}"
_ROAD = r"(?:Street|Road|Avenue|Lane|Crescent|Close|Terrace|Grove|Mews|Square|Boulevard|Drive|St|Ave|Rd)"
_HOME = (
    r"(?:Cottages?|House|Court|Farm|Lodge|Villas?|Mansions|Buildings|Estate|Inn"
    r"|Hostel|Hall|Park|Forge|Mill|Manor|Towers?)"
)
_FLAT = r"(?:(?:Flat|Unit|Room|Apt|Apartment|Suite|No\.?|room|flat) ?\d{1,4}[A-Za-z]?,? |\d{1,4}[A-Za-z]?,? |[Tt]he )"
_REST = (
    rf"(?:, (?:near )?{_TOWN}(?![A-Za-z]|:| \d)){{0,2}}(?:,? [A-Z]{{1,2}}\d[\dA-Z]? \d[A-Z]{{2}}|,? Route \d{{1,3}})?"
)
_INSTITUTE = (
    r"Academy|Nursery|College|Primary|Kindergarten|Airways|Airlines|Bakery|Brewery|Motors|Tyres|Logistics|Foods|Farms"
    r"|Engineering|Shipyard|Garage|Pharmacy|Infirmary|Ltd|Limited|Inc|LLC|Plc|PLC|& Sons|& Co|Bros|Solicitors"
    r"|Eye Centre|Care Home|Supermarket|Factory"
)
_ENGLISH: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "address",
        re.compile(rf"(?:{_FLAT}?(?:{_CAP} ){{1,3}}{_HOME}, )?(?:\d{{1,4}}[a-z]? )?(?:{_CAP} ){{1,2}}{_ROAD}\b{_REST}"),
    ),
    ("address", re.compile(rf"{_FLAT}(?:{_CAP} ){{1,3}}{_HOME}\b{_REST}")),
    ("address", re.compile(rf"(?:{_CAP} ){{1,2}}{_HOME}, {_TOWN}{_REST}")),
    ("address", re.compile(rf"{_CAP} (?:St|Ave|Rd) and \w{{2,12}} (?:St|Ave|Rd)\b{_REST}")),
    ("address", re.compile(rf"P\.? ?O\.? Box \d{{1,6}}{_REST}")),
    (
        "address",
        re.compile(r"\bADDR(?:ESS)?:? (?P<v>[A-Z0-9][A-Z0-9 ,]{5,60}?)(?= (?:TEL|PHONE|MOB|NHS|GP|DOB)\b|[.\n]|$)"),
    ),
    ("place", re.compile(rf"(?:the )?(?:(?:St\.? )?[A-Z][\w'&-]{{1,20}} ){{1,3}}(?:{_INSTITUTE})(?![A-Za-z])")),
)
_PLACE_WORD = re.compile(rf" (?:{_ROAD}|{_HOME}|{_INSTITUTE})\b|ADDR|Box \d")
_EMPLOYER = re.compile(
    rf"(?:[Ss]chool|[Nn]ursery|[Ee]mployer|[Ww]orkplace|[Cc]ompany|[Ss]hipyard|[Aa]irline|[Hh]ostel|[Cc]ollege"
    rf"|[Ff]actory|[Gg]ym|[Ww]orks (?:at|for)|[Ww]orked (?:at|for)|[Ee]mployed (?:at|by)|plays? [a-z]{{3,12}} for"
    rf"|landlord of)"
    rf":? (?P<v>(?:the )?(?:St\.? )?[A-Z][\w'&-]+(?:(?: & | |, ){_CAP}){{0,3}})"
)
_GOES = re.compile(
    rf"(?:flies to|flew to|flight to"
    rf"|trip to|trips to|visit to|travel to|travelled to|holiday in"
    rf"|drives (?:him|her|them) from|driven from|came from|comes from|moved (?:from|to)|lives (?:in|at|near)|[Ll]ives"
    rf"|stays at"
    rf"|stayed at|clinic in"
    rf"|Clinic in|born in|buried in|works in|back from|returned from) (?P<v>(?:the )?{_TOWN}(?:,? near {_TOWN})?)"
)
_NOT_TOWN = STOP | EPONYMS | GENERAL | {"high"}

_HAN = r"[\u4e00-\u9fff]"
_KEYS = "省市区县镇乡村路街号弄巷栋楼室院苑园场道屯庄营里房店屋库厂桥坊科"
_HAN_CUED = re.compile(
    r"(?:家住|现住|住(?:址|在|于)?(?![院养入进了过])|家在|事发(?:地点?)?|信?寄[往到至]?|去过|校址|家访|地点|旧址|新址|宿舍|搬[至到去]"
    r"|送到|接自|店址|户籍|老家)[:：]? ?"
    r"(?P<v>[\u4e00-\u9fff\dA-Za-z（）()-]{2,24}?)(?=搬来|接来|送来|取药|取|来|摔|跌|[，,。;；、\n]|$)(?P<z>，邮编\d+)?"
)
_HAN_FROM = re.compile(
    rf"(?:从(?P<v>{_HAN}{{2,12}})(?=搬来|接来|送来|转来)|到(?P<w>[\u4e00-\u9fff()（）]{{2,16}})(?=取药))"
)
_HAN_KEY = re.compile(rf"[{_KEYS}]")
_HAN_NUMBERED = re.compile(
    rf"(?<!{_HAN})[\u4e00-\u9fff]{{1,8}}?(?:路|街|巷|弄|里|道|胡同|营地)[甲乙丙]?\d{{1,5}}[号弄](?:院|[甲乙丙])?\d{{0,4}}(?:[号栋楼]\d{{0,4}}[室门]?)?"
)
_HAN_BODY = re.compile(
    rf"(?<!{_HAN})(?:[在到住于去]|原是|就职于|任职于|供职于|学校|单位|幼儿园|建卡医院)?(?P<v>{_HAN}{{2,10}}?(?:幼儿园|小学|中学|大学|学院|保健院|卫生站"
    r"|卫生院|养老院|敬老院|林场|农场|大药房|药房|小区|公寓|酒馆|饭店|旅馆|宾馆|工厂|轮胎厂|纺织厂|公司|有限公司|集团|球队|工地|超市))"
)
_WORK = re.compile(rf"在(?P<v>{_HAN}{{2,12}}?)(?=上班|工作|任职|打工|就读|上学|读书)")
_NOT_HAN = re.compile(
    "^(?:院|本|当地|外地|外院|我院|该|某|家|楼上|农村|城市|养老院|社区|上级|附近|普通|全科|急诊|门诊|病房|病区|手术室|药房|内科|外科"
    "|儿科|妇科|[一二三]甲|基层|县|市|省|重症|监护|隔离|不同|一个|这|那|同|多家|两|各|心|肝|肺|肾|胸|腹|头|右|左|下|上|小肠|回)"
)


_TALK = re.compile(
    "[的是了我你您他她去就被给将时会能可要没以并]|有(?!限)|前[两几个一段]|一[位个家]|建议|检查|治疗|复[诊查]|住院|就诊|急诊|当地|省城|正规"
    "|大型|专[业科]|医院$|公立|制定|带到"
)
"""In a sentence about going to hospital, not in an address."""


def addresses(text: str) -> Iterator[Identifier]:
    """`text` is folded."""
    for kind, pattern in _ENGLISH if _PLACE_WORD.search(text) else ():
        for match in pattern.finditer(text):
            start, end = match.span("v" if "v" in pattern.groupindex else 0)
            words = text[start:end].replace(",", " ").split()
            bare = [word.casefold() for word in words if word[0].isalpha() and word.casefold() != "the"]
            inside = start > 0 and text[start - 1].isascii() and text[start - 1].isalnum()
            if not inside and (words[0][0].isdigit() or bare[0] not in _NOT_TOWN or "," in text[start:end]):
                yield Identifier(start, end, kind)
    for pattern in (_EMPLOYER, _GOES):
        for match in pattern.finditer(text):
            first = match["v"].removeprefix("the ").split()[0].strip(",").casefold()
            if first not in _NOT_TOWN:
                yield Identifier(*match.span("v"), "place")
    if not text.isascii():
        yield from _chinese(text)


def _chinese(text: str) -> Iterator[Identifier]:
    for match in _HAN_CUED.finditer(text):
        if _HAN_KEY.search(match["v"]) and not (_NOT_HAN.match(match["v"]) or _TALK.search(match["v"])):
            yield Identifier(match.start("v"), match.end(), "address")
    yield from (Identifier(*match.span(), "address") for match in _HAN_NUMBERED.finditer(text))
    for pattern in (_HAN_BODY, _WORK):
        for match in pattern.finditer(text):
            if not (_NOT_HAN.match(match["v"]) or _TALK.search(match["v"])):
                yield Identifier(*match.span("v"), "place")
    for match in _HAN_FROM.finditer(text):
        group = "v" if match["v"] else "w"
        if not (_NOT_HAN.match(match[group]) or _TALK.search(match[group])):
            yield Identifier(*match.span(group), "place")
