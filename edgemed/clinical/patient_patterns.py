"""The patterns with which `edgemed.clinical.mentioned` reads who a text is about, English and Chinese."""

from __future__ import annotations

import re

RELATIVE = (
    r"mother|father|mum|mom|dad|parent|wife|husband|spouse|partner|son|daughter|brother|sister|sibling|twin|uncle|aunt"
    r"|cousin|grand\w+|nephew|niece|carer|caregiver|guardian|next of kin|nok|relative|family|friend|neighbou?r|contact"
    r"|baby|infant|newborn|neonate|fetus|foetus|donor|index case|roommate|flatmate|girlfriend|boyfriend|fianc\w+"
)
_COLLEAGUE = (
    r"doctor|dr|gp|consultant|surgeon|physician|nurse|referrer|referred by|registrar|midwife|pharmacist|clinician"
    r"|prescriber|author|signed|signature|reported by|reporting|requested by|reviewed by|seen by|insured|subscriber"
    r"|drug|brand|generic|medicine|medication|trade|file|ward|hospital|clinic|device|product|test|study|trial|site"
    r"|product|procedure|company|supplier|manufacturer|employer|school|practice|pharmacy|user|author"
)
HAN_RELATIVE = (
    "母亲|父亲|其母|其父|爸爸|妈妈|丈夫|妻子|配偶|爱人|老伴|儿子|女儿|之子|之女|其子|其女|哥哥|弟弟|姐姐|妹妹|家属|亲属"
    "|联系人|监护人|陪护|祖父|祖母|爷爷|奶奶|外公|外婆|姥姥|姥爷|叔|伯|舅|姑|姨|孙|新生儿|婴儿|胎儿|供者|供体|邻居|同事|朋友|室友"
)
_HAN_COLLEAGUE = (
    "医师|医生|主任|护士|大夫|教授|主管|记录者|签名|审核|报告|药品|药物|商品|通用|医院|科室|项目|检查|手术|单位"
    "|开单|送检|联系"
)

NOT_PATIENT = re.compile(rf"\b(?:{RELATIVE}|{_COLLEAGUE})(?:['’]s|s['’])?\b|{HAN_RELATIVE}|{_HAN_COLLEAGUE}", re.I)
OF_RELATIVE = re.compile(rf"\b(?:{RELATIVE})(?:['’]s)?\b|{HAN_RELATIVE}", re.I)
ROLE = re.compile(
    r"\b(?:dr|prof|sr|fy[12]|sho|spr|st[1-8]|ct[1-3]|consultant|registrar|rn|np|pa|md|mbbs|frc\w+|mrc\w+|nurse|gmc|nmc"
    r"|bleep|pager|pharmacist|physio\w*|midwife|intern|resident|attending)\b|医师|医生|主任|护士|大夫|教授",
    re.I,
)

NAME = re.compile(
    r"(?<![\w])(?:(?:the\s+)?(?:patient|pt|full|first|last|family)?(?:['’]s)?\s*names?|surname|forenames?|patient|pt|re)"
    r"[ \t]*[:：=][ \t]*(?P<latin>[^\n\r,;，；|()（）\d]{2,60}(?:,[ \t]*[A-Z][a-zA-Z'’-]+)?)"
    r"|(?:患者|病人|病员|患儿|产妇)?(?:姓名|名字)[ \t]*[:：]?[ \t]*"
    r"(?P<han>[\u4e00-\u9fff·]{2,8}|[A-Za-z][A-Za-z .'-]{1,40})"
    r"|(?:患者|病人|病员|患儿)[ \t]*[:：][ \t]*(?P<short>[\u4e00-\u9fff]{2,4})(?=[,，、;；。\s(（]|$)",
    re.I | re.M,
)
NUMBERS: tuple[tuple[str, str], ...] = (
    ("NHS", r"nhs(?:\s*(?:no|number|num|id))?\.?"),
    ("CHI", r"chi(?:\s*(?:no|number))?\.?"),
    (
        "MRN",
        r"(?:mrn|mr\s*(?:no|number)|medical\s*record\s*(?:no|number)?|(?:hospital|hosp|unit|chart|record|patient|pt)"
        r"\s*(?:no|number|num|id|#)|patient\s*identifier|urn|uhid|pid|nric|ssn)\.?",
    ),
    ("住院号", r"住院(?:号码?|ID)"),
    ("病历号", r"(?:病历|病案|登记|患者|病人)(?:号码?|编号|ID)"),
    ("门诊号", r"(?:门诊|就诊|急诊)(?:号码?|卡号)"),
    ("身份证", r"身份证(?:号码?)?"),
    ("医保号", r"医保(?:卡)?(?:号码?|编号)"),
)
NUMBER = re.compile(
    "|".join(rf"(?:(?<![A-Za-z])|(?<=_))(?:{label})" for _, label in NUMBERS).join(("(?P<label>", ")"))
    + r"[ \t]*(?:is|[:：=#.-]|为)?[ \t]*(?P<value>[A-Za-z]{0,4}[-/ ]?\d[\dA-Za-z/-]*(?: \d[\dA-Za-z-]*){0,3})",
    re.I,
)
BORN = re.compile(
    r"\b(?:d\.?\s?o\.?\s?b\.?|date\s+of\s+birth|birth\s*date|birthdate|born(?:\s+on)?)(?![\w])[ \t]*[:：=]?[ \t]*"
    r"(?P<latin>[^\n\r;；]{6,24})"
    r"|(?:出生日期|出生年月日?|出生时间|生日|生于|出生于?)[ \t]*[:：]?[ \t]*(?P<han>[^\n\r;；，,]{6,16})",
    re.I,
)

