"""Addresses and places below a state or a province."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Identifier, Kind
from edgemed.clinical.redaction.words import GENERAL, STOP

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK"
    "|OR|PA|RI"
    "|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC"
)
_FULL_STATES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho"
    "|Illinois|Indiana"
    "|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana"
    "|Nebraska"
    "|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania"
    "|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia"
    "|Wisconsin|Wyoming"
)
_TOWN = r"[A-Z][a-z]{2,20}(?:[ -](?:(?:upon|on|under|le|the|by)[ -])?[A-Z][a-z]{1,20}){0,3}"
_POSTCODE = r"(?:[A-PR-UWYZ](?:[A-HK-Y]?\d[\dA-HJKMNPR-Y]?)) ?\d[ABD-HJLNP-UW-Z]{2}(?![A-Za-z0-9])"
_STREET = (
    r"Street|Road|Avenue|Ave|Lane|Close|Court|Crescent|Cres|Place|Terrace|Terr|Gardens|Gdns|Grove|Square|Boulevard|Blvd"
    r"|Mews|Parade|Highway|Hwy|Parkway|Pkwy|Circle|Quay|Wharf|Drive|Walk|Rise|Hill|View|Green|Rd|Row|Way|Park"
    r"|Alley|Loop|Trail"
)
_MIDDLE = r"(?!January|February|March|April|May|June|July|August|September|October|November|December)[A-Z][\w'.-]{0,20}"
_RULES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "address",
        re.compile(
            rf"(?:(?:Flat|Apt|Apartment|Unit|Suite|Room|House|Block)\.? ?[\dA-Z]{{1,5}},? )?\d{{1,5}}[A-Za-z]?"
            rf"(?:[-/]\d{{1,4}})?,? "
            rf"(?:{_MIDDLE} ){{1,4}}(?:(?:{_STREET})(?![A-Za-z])\.?|(?:Dr|St|Ct|Pl|Ln)\b\.?(?=[,;\n]|$))"
            rf"(?: (?:NW|NE|SW|SE)(?![A-Za-z]))?"
            rf"(?:,? (?:Apt|Unit|Suite|Flat)\.? ?[\dA-Z]{{1,5}})?(?:,[ \n]{_TOWN}){{0,3}}"
            rf"(?:,? (?:{_STATES})(?![A-Za-z]))?(?:,?[ \n](?:{_POSTCODE}|\d{{5}}(?:-\d{{4}})?(?!\d)))?"
        ),
    ),
    (
        "address",
        re.compile(
            r"(?i:\d{1,4} (?!days?|weeks?|months?|years?|times|miles?|hours?|minutes?)[a-z'-]{2,20} "
            r"(?:[a-z'-]{2,20} )?(?:street|road|avenue|lane|crescent|close))(?![A-Za-z])"
        ),
    ),
    ("address", re.compile(r"P\.? ?O\.? Box \d{1,6}")),
    ("postcode", re.compile(_POSTCODE)),
    ("address", re.compile(rf"(?:{_STATES}|{_FULL_STATES}),? \d{{5}}(?:-\d{{4}})?(?!\d)")),
    (
        "place",
        re.compile(
            rf"{_TOWN}(?=, (?:{_FULL_STATES}|(?:A[LKZR]|CT|DE|FL|GA|I[LA]|K[SY]|M[ANOT]|N[EVHJMYCD]|OH|RI|SC|SD|TN"
            rf"|TX|UT|V[TA]|W[AVIY])(?![A-Za-z])|(?:{_STATES}) \d{{5}}))"
        ),
    ),
)
_INSTITUTION = re.compile(
    r"(?:St\.? |Royal |Queen |King |Prince |Princess |Great |New |North |South |East |West |Mount |University of ){0,2}"
    r"[A-Z][a-z'-]{2,20}(?: (?:[A-Z][a-z'-]{1,20}|of|and|the)){0,4}"
    r" (?:Hospital|Infirmary|Hospice|Nursing Home|Care Home|Medical Cent(?:re|er)|Health Cent(?:re|er)|Primary School"
    r"|High School|Church|Mosque|Surgery|Practice)(?![A-Za-z])"
)
_LIVES = re.compile(
    r"(?i:lives?|lived|living|resid(?:es|ed|ing)|resident|brought up|grew up|born|home|transferred|originally|comes"
    r"|flew in|back|man|woman|boy|girl|lady|gentleman|driver|student|teacher|worker|farmer|nurse|visitor|moved"
    r"|travelled"
    r"|seen|works?|worked|employed|stayed|stays)"
    rf" (?:alone |with [a-z ]{{1,20}} )?(?:in|of|at|from|to|for|by) (?P<v>{_TOWN})"
)
_NOT_BELOW = re.compile(
    rf"(?:UK|USA?|United|Great|England|Scotland|Wales|Ireland|Northern|Britain|China|India|Pakistan|Bangladesh"
    rf"|Nigeria|Ghana"
    rf"|Kenya|Somalia|Poland|Romania|France|Germany|Spain|Italy|Portugal|Australia|Canada|Japan|Jamaica|Brazil"
    rf"|Mexico|Africa|Asia"
    rf"|Europe|Syria|Iraq|Iran|Afghanistan|Turkey|Greece|Russia|Ukraine|Vietnam|Thailand|Philippines|South|Resus"
    rf"|Recovery"
    rf"|Theatre|Ward|Intensive|Accident|Emergency|Critical|High|Casualty|{_FULL_STATES}|{_STATES})(?![a-z])"
)
_ADDRESS = re.compile(
    r"(?<!mac )(?<!ip )(?<!mail )(?<!web )(?:home |postal |current )?address[ \t]{0,2}(?:is|:)[ \t]{0,2}"
    r"(?P<v>[^\n;]{4,120})",
    re.I,
)
_STOPS = re.compile(r"\.(?=\s+[A-Z]|\s*$)|\s{3,}|,? (?:tel|phone|dob|mrn|nhs|mobile|gp)\b", re.I)

_UNITS = "省|自治区|特别行政区|市|自治州|州|盟|地区|区|县|旗|镇|乡|街道|村|屯|社区|小区|花园|新村"
_PROVINCE = (
    "(?:北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川"
    "|贵州|云南|陕西"
    "|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)"
)
_CITIES = (
    "北京|上海|天津|重庆|广州|深圳|杭州|南京|苏州|无锡|宁波|温州|武汉|成都|西安|郑州|长沙|济南|青岛|烟台|沈阳|大连"
    "|哈尔滨|长春"
    "|石家庄|太原|合肥|南昌|福州|厦门|泉州|南宁|昆明|贵阳|兰州|西宁|银川|乌鲁木齐|呼和浩特|拉萨|海口|三亚|东莞"
    "|佛山|珠海|惠州|中山|汕头"
    "|徐州|常州|南通|扬州|绍兴|嘉兴|台州|金华|芜湖|洛阳|开封|襄阳|宜昌|株洲|桂林|绵阳|唐山|保定|邯郸|大同|包头"
    "|鞍山|吉林|临沂|潍坊|淄博"
)
_NUMBERED = (
    r"(?:[\d一二三四五六七八九十]{1,6} ?(?:号院?|弄|栋|幢|座|楼|层|单元|室|组|队|巷|号楼|门|户)[东西南北]?){1,6}"
)
_ROAD = r"[\u4e00-\u9fff]{1,8}(?:路|街|大道|大街|巷|弄|胡同|小区|花园|新村|公寓|苑|村|镇|乡|社区|屯)"
_HAN_RULES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "address",
        re.compile(
            rf"{_PROVINCE}(?:省|市|壮族自治区|回族自治区|维吾尔自治区|自治区)?(?:[\u4e00-\u9fff]{{1,6}}?(?:市|州"
            rf"|盟|区|县|旗)){{1,3}}"
            rf"(?:{_ROAD}){{0,3}}(?:{_NUMBERED})?"
        ),
    ),
    (
        "address",
        re.compile(
            rf"(?:(?<=[住于在自址籍:,。;(\s到往至])|^)[\u4e00-\u9fff]{{2,4}}?(?:市|县|自治州)"
            rf"(?:[\u4e00-\u9fff]{{1,5}}?(?:区|县|旗|市|镇|乡))?"
            rf"(?:{_ROAD}){{0,3}}(?:{_NUMBERED})?",
            re.M,
        ),
    ),
    (
        "address",
        re.compile(
            rf"(?:(?<=[住于在址:,。;(\s])|^)[\u4e00-\u9fff]{{2,4}}?(?:区|县|镇|乡)(?:{_ROAD}){{1,3}}(?:{_NUMBERED})?",
            re.M,
        ),
    ),
    (
        "address",
        re.compile(rf"[\u4e00-\u9fff]{{2,6}}(?:路|街|大道|大街|巷|弄|胡同|小区|花园|新村|公寓|苑|社区){_NUMBERED}"),
    ),
    ("place", re.compile(rf"(?:{_PROVINCE}|{_CITIES})[\u4e00-\u9fff]{{0,12}}?医院")),
    (
        "place",
        re.compile(
            r"[\u4e00-\u9fff]{2,3}(?:市|县|区)(?:第[一二三四五六七八九十]|人民|中心|中医|妇幼"
            r"|儿童)[\u4e00-\u9fff]{0,6}医院"
        ),
    ),
    (
        "place",
        re.compile(
            r"(?<=[在于往至到从由])(?!一|某|该|本|当|外|同|我|另|多|两|几|其|家|附近|上级|下级|县医|市医|省医|镇|乡|社区|基层|三甲|二甲"
            r"|专科|专业|正规|大型|私立|公立|综合|这|那|各|全)"
            r"[\u4e00-\u9fff]{2,10}?(?:医院|小学|中学|大学|学院|幼儿园|公司|养老院|敬老院|福利院)"
        ),
    ),
    ("place", re.compile(rf"(?<=[住自往到在于籍])(?:{_CITIES})(?!市|省)")),
)
_HAN_ADDRESS = re.compile(
    r"(?:住址|地址|籍贯|户口(?:地址|所在地)?|户籍(?:地址|所在地)?|工作单位|单位(?:名称)?(?=:)|住所|出生地|现居地?"
    r"|家住|现住|居住地|居住于|居住在|老家)"
    r"[ \t]{0,2}:?[ \t]{0,2}(?P<v>[\u4e00-\u9fff\dA-Za-z()-]{2,50})"
)
_NO_PLACE = re.compile("超市|城市|门市|我市|本市|该市|外市|全市|上市|我县|本县|该县|城乡|病区|社区医|灾区|疫区")
_VERB = re.compile("^(?:患者|病人|现|家)?(?:居?住[在于]?|来自|到|往|在|于|自|系|为)")
_NOT_AN_ADDRESS = re.compile("^(?:不详|无|未|同上|待|农村|城市|院|本地|当地|外地|楼|一楼|医|家中|女|男|学|务|退)")


def places(text: str) -> Iterator[Identifier]:
    """`text` is folded."""
    if not text.isascii():
        yield from _chinese(text)
    for kind, pattern in _RULES:
        for match in pattern.finditer(text):
            start, end = match.span()
            if start and text[start - 1].isascii() and text[start - 1].isalnum():
                continue
            yield Identifier(start, end, kind)
    for match in _INSTITUTION.finditer(text):
        start = match.start() + _general(match[0])
        if len(text[start : match.end()].split()) > 1 and not text[match.start() - 1 : match.start()].isalnum():
            yield Identifier(start, match.end(), "place")
    for match in _LIVES.finditer(text):
        if not _NOT_BELOW.match(match["v"]) and match["v"].split()[0].casefold() not in STOP:
            yield Identifier(match.start("v"), match.end("v"), "place")
    for match in _ADDRESS.finditer(text):
        stop = _STOPS.search(match["v"])
        value = match["v"][: stop.start() if stop else None].rstrip(" .")
        yield Identifier(match.start("v"), match.start("v") + len(value), "address")


def _chinese(text: str) -> Iterator[Identifier]:
    for kind, pattern in _HAN_RULES:
        for match in pattern.finditer(text):
            if not _NO_PLACE.search(match[0]):
                yield Identifier(match.end() - len(_VERB.sub("", match[0])), match.end(), kind)
    for match in _HAN_ADDRESS.finditer(text):
        labelled = ":" in match[0] or re.search("[省市区县镇乡村路街号]", match["v"])
        if labelled and not _NOT_AN_ADDRESS.match(match["v"]):
            yield Identifier(match.start("v"), match.end("v"), "address")


def _general(name: str) -> int:
    """How many characters at the beginning of a hospital's name are words that name none."""
    length = 0
    for word in name.split()[:-1]:
        if word.casefold() not in GENERAL:
            return length
        length += len(word) + 1
    return len(name)
