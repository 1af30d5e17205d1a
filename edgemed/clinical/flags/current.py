"""Whether a value in a text is this patient's current result. English and Chinese. NOT CLINICALLY REVIEWED."""

from __future__ import annotations

import re
from typing import Literal

from edgemed.clinical import patient_patterns as patterns

When = Literal["", "now", "recent", "past"]
"""`now`: said to be the newest. `recent`: hours or days old; counts if no newer one is given. `past` never counts."""

_SENTENCE_END = re.compile(r"[。!?;\n]|(?<!\be\.g)\.(?=\s)")
_CLAUSE_END = re.compile(r"[,，、]")

NOW = (
    r"\b(?:now|today|current(?:ly)?|latest|repeat(?:ed)?|re-?check(?:ed)?|this (?:morning|afternoon|evening)|tonight"
    r"|just now"
    r"|most recent|since (?:improved|normali[sz]ed))\b|现在?(?!病)|目前|今日|今天|今晨|今早|今晚|今(?=\s?\d)|复查|最新"
    r"|刚才|(?:治疗|减半|减量|停药|透析|激光|补液|调药|用药|处理|产)后|后复测|出院(?:时|前)?(?=\s?\d)"
)
RECENT = (
    r"\b(?:yesterday|overnight|previous(?:ly)?|prior|earlier|initial(?:ly)?|at first|on admission|before"
    r"|pre-?treatment"
    r"|last (?:night|time|check|reading|result)|\d{1,2} ?(?:h|hrs?|hours?|days?|mins?|minutes) ago|the other day)\b"
    r"|昨日|昨天|昨晚|前日|前天|上次|此前|之前|先前|治疗前|入院(?!前)|住院(?:时|期间)|手术当天|术前|当时|[0-9一二两三四五六七八九十]{1,2}(?:小时|天|日)前"
)
PAST = (
    r"\b(?:last (?:year|month|week|spring|summer|autumn|fall|winter|admission|visit|clinic|episode)"
    r"|(?:a|an|one|two|three|several|few|\d{1,2}) (?:weeks?|months?|years?) ago"
    r"|(?:in|since|back in) (?:19|20)\d\d|(?:in|since|last) (?:january|february|march|april|may|june|july|august"
    r"|september"
    r"|october|november|december)|baseline|previous (?:admission|episode|visit|year|hospitali[sz]ation)|history of"
    r"|hx of|h/o"
    r"|past (?:medical )?history|pmh|years? before|usual(?:ly)?|normally|as a child)\b"
    r"|去年|前年|上个?月|上周|上次住院|(?<![个孕经龄每半第停满几多])[一二三四五六七八九十]{1,2}月(?![龄大前后经婴宝])|[0-9一二两三四五六七八九十几数多]{1,3}(?:个月|周|年)前|(?:19|20)\d\d年|既往"
    r"|基线|平时|曾经?|病史|史[:：]"
)
_HINT = re.compile(f"(?P<past>{PAST})|(?P<now>{NOW})|(?P<recent>{RECENT})")