SEX_WORDS = {
    "m": "M", "male": "M", "man": "M", "gentleman": "M", "boy": "M", "男": "M", "男性": "M", "男孩": "M", "男婴": "M",
    "男童": "M", "f": "F", "female": "F", "woman": "F", "lady": "F", "girl": "F", "女": "F", "女性": "F",
    "女孩": "F", "女婴": "F", "女童": "F",
}  # fmt: skip
_MF = r"(?P<{0}>male|female|man|woman|gentleman|lady|boy|girl|m|f)"
_UNIT = (
    r"(?P<{0}>years?|yrs?|yr|y|months?|mths?|mo|m(?=[/\s-]*o)|weeks?|wks?|wk|w(?=[/\s-]*o)|days?|d(?=[/\s-]*o)"
    r"|hours?|hrs?)"
)
AGES = re.compile(
    # 54-year-old man, 54 y/o F, 54yo male, 3 days old
    rf"(?<![\w./])(?P<n1>\d{{1,3}})[\s-]*{_UNIT.format('u1')}[\s/-]*(?:old|of\s+age|o)\b"
    rf"(?:[\s,(-]+(?:\w+[\s-]+){{0,3}}?{_MF.format('s1')}\b)?"
    # 54M, 54 F, 8 months F, 54 years male, 54y M
    rf"|(?<![\w./])(?P<n2>\d{{1,3}})[\s-]*(?:{_UNIT.format('u2')})?[\s,/()-]*{_MF.format('s2')}\b(?!['’]s?\s)"
    # F54, male, 54 years; woman aged 54; Mr X, aged 54
    rf"|\b{_MF.format('s3')}[\s,/()-]*(?:aged?\s*|of\s+)?(?P<n3>\d{{1,3}})(?![\d./%]|\s*(?:mg|ml|g|kg|cm|mm|mmol|%|°|bpm))"
    rf"(?:[\s-]*{_UNIT.format('u3')}\b)?"
    rf"|\baged\s+(?P<n4>\d{{1,3}})(?:[\s-]*{_UNIT.format('u4')}\b)?"
    # 54岁男性; 男，54岁; 女，8月龄
    r"|(?<!\d)(?P<n5>\d{1,3})\s*(?P<u5>周岁|岁|个月|月龄|月|天|日龄|日|小时)(?:[零余多]?\d*(?:个月|月|天)?)?"
    r"[，,、的\s]*(?P<s5>男|女)"
    r"|(?P<s6>男|女)(?:性|孩|婴|童|患者)?[，,、/\s]*(?:年龄)?[:：]?\s*(?P<n6>\d{1,3})\s*(?P<u6>周岁|岁|个月|月龄|月|天|日龄|日|小时)"
    r"|(?<!\d)(?P<n7>\d{1,3})\s*(?P<u7>周岁|岁)(?!时|前|后|起|开始|以|发|确诊|行|就)"
    # Mr Smith, 54; John Smith, 54,
    r"|(?<=[a-z]),\s*(?P<n8>\d{1,3})(?=\s*[,(]|\s+years?\b(?!\s*(?:ago|history|of\b(?!\s+age))))",
    re.I,
)
LABELLED_AGE = re.compile(
    rf"\bage[ \t]*(?:/[ \t]*(?:sex|gender))?[ \t]*[:：=][ \t]*(?P<n>\d{{1,3}})[ \t-]*(?:{_UNIT.format('u')}\b)?"
    r"|年龄[ \t]*[:：]?[ \t]*(?P<hn>\d{1,3})[ \t]*(?P<hu>周岁|岁|个月|月龄|月|天|日龄|日|小时)?",
    re.I,
)
LABELLED_SEX = re.compile(
    r"\b(?:sex|gender)[ \t]*[:：=][ \t]*(?P<s>male|female|man|woman|m|f)\b|性别[ \t]*[:：]?[ \t]*(?P<hs>男|女)", re.I
)
SEX = re.compile(
    r"\b(?P<s>male|female|man|woman|gentleman|lady|boy|girl)\b(?!['’]s)"
    r"|(?P<hs>男性|女性|男婴|女婴|男孩|女孩|男童|女童)",
    re.I,
)
PAST = re.compile(
    r"(?:\bat|\bage|\bages|\bsince|\bwhen|\bfrom|\buntil|\bin (?:his|her|their)|于|自|从)"
    r"\W*(?:the\s+age\s+of\s*)?$",
    re.I,
)
IF = re.compile(
    r"^\W*(?:(?:and|so|but|or|also)\s+)?"
    r"(?:what\s+(?:if|about|would|dose|is)|how\s+(?:about|would|much|do|should)|if|suppose|imagine|would|could|should|in\s+(?:an?|the)\b"
    r"|for\s+(?:an?|any)\b|does|do|is|are|can|why|when|which|如果|假如|假设|若|要是|对于|换成|怎么|为什么|什么)",
    re.I,
)
TITLED = re.compile(
    r"^\W*(?:(?:re|patient|pt|bed\s*\d+|\d+[.)])\W+)?(?:(?:mr|mrs|ms|miss|mx|master)\.?\s+(?P<title>[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+){0,2})"
    r"|(?P<full>[A-Z][a-z'’-]+(?:\s+[A-Z][A-Za-z'’-]+){1,2})(?=\s*(?:,|\(|is\s+an?|-|:)\s*\d)"
    r"|(?P<comma>[A-Z][A-Za-z'’-]+,\s*[A-Z][a-z'’-]+)(?=\s*[,(]?\s*\d)"
    r"|(?:患者|病人)?(?P<han>[\u4e00-\u9fff]{1,3}(?=先生|女士|小姐|老太|大爷|阿姨|某[，,、])|[\u4e00-\u9fff]{2,4}(?=[，,、\s]+(?:男|女|\d{1,3}\s*岁))))"
    r"(?P<after>[^\n]{0,40})",
)
NO_NAME = re.compile(
    "患|病|年|性|男|女|岁|诉|往|院|史|老人|主|因|儿|孕|产|诊|急|门|床|查房|请问|您好|你好|这|该|一|位|名|既|中午|今|昨"
)
ACTS = re.compile(
    r"^\s*(?:\(\w*\s*(?:surg|consult|ortho|vasc|uro|ent)\w*|(?:has\s+|have\s+)?(?:reviewed|advised|advises|says|said|called|asked|asks|recommends?|recommended|suggests?"
    r"|suggested|saw|agrees|agreed|wants|will|operated|to\s+(?:review|see)|['’]s\s+(?:team|list|clinic|ward|patient)))",
    re.I,
)
ANOTHER = re.compile(
    r"^\W*(?:(?:a\s+)?(?:new|next|another|different|second)\s+(?:patient|pt|case|admission|one)\b"
    r"|下一(?:位|个)|另(?:外)?(?:有)?一(?:位|个|名)(?:患者|病人)?|新(?:病人|患者|病例|收(?:住院)?(?:病人|患者)?|入院)|换(?:一)?(?:位|个)(?:患者|病人))",
    re.I,
)

NEXT_FIELD = re.compile(
    r"\s{2,}|\t|\b(?:dob|mrn|nhs|age|sex|gender|date|hospital|ward|d\.o\.b)\b|性别|年龄|住院|病历|出生|床号|科", re.I
)
NAME_WORD = re.compile(r"name|姓名|名字", re.I)
WRITTEN_NAME = re.compile(r"^(?:(?:mr|mrs|ms|miss|mx|master)\.?\s+)?[A-Z][\w'’-]+(?:,?\s+[A-Z][\w'’.-]*){0,3}$")
RELATIVE_AFTER = re.compile(
    rf"[\s,(-]*(?:\w+\s+)?(?:{RELATIVE})\b(?!\s+(?:history|planning))|的?(?:{HAN_RELATIVE})", re.I
)
