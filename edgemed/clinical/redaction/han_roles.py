"""Names in Chinese text that stand beside a role, a relative, an age or a verb, without a colon or a title."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.han_names import NOT_NAMES, SURNAME, TITLES
from edgemed.clinical.redaction.identifier import Name
from edgemed.clinical.redaction.words import HAN_WORDS

_HAN = r"[\u4e00-\u9fff]"
_NAME = rf"(?P<n>{SURNAME}{_HAN}{{1,2}}?)"
_ROLES = (
    "主治医师|主管医师|主任医师|住院医师|麻醉医师|家庭医生|内镜医生|值班医生|"
    "医师|医生|护士长|护士|护师|药师|技师|治疗师|咨询师"
    "|足病师|营养师|心理师|采血员|协调员|辅导员|调解员|驾驶员|快递员|"
    "保洁员|联络员|翻译|司机|民警|警官|律师|社工|护工|保姆|月嫂"
    "|班主任|校长|园长|书记|店长|队长|房东|室友|同学|同事|工友|"
    "邻居|朋友|术者|主刀|一助|二助|三助|一线|二线|三线|记录|程控|随访"
    "|工会|取药人|陪诊|陪护|先证者|供者|受者|供体|伤者|死者|"
    "自称|疑为|化名|兹证明|证明|紧急联系人|联系人|家属|委托人|代理人|监护人"
    "|患者|病人|患儿|产妇|孕妇|老人|本人|签名|签字|经办|接诊|首诊|会诊|主诊|交班|接班|报告|审核|核对"
)
_KIN = (
    "妻子|丈夫|儿子|女儿|母亲|父亲|爱人|配偶|哥哥|弟弟|姐姐|"
    "妹妹|儿媳|女婿|孙子|孙女|外孙女|外孙|老伴|姑姑|舅舅|姨妈|姨母"
    "|舅妈|婶婶|叔叔|伯父|外婆|外公|奶奶|爷爷|祖母|祖父|侄女|"
    "侄子|侄儿|外甥女|外甥|表哥|表姐|表弟|表妹|堂兄|堂弟|堂姐|堂妹"
    "|继父|继母|养父|养母|岳父|岳母|公公|婆婆|前夫|前妻|男友|女友|未婚夫|未婚妻|子女|其[子女母父妻夫兄弟姐妹]"
    "|长子|次子|长女|次女|幼子|幼女|大女儿|小女儿|大儿子|小儿子"
)
_ONE_KIN = "妻|夫|父|母|爸|妈|兄|弟|姐|妹|子|女|孙|侄|嫂|媳|婿|姨|舅|姑"
_ENDS = r"(?=[,，。;；、!?()（）\s\d:：/+]|$)"
_GOES_ON = (
    "巡视|查房|值班|会诊|签字|签名|陪同|陪诊|陪|代诉|护送|送|电话|手机|"
    "微信|联系|在场|知情|同意|要求|订|来电|开车|接|住|需|说|告知|知道"
)
_VERBS = (
    "要求|住|来电|来院|订|同意|拒绝|知道|自行|提出|表示|希望|下次|从|本人|自述|自诉|诉|微信|电话|手机|缩写|孕|教授|今"
)
_RULES = (
    re.compile(rf"(?:{_ROLES}){_NAME}(?:{_ENDS}|(?=医生|医师|护士|{_GOES_ON}))"),
    re.compile(rf"(?:{_KIN}|(?<!{_HAN})(?:{_ONE_KIN})|(?<=[之为])(?:{_ONE_KIN})){_NAME}(?:{_ENDS}|(?={_GOES_ON}))"),
    # 交班：李娜，45岁 ... 邱东，79/12/24生
    re.compile(
        rf"(?:^|[。:：;；\n!?]|\d床)[ \t]*(?:患者|病人|患儿|老人)?{_NAME}"
        r"(?=[,，、(（ ]{1,3}(?:男|女|\d{1,3} ?岁|性别|年龄|\d{2,4}[-年/.]\d|[A-Z]\.? ?[A-Z]\b|缩写))",
        re.M,
    ),
    re.compile(rf"(?:^|[。;；\n!?])[ \t]*{_NAME}(?={_VERBS})", re.M),
    re.compile(rf"(?<=[太生士爷奶姨伯叔娘妈婆师][(（]){_NAME}(?=[)）])"),
    re.compile(rf"[,，、和与](?<![\d，]，){_NAME}(?=签字|签名|陪同|代诉|护送)"),
)
_MINORITY = re.compile(
    rf"(?:{_ROLES})?(?P<n>{_HAN}{{2,5}}·{_HAN}{{2,6}}?)(?=[,，。;；、\s()（）:：]|$|医生|医师|护士|先生|女士|同志|签)"
)
_EPONYM = re.compile(r"综合|征$|病|症|氏|试验|评分|量表|手术")
_SPOKEN = re.compile(rf"(?<!{_HAN})(?P<n>[小阿老]{SURNAME}|{SURNAME})(?=爸|妈|嫂|叔|婶|[,，]|接班|交班|送来)")
_AFTER_ROLE = re.compile(rf"(?:{_ROLES})(?P<n>[小阿老]{_HAN})(?=[,，。;；、\s]|$|接班|送来)")
_PET = re.compile(rf"(?:子女|孩子|患儿|宝宝|^|[:：、])(?P<n>(?P<c>{_HAN})(?P=c))(?=[,，。、;；\s(（]|$)", re.M)
_CODED = re.compile(r"(?:(?i:initials)|缩写)[ :：]{0,2}(?P<n>[A-Z]{2,4})(?![A-Za-z])")
_PET_NOT = frozenset("常渐慢刚偶阵往稍频多少天每人好")


_HANDOVER = re.compile(rf"(?:交班|接班)?[:：。][ \t]*{_NAME}(?=[,，])")
_TITLED = re.compile(rf"(?:{TITLES})$")


def names_beside(text: str) -> Iterator[Name]:
    """`text` is folded."""
    for pattern in (*_RULES, _HANDOVER) if "交班" in text else _RULES:
        for match in pattern.finditer(text):
            name = match["n"]
            if (
                not NOT_NAMES.match(name)
                and not _TITLED.search(name)
                and name not in HAN_WORDS
                and name[1:] not in HAN_WORDS
            ):
                yield Name(*match.span("n"), sure=True)
    for match in _MINORITY.finditer(text):
        if not _EPONYM.search(text[match.start() : match.end() + 2]):
            yield Name(*match.span("n"), sure=True)
    for match in _SPOKEN.finditer(text):
        alone = len(match["n"]) == 1 and text[match.end() : match.end() + 1] in (",", "，")
        if not alone and match["n"] != "小时":
            yield Name(*match.span("n"), sure=False)
    for match in _PET.finditer(text):
        if match["c"] not in _PET_NOT:
            yield Name(*match.span("n"), sure=True)
    for pattern in (_AFTER_ROLE, _CODED):
        yield from (Name(*match.span("n"), sure=False) for match in pattern.finditer(text))