_LIMIT = re.compile(
    r"\b(?:targets?|aim(?:ing|s)?|goals?|keep(?:ing)?|maintain(?:ing)?|thresholds?|cut-?offs?|until|unless|limits?"
    r"|reference"
    r"|ref|normal range|criteri\w+|defin\w+|exceeds?|titrat\w+|never|critical (?:value|level|limit)s? (?:for|of"
    r"|is))\b"
    r"|目标|控制在|维持在|保持在|危急值(?:为|是|标准|范围|界)|正常值|参考|标准|阈值|界值|界限|范围|定义",
)
_CONDITION = re.compile(
    r"(?<!wondering )(?<!ask )(?<!asking )(?<!know )(?<!see )(?<!sure )(?<!check )"
    r"\b(?:if|when|whenever|once|should|unless|until|in case of|patients with|people with|adults with|those with"
    r"|anyone with"
    r"|suppose|imagine|assum\w+|what if|say)\s+(?:[\w'’]+\s+){0,4}$"
    r"|(?:\be\.g\.|\bfor example|\bsuch as|比如|例如|譬如)[^,，]{0,15}$"
    r"|(?:如果?|若|假如|假设|倘若|一旦|(?<![适应])当|要是|凡)[^。;，,]{0,10}$",
)
_AFTER = re.compile(
    r"[\s)\]]{0,4}(?:\(?(?:(?:as |is )?(?:the|an?) (?:\w+ )?)?(?:targets?|goals?|thresholds?|cut-?offs?"
    r"|aim)\b(?!\W{0,4}(?:is |of )?[<>]?\s?\d)|(?:is|are|being) (?:normal|the (?:target|threshold|upper|lower|limit))"
    r"|or (?:more|less|above|below|higher|lower|greater|over|under)\b|and (?:above|over|below|under)\b"
    r"|以上|以下|时(?!间)|者|为(?:目标|正常)|目标|即可|左右为宜|为宜)",
)
_DOSE_AFTER = re.compile(
    r"[\s)]*(?:iv\b|po\b|infusions?\b|over \d|in \d|bags?\b|bolus|daily\b|od\b|bd\b|tds\b|qds\b|bid\b|tid\b|stat\b"
    r"|per (?:day|hour|kg)"
    r"|tablets?\b|supplement|replacement|静滴|口服|静脉滴注|输注|泵入|微泵|片|支|bid|qd)",
)
_GENERAL = re.compile(
    r"\b(?:if|when|treat\w*|give|start|stop|hold|withhold|manag\w+|guidelines?|protocol|require[sd]?|indicat\w+"
    r"|consider|refer"
    r"|call|alert|notify|defin\w+|thresholds?|criteri\w+|patients|should|must|targets?|aim|keep|normal|recommend\w*"
    r"|guidance|what|why|how|explain\w*|always|needs?|does|do|can)\b"
    r"|时|者|应|需|则|标准|定义|诊断|目标|控制|正常|叫|报|规定|流程|制度|预案|算|依据|出处|通知|触发|启动|处理",
)
_RESOLVED = re.compile(
    r"[^\d\n]{0,40}?(?:\b(?:now|since|has|have|is|subsequently|then)\s(?:been |back to |returned to |come back to "
    r"|all |fully )?"
    r"(?:normal\w*|resolved|corrected|within (?:the )?normal)|[已现](?:在|经)?(?:恢复)?(?:正常|纠正)|恢复正常)"
)
_STATED = re.compile(r"\b(?:is|was|came|back|at)\b|[为是]")
_NEGATED = re.compile(
    r"(?:\b(?:not|never|no longer|isn['’]t|wasn['’]t|without|no|rather than|instead of)\s+(?:an?\s+|any\s+)?"
    r"|[未无非]|没有|并非|不是)$"
)
_NOT_BLOOD = re.compile(
    r"(?:\b(?:csf|urine|urinary|pleural|ascitic|ascites|synovial|peritoneal|stool|dialysate|sweat|cord"
    r"|vit(?:amin)?\.?|insulin[- ])"
    r"|尿|脑脊液|胸水|胸腔积液|腹水|透析液|脐血|维生素|维他命|胰岛素)[\s:-]*(?:spot |random )?$"
    r"|(?:脑脊液|关节液|胸水|腹水|尿)[^\d,，、]{1,4}$",
)
_FLUID = re.compile(
    r"\b(?:csf|lumbar puncture|aspirate|synovial fluid|joint fluid)\b[^.;]{0,30}[,，] ?$|脑脊液[^。；;]{0,15}[,，] ?$"
)
"""What the white cells after a comma are counted in: "CSF clear, WCC 1"."""
_RELATIVE = re.compile(rf"\b(?:{patterns.RELATIVE})(?:['’]s)?\b|{patterns.HAN_RELATIVE}")
_INFORMANT = re.compile(
    r"\s*(?:\w+\s+)?(?:reports?|says?|said|notic\w+|found|check\w*|brought|called|calls|states?|worried|concerned"
    r"|measured|thinks|gave|took)\b|\s*(?:代?诉|述|说|称|带|陪|发现|送|测|告|担心)",
)
_WITH = re.compile(r"(?:\b(?:by|with|from|per|the)\s+(?:his|her|their|the)?\s*|由|与|和)$")
_ANOTHER = re.compile(
    r"\b(?:another|other|different|previous|colleague['’]s|next) patients?\b|\bpatient in (?:the )?(?:next"
    r"|other) bed|case report"
    r"|\bin (?:the|a|this) (?:study|trial|cohort)\b|另一(?:位|个|名)?(?:患者|病人)|邻床|别的(?:患者|病人)|文献"
    r"|研究中",
)
# "Bed 3 has K 7.1, I ask about bed 4", in Chinese.
_BED = re.compile(r"\d\s?床")
_OTHER_BED = re.compile(r"问(?:的是|的|一下)?\s?\d{1,2}\s?床")
_EXAM = re.compile(
    r"which (?:one )?of the following\b|mcqs?\b|single best answer|multiple[- ]choice|usmle\b"
    r"|exam(?:ination)? question|osce\b"
    r"|board (?:review|question|exam)|practice question|quiz\b|question bank|vignette|hypothetical"
    r"|teaching case|mock case|for teaching"
    r"|simulat(?:ed|ion)|fictional|textbook\b|下列(?:哪|何|各项)|以下(?:哪|何)|单选|多选|选择题|考题|试题|真题|模拟题|病例题|第\d{1,3}题|题干"
    r"|执业医师考|最佳答案"
    r"|教学病例|模拟病例|虚构",
)


