"""Names in Chinese text: labelled, titled, of relatives, in signatures. A surname alone is not enough."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemed.clinical.redaction.identifier import Name
from edgemed.clinical.redaction.words import HAN_WORDS

_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭"
    "陆汪范金石廖"
    "贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂"
    "章鲁岳翟"
    "殷詹申欧耿关兰焦俞柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解"
    "牟艾尤"
    "阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇"
    "桑郎甄丛冼"
    "仲虞敖巩明佘池查麻苑迟邝闻于傅洪左向常"
)
DOUBLE = "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|端木|南宫|长孙|宇文|轩辕|钟离|独孤|呼延|澹台|申屠"
SURNAME = rf"(?:{DOUBLE}|[{_SURNAMES}])"
_BARE_SURNAME = rf"(?:{DOUBLE}|[{re.sub('[和时师应全向安明成路连管华文水农司解商车项党边景路常房]', '', _SURNAMES)}])"
"""Of these, what stands before 医生 or 先生 is more often a name than another word."""

NOT_NAMES = re.compile(
    r"高(?:血|热|烧|脂|胆|尿|钾|钠|钙|磷|镁|危|级|度|敏|频|龄|钙|压|温|氧|原|蛋)|白(?:细|蛋|血|带|内|癜|斑|色|天"
    r"|介|喉)|黄(?:疸|体|斑|色|褐|曲|连|芪|染|豆)|胡(?:萝|言)"
    r"|温(?:度|水|热|和|盐|哌)|安(?:静|好|康|定|全|慰|排|宫|氨)|平(?:卧|时|均|稳|滑|片|素)|方(?:案|便|式|法|面|向"
    r"|可|颌)|常(?:规|年|见|用|有|伴|在|需|于)|康(?:复|柏|德|泰)|时(?:间|有|常|限|段)|水(?:肿|痘|泡|样|杨)"
    r"|石(?:膏|棉|蜡|女)|金(?:葡|黄|属|刚|匮)|雷(?:米|尼|贝|公|诺|帕)|马(?:来|上|尾|蹄|拉|凡)|潘(?:生|妥)|贺普|苏"
    r"(?:打|醒|格)|宁神|钟(?:头|点|摆)|万(?:古|艾|一|分)|单(?:核|侧|纯|次|一|独|位|支|克|发|用|药)|全(?:身|血|部"
    r"|天|麻|程|面|科|脑)"
    r"|毛(?:细|囊|发|玻|滴|巾|果)|牛(?:奶|皮|黄)|花粉|车(?:前|祸|上)|成(?:人|年|分|功|熟|形|纤)|明(?:显|确|天)"
    r"|计划|左(?:侧|心|室|下|上|肾|肺|肝|右|手|眼|耳|膝|髋|肩|腹|胸|氧|乙|卡|旋)|关(?:节|于|注|闭|系|键)|易(?:激"
    r"|怒|感|疲|出|误)"
    r"|连(?:续|接|日|用)|强直|项(?:目|部)|相(?:关|应|对|同)|查(?:体|房|看|血|尿|找|出)|管(?:理|腔|型)|曲(?:张|霉"
    r"|线|马|安)|干(?:燥|咳|预)|房(?:颤|间|室|扑|性|水|角)|路(?:径|上)|段(?:抬|落)|龙胆|叶(?:酸|间|片)|米(?:索|力"
    r"|非|诺|汤)|阳(?:性|痿|虚)"
    r"|麻(?:木|醉|黄|疹|痹)|宫(?:颈|腔|外|内|缩|口|底)|江湖|何(?:时|处|种|人|故|谓)|任何|余(?:无|不|未|正|量)|应"
    r"(?:用|该|急|激|当|予|对|答)|和(?:患|家|其|护|医|谐)|于(?:今|昨|前|当|是|我|外|本|院|次|入|术|凌|夜|晨|\d)|向"
    r"(?:患|家|下|上|心)|许多|尤其"
    r"|文化|解(?:除|剂|痉|热|释|决|剖|痛)|农(?:民|药|村|业)|司(?:机|来|美|维)|吉非|简(?:单|易|要)|游(?:离|走)|辛"
    r"(?:伐|凡|辣)|华(?:法|支|佗)|边(?:缘|界)|沙(?:丁|美|坦|眼|利|门)|闻及|程(?:度|序)|夏(?:天|季)|冷(?:汗|刀|敷"
    r"|热)|席汉|卫生|费用|陆续|申请"
    r"|史(?:无|有)|孔径|施行|甘(?:油|露|草|精)|包(?:块|括|膜|裹|皮|埋)|尚(?:可|未|无|有|需|能|在)|梅毒|童年|凌晨"
    r"|毕业|季节|谷(?:丙|草|氨|胱)|莫(?:名|西|沙)|颜(?:面|色)|戴(?:镜|口)|田地|周(?:围|身|期|边|前|后|日|末|岁|内"
    r"|[一二三四五六])"
    r"|唐(?:氏|筛|山)|林(?:可|区)|罗(?:红|氏|格|音|哌|沙|库)|曾(?:有|经|行|患|因|在|于|用|服|出)|严(?:重|密|格)"
    r"|顾虑|谢绝|杨梅|鲁(?:米|道)|孟(?:鲁|德)|伍用|魏氏|布洛|柯萨|卡马|不详|未知|未填|保密|匿名|无名|从(?:事|未|小"
    r"|前)|同(?:意|前|上|侧|时)|向来"
)
TITLES = (
    "先生|女士|小姐|太太|阿姨|叔叔|大爷|大叔|大妈|大娘|大伯|伯伯|奶奶|爷爷|婆婆|老师|副主任|主任|医生|医师|大夫"
    "|护士长|护士|护师|教授|副教授|院长|所长|科长"
    "|同学|师傅|同志|老太|老人|主管|经理|药师|技师|治疗师|某某|某|氏(?=[，,。;\\s])"
)
_LABEL = re.compile(
    r"(?:患者|病人|患儿|产妇|母亲|父亲|家属|联系人|监护人|陪护人?|医生|医师|护士|亲属|紧急联系人|授权人|受托人"
    r"|委托人|代理人|法定代理人)?(?:姓名|名字|签名|签字|签章|小名|乳名|曾用名|别名|昵称)[ \t]{0,3}:?[ \t_]{0,4}"
    r"|(?:患者|病人|患儿|产妇|孕妇|家属|联系人|监护人|陪护人?|陪同人?|代诉人|病史(?:陈述|叙述|提供)者|供史者"
    r"|陈述者|记录者?人?|书写者|记录医师|住院医师|主治医师|经治医师|主管医师|主任医师|副主任医师|管床医生"
    r"|上级医师|接诊医生|接诊医师|首诊医生|医师|医生|护士|责任护士|值班医生|值班护士|审核者?人?|审核医师"
    r"|报告者?人?|报告医师|检查者|检查医师|检验者|核对者?人?|手术者|术者|主刀(?:医师|医生)?|第?[一二三]助手?|助手|麻醉"
    r"|麻醉(?:医师|医生|者)|器械护士|巡回护士"
    r"|会诊医师|会诊医生|申请医师|送检医师|送检医生|开单医生|转诊医生|主持人|参加人员|参加者|母亲|父亲|丈夫|妻子"
    r"|配偶|儿子|女儿|爱人|法定代理人|紧急联系人|关系人|经办人|见证人|签发人)[ \t]{0,3}:[ \t_]{0,4}"
)
_LABELLED = re.compile(
    rf"(?P<han>(?:{DOUBLE})?[\u4e00-\u9fff]{{1,4}}(?:·[\u4e00-\u9fff]{{1,6}}){{0,2}})|"
    rf"(?P<latin>[A-Za-z][A-Za-z .'-]{{1,40}})"
)
_CUT = re.compile(
    "性别|年龄|男|女|科|床|住院|病历|门诊|出生|民族|职业|婚姻|联系|电话|身份|主诉|诉|医师|医生|护士|日期|签|先生"
    "|女士|小姐|主任|教授|陪同|代诉|记录|为|系|因"
)
_TITLED = re.compile(rf"(?P<n>{_BARE_SURNAME}[\u4e00-\u9fff]{{0,2}}?)(?={TITLES})")
_INFORMAL = re.compile(rf"(?<![\u4e00-\u9fff])[老小阿](?P<n>{_BARE_SURNAME})(?=[,，。!?:；;\s说来在的去]|$)")
_FOLLOWS = (
    "[死去患曾已目昨晚早前后服有无出入来住是今陪代诉说签于在和与及电联为将表同携送发告认否系护照一"
    ",，。;；、()（）:\\s\\d]"
)
_RELATIVES = re.compile(
    rf"(?:妻子?|丈夫|儿子|女儿|母亲|父亲|爱人|配偶|家属|哥哥|弟弟|姐姐|妹妹|儿媳|女婿|孙子|孙女|外孙|外孙女|老伴"
    rf"|姑姑|舅舅|叔叔|阿姨|邻居|同事|朋友|保姆|护工|联系人|监护人|陪护|其子|其女|其母|其父|其妻|其夫|长子|长女|次子|次女)"
    rf"(?:(?P<sure>叫|名叫|名为|姓名|:|\()[ \t]?)?(?P<n>{_BARE_SURNAME}[\u4e00-\u9fff]{{1,2}}?)(?={_FOLLOWS}|$)"
)
_MORE = re.compile(rf"[/、] ?(?P<n>{_BARE_SURNAME}[\u4e00-\u9fff]{{1,2}})(?=[/、,。;；\s]|$)")
_SIGNATURE = re.compile(
    rf"^[ \t]*(?P<n>{SURNAME}[\u4e00-\u9fff]{{1,2}})[ \t]*(?=(?:/[^\n]{{0,12}})?[ \t]*(?:\d{{4}}[-年/.]"
    rf"|\n[ \t]*\d{{4}}[-年/.]|\s*\Z))",
    re.M,
)
_SPOKEN = re.compile(
    rf"(?:我叫|我是|名叫|叫做|患者叫|病人叫|本人叫|本人)(?P<n>{SURNAME}[\u4e00-\u9fff]{{1,2}}?)(?=[,，。;；、!\s今年岁的]|$)"
)
_AT_START = re.compile(
    rf"^[ \t]*(?:患者|病人|患儿)?[ \t]?(?P<n>{SURNAME}[\u4e00-\u9fff]{{1,2}})(?=[,，、 \t(（]{{1,3}}(?:男|女"
    rf"|\d{{1,3}} ?岁|性别|年龄))",
    re.M,
)
_PATIENT = re.compile(
    rf"(?:患者|病人|患儿|产妇)(?P<n>{SURNAME}[\u4e00-\u9fff]{{1,2}})(?=[,，、 \t(（]{{1,3}}(?:男|女|\d{{1,3}} ?岁"
    rf"|性别|年龄|住院|床))"
)
_STARRED = re.compile(rf"(?P<n>{SURNAME})(?=[某×xX*＊]{{1,3}}(?![A-Za-z]))")


def han_names(text: str) -> list[Name]:
    """The names in a folded text; `sure` ones are looked for in the rest of it."""
    return [*_labelled(text), *_other(text)]


def _labelled(text: str) -> Iterator[Name]:
    for label in _LABEL.finditer(text):
        match = _LABELLED.match(text, label.end())
        if match is None:
            continue
        named = "名" in label[0] or "签" in label[0] or "昵" in label[0]
        pet = re.search("小名|乳名|昵称", label[0])
        if named and not pet and not label[0].rstrip().endswith((":", "_")) and not re.match(SURNAME, match[0]):
            continue  # 姓名不详, 签字后
        value = match["latin"].rstrip(" .-'") if match["latin"] else _CUT.split(match["han"])[0]
        if match["latin"]:
            if named or value[0].isupper():
                yield Name(match.start(), match.start() + len(value), sure=True)
            continue
        ends = match.start() + len(value) < len(text) and "\u4e00" <= text[match.start() + len(value)] <= "\u9fff"
        surnamed, goes_on = re.match(SURNAME, value), ends and value == match[0]
        plausible = (named and (surnamed or not goes_on)) or (surnamed and not goes_on)
        if len(value) >= 2 and plausible and not NOT_NAMES.match(value):
            yield Name(match.start(), match.start() + len(value), sure=True)
            for more in _MORE.finditer(text, match.start() + len(value), match.start() + len(value) + 20):
                yield Name(*more.span("n"), sure=True)


def _other(text: str) -> Iterator[Name]:
    for match in _TITLED.finditer(text):
        start, end = match.span("n")
        before = text[max(0, start - 2) : start]
        words = {
            text[start:end],
            text[start : start + 2],
            before[-1:] + text[start],
            before + text[start],
            text[end - 2 : end],
        }
        if not words & HAN_WORDS and not (end - start > 1 and NOT_NAMES.match(match["n"])):
            yield Name(start, end, sure=end - start > 2)
    for match in _RELATIVES.finditer(text):
        titled = re.search(f"(?:{TITLES})$", match["n"])
        if not titled and (match["sure"] or not NOT_NAMES.match(match["n"])):
            yield Name(*match.span("n"), sure=True)
    for pattern in (_SIGNATURE, _SPOKEN, _AT_START, _PATIENT):
        for match in pattern.finditer(text):
            if not NOT_NAMES.match(match["n"]):
                yield Name(*match.span("n"), sure=True)
    for pattern in (_INFORMAL, _STARRED):
        for match in pattern.finditer(text):
            if not NOT_NAMES.match(match["n"]):
                yield Name(*match.span("n"), sure=False)


def again(text: str, names: list[Name]) -> Iterator[Name]:
    """The other places at which a sure name stands."""
    wanted = {text[name.start : name.end] for name in names if name.sure and name.end - name.start >= 2}
    wanted = {name for name in wanted if "\u4e00" <= name[0] <= "\u9fff" and not NOT_NAMES.match(name)}
    if wanted:
        for match in re.finditer(
            "|".join(map(re.escape, sorted(wanted, key=lambda name: (-len(name), name))[:500])), text
        ):
            yield Name(match.start(), match.end(), sure=False)