def exam_question(text: str) -> bool:
    """Whether `text` is a question of an examination or a made-up case, which has no patient."""
    return bool(_EXAM.search(text))


def sentence_before(text: str, at: int, most: int = 90) -> str:
    """What stands before `at` in its sentence, at most `most` characters."""
    return _SENTENCE_END.split(text[max(0, at - most) : at])[-1]


def sentence_after(text: str, at: int, most: int = 70) -> str:
    """What stands after `at` in its sentence, at most `most` characters."""
    return _SENTENCE_END.split(text[at : at + most], maxsplit=1)[0]


def counts(before: str, after: str, comparator: str = "", link: str = "") -> bool:
    """Whether a value is a current result of this patient, by what stands before its name and after it in the sentence.

    A value with a comparator may be a threshold: it does not count among words of treatment or in a question, and with
    a comparator in words only where `link`, which stands between name and value, states it.
    """
    clause = _CLAUSE_END.split(before)[-1]
    if _LIMIT.search(clause) or _CONDITION.search(before) or _NEGATED.search(clause) or _NOT_BLOOD.search(clause):
        return False
    if _FLUID.search(before):
        return False
    if _AFTER.match(after) or _DOSE_AFTER.match(after) or _RESOLVED.match(after):
        return False
    if comparator and (_GENERAL.search(before) or _GENERAL.search(after)):
        return False
    if comparator[:1].isalpha() and not _STATED.search(link):
        return False
    if _BED.search(before) and _OTHER_BED.search(after):
        return False
    return not _somebody_else(before)


def _somebody_else(before: str) -> bool:
    if _ANOTHER.search(before):
        return True
    return any(
        not _INFORMANT.match(before, match.end()) and not _WITH.search(before[: match.start()])
        for match in _RELATIVE.finditer(before)
    )


def when(before: str, after: str, link: str) -> When:
    """When a value was measured, by the words before its name, after it, and between name and value (`link`)."""
    parts = _CLAUSE_END.split(before[-45:])
    # "Last year, K was 6.8": the words of time are a clause by themselves.
    near = parts[-1] if len(parts) < 2 or parts[-1].strip() or len(parts[-2].strip()) > 18 else parts[-2]
    return hint(link) or _after(after[:32]) or hint(near)


def _after(after: str) -> When:
    match = _HINT.search(after)
    if match is None or _BREAK.search(after[: match.start()]) or _OTHER_VALUE.match(after, match.end()):
        return ""
    return hint(match[0])


# "118 (yesterday 131)" and "4.9, was 6.8 last week": the words of time are about another value.
_BREAK = re.compile(r"[,，、)\]→]|->|\d|\b(?:to|from)\b|原为")
_OTHER_VALUE = re.compile(r"[\s:=(]*(?:was |is |of |it was |为|是)?\d")


def hint(words: str) -> When:
    """The last words of time in `words`."""
    found: When = ""
    for match in _HINT.finditer(words):
        found = "past" if match["past"] else "now" if match["now"] else "recent"
    return found
