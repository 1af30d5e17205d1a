"""What a dose or drug question leaves out about its patient.

The rules are words. They report only what they recognise: if nothing is reported, something may still be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.folded import Folded
from edgemed.clinical.mentioned import ages_in, mentioned

_AGE = re.compile(r"\s*(?P<n>\d{1,3}(?:\.\d)?)\s*(?P<unit>m|w|d|个?月|周|天|日)?", re.I)
_PER_YEAR = {"y": 1, "m": 12, "个月": 12, "月": 12, "w": 52, "周": 52, "d": 365, "天": 365, "日": 365}

ORDER = ("weight", "egfr", "allergies", "pregnancy", "age")
_LONGEST = 20_000
"""Characters at the beginning of a text in which ages are looked for."""

# A dose is asked for.
_DOSE = re.compile(
    r"\b(?:dos(?:e|es|age|ages|ing)|mg/kg|mcg/kg|posology|titrat\w*|up-?titrat\w*|loading|infusion rate"
    r"|how many (?:mg|milligrams|mcg|units"
    r"|tablets|puffs|drops|ml)|how much .{0,40}\b(?:give|take|prescribe|use|start|inject|infuse))\b"
    r"|剂量|用量|负荷量|维持量|起始量|最大量|极量|多少(?:毫克|微克|毫升|单位|片|粒|滴|mg|ml|g|u)|每公斤|吃几片|几片|加量|减量|滴定|滴速|泵速|怎么配|如何配"
)
# A drug is to be used, changed or combined; counts if a drug is named with it.
_USE = re.compile(
    r"\b(?:can (?:i|we|she|he|they|you|the patient|this patient|my patient) (?:\w+ ){0,2}(?:give|prescribe|take"
    r"|use|start|have|add|combine|continue|be given|be put on)"
    r"|(?:should|shall|may|could|would) (?:i|we|she|he|they|you) (?:\w+ ){0,2}(?:give|prescribe|take|use|start"
    r"|add|combine|continue|stop|switch|be given|increase|reduce)"
    r"|ok(?:ay)? to (?:give|take|use|start|combine)|safe\w* (?:to|in|for|with|during)|interact\w*"
    r"|contra-?indicat\w*|compatible"
    r"|prescrib\w*|switch\w*|convert\w*|conversion|taper\w*|wean\w*|which (?:drug|antibiotic|anticoagulant|statin"
    r"|analgesic|antihypertensive|antidepressant|agent|opioid|diuretic|inhaler|medication|medicine)"
    r"|what (?:antibiotic|drug|medication|medicine|analgesi\w+|anticoagulant|pain ?killer)s?|start(?:ing)? (?:him"
    r"|her|them|on)?|add(?:ing)?|treat\w* with|max(?:imum)?|first[- ]line)\b"
    r"|能不能|能否|可不可以|可否|可以(?:用|吃|服|打|给|加|合)|能(?:用|吃|服|打|给)|怎么(?:用|吃|服|换|减|停|调)|如何(?:用|使用|服|换|减|停|调整|给药)|用法"
    r"|相互作用|合用|联用|同服|一起(?:吃|用|服)|禁忌|慎用|换算|换成|改用|停药|选(?:什么|哪种|用)|用什么(?:药|抗生素)|开什么药|吃什么药|是否(?:安全|能用|可用|可以)|安全吗"
    r"|(?:用|吃|服|打|给|开|输|泵)多少|多大(?:剂)?量|(?:一天|每天|一日|每日|一次|每次)(?:吃|用|服|打|给)?几"
)
_DRUG = re.compile(
    r"\b(?:\w{3,}(?:cillin|floxacin|mycin|micin|oxacin|pril|sartan|olol|statin|azole|zepam|zolam|caine|parin|xaban|gliptin|gliflozin|prazole|tidine"
    r"|setron|triptan|dipine|thiazide|semide|oxetine|pramine|triptyline|profen|mab|tinib|cycline|vir|sone|solone|phylline|terol|dronate|barbital"
    r"|formin|glutide|azepine|trigine|racetam|valproate|penem|sulfa\w*|coxib|codone|morphone|fentanil|fentanyl|curonium|dopa|apine|idone|peridol|traline|pidem|lukast|tadine|rizine|gatran|zide|amide|parib|ciclib|fibrate|xostat|apride|oxine|lamine|drine)s?"
    r"|aspirin|paracetamol|acetaminophen|morphine|codeine|tramadol|warfarin|insulin|digoxin|lithium|adrenaline|epinephrine|noradrenaline|heparin|naproxen"
    r"|diclofenac|celecoxib|ketorolac|methotrexate|ketamine|propofol|prednis\w+|steroids?|antibiotics?|nsaids?|ssris?|statins?|opioids?|opiates?"
    r"|beta-?blockers?|ace inhibitors?|diuretics?|anticoagulants?|doacs?|vaccines?|aspart|glargine|amiodarone"
    r"|adenosine|clopidogrel|ticagrelor|dabigatran"
    r"|gabapentin|pregabalin|phenytoin|levothyroxine|thyroxine|co-\w+|cef\w+|ceph\w+|vancomycin|teicoplanin|nitrofurantoin|trimethoprim|metronidazole"
    r"|drugs?|medicines?|medications?|tablets?|analgesics?|pain ?killers?|antihistamines?|loratadine|cetirizine"
    r"|salbutamol|albuterol|melatonin|colchicine|allopurinol)\b"
    r"|药|沙星|西林|头孢|霉素|普利|沙坦|洛尔|他汀|拉唑|地平|唑仑|西泮|列净|格列|二甲双胍|肝素|法林|胰岛素|阿司匹林|氨基酚|布洛芬|地高辛|吗啡|激素|泼尼松|地塞米松|抗生素"
    r"|疫苗|沙班|氯吡格雷|替格瑞洛|胺碘酮|呋塞米|螺内酯|曲马多|可待因|卡马西平|丙戊酸|拉莫三嗪|左旋|甲状腺素|培南|硝唑|康唑|洛韦|奥司他韦|锂"
)
_CAN_GIVE = re.compile(
    r"\bis (?!(?:it|this|that|an? |mri|ct|the |x-?ray|ultrasound|exercise|sex|flying|travel|surgery"
    r"|vaccination)\b).{2,40} safe (?:in|with|for|to (?:give|take|use))\b|\b(?:can|may|should|could) (?:i"
    r"|we) (?:safely )?(?:give|prescribe)\b(?! (?:advice|feedback|blood|oxygen|food|her the diagnosis))"
)
# Nothing is to be taken: an examination question, or how a drug works.
_KNOWLEDGE = re.compile(
    r"\bwhich of the following\b|\bmechanism\b|\bhalf-?life\b|\bpharmaco(?:kinetics|dynamics|logy)\b"
    r"|\bhow does .{1,60} work\b|\bwhat is the difference\b"
    r"|\bwho (?:discovered|invented)\b|\bhistory of\b.{0,20}\bdrug development\b"
    r"|作用机制|作用机理|半衰期|药代动力学|药理作用|下列(?:哪|关于|说法|选项)|以下哪"
    r"|dose[- ](?:response|dependent)|radiation dose|dose of radiation|dosimetry|辐射剂量"
)
# Products that act where they are put: no field matters.
_INERT = re.compile(
    r"\b(?:emollients?|moisturi[sz]\w+|aqueous cream|barrier creams?|petroleum jelly|vaseline|white soft paraffin"
    r"|zinc oxide|sudocrem|bepanthen|sun ?screens?|sunblock"
    r"|artificial tears?|eye lubricants?|lubricating (?:eye )?(?:drops|gel|ointment)|carbomer|hypromellose"
    r"|carmellose|calamine|saline (?:nasal|nose|eye|drops?|spray|rinse|irrigation|gargle|wash|flush)"
    r"|(?:nasal|nose|normal|eye) saline(?! bolus)|saline|honey dressing|hydrocolloid|wound dressings?|shampoo"
    r"|lip balm|talc|hand cream|e45|cetraben|diprobase|dermol)\b"
    r"|润肤|保湿|身体乳|凡士林|人工泪液|玻璃酸钠滴眼|防晒|氧化锌|炉甘石|护手霜|敷料|生理盐水|海盐水|洗鼻|尿素霜|尿素乳膏"
)
_FLUID = re.compile(
    r"\b(?:bolus|iv|intravenous|infusion|resuscitat\w*|litres?|liters?|fluids?|ml/kg|ml/h|hypertonic|3%)\b|静滴|静脉|补液|输液|扩容|高渗"
)
# Active drugs that are put on the skin, into an eye or an ear, or inhaled.
_LOCAL = re.compile(
    r"\b(?:creams?|ointments?|gels?|lotions?|topical\w*|eye ?drops?|ear ?drops?|eye ointment|nasal sprays?"
    r"|mouthwash|pessary|pessaries|inhalers?|puffs?)\b"
    r"|乳膏|软膏|凝胶|洗剂|外用|滴眼液|滴耳液|眼膏|鼻喷|喷鼻|漱口|栓剂|吸入剂"
)
_SYSTEMIC = re.compile(
    r"\b(?:tablets?|capsules?|oral(?:ly)?|iv|im|sc|intravenous|injection|infusion|patch(?:es)?|suppositor\w+"
    r"|by mouth|po)\b|口服|静脉|肌注|静滴|注射|贴片|片|胶囊"
)
_TERATOGEN = re.compile(
    r"\b(?:retinoids?|tretinoin|adapalene|isotretinoin|podophyll\w+|imiquimod|methotrexate|fluorouracil)\b|维a酸|维甲酸|阿达帕林"
)
# Drugs whose adult dose goes by weight.
_BY_WEIGHT = re.compile(
    r"(?:/| per )kg\b|\b(?:\w+parin|gentamicin|tobramycin|amikacin|vancomycin|teicoplanin|aciclovir|acyclovir"
    r"|digoxin|aminophylline|theophylline|ketamine|propofol|rocuronium"
    r"|suxamethonium|alteplase|tenecteplase|thrombolysis|phenytoin|levetiracetam|amphotericin|colistin|immunoglobulin|ivig|chemotherapy|methotrexate|\w+xaban|insulin|paracetamol"
    r"|acetaminophen|acetylcysteine|local anaesthetic|lidocaine|lignocaine|bupivacaine|mannitol|noradrenaline"
    r"|dopamine|dobutamine|milrinone|amiodarone)\b"
    r"|公斤|肝素|庆大霉素|阿米卡星|万古霉素|替考拉宁|阿昔洛韦|地高辛|茶碱|氯胺酮|丙泊酚|阿替普酶|替奈普酶|溶栓|苯妥英|化疗|沙班|胰岛素|氨基酚|乙酰半胱氨酸|多卡因|多巴胺|胺碘酮"
)
_CHILD = re.compile(
    r"\b(?:neonat\w*|new-?borns?|infants?|bab(?:y|ies)|toddlers?|child|children|paediatric|pediatric|kids?|preterm|premature)\b|新生儿|婴儿|婴幼儿|患儿|小儿|儿童|宝宝|孩子|幼儿|早产儿"
)
_ADULT = re.compile(
    r"\b(?:adults?|elderly|wom[ae]n|m[ae]n|lady|gentleman|postmenopausal)\b|成人|成年|老年|老人|男性|女性|绝经"
)
_MALE = re.compile(r"\b(?:m|male|man|boy|gentleman|he|him|his|mr)\b|男")
_FEMALE = re.compile(r"\b(?:f|female|woman|girl|lady|she|her|mrs|ms|miss)\b|女|孕妇")

_GIVEN = {
    "weight": re.compile(
        r"\b(?:wt|weighs?|weighing|weight|bw)\b[^\d\n]{0,16}\d|体重[^\d\n]{0,8}\d"
        r"|(?<!gained )(?<!lost )(?<!loss of )(?<!gain of )(?<!/)\b\d{1,3}(?:\.\d{1,3})? ?(?:kgs?|kilos?"
        r"|kilograms?|lbs?|pounds|stones?)\b(?! ?(?:/|per|weight (?:loss|gain)))"
        r"|\d{1,3}(?:\.\d{1,2})? ?(?:公斤|千克|斤)"
    ),
    "egfr": re.compile(
        r"\b(?:e?gfr|cr ?cl|crcl|creatinine clearance|cockcroft)\b[^\n]{0,24}(?:\d|normal)|(?:normal|good"
        r"|intact) (?:renal|kidney) function"
        r"|(?:renal|kidney) function (?:is |was )?(?:normal|intact|good)|\b(?:dialysis|haemodialysis|hemodialysis"
        r"|anuric|esrd|eskd)\b|\bckd (?:stage |g)?[1-5]"
        r"|(?:肌酐清除率|肾小球滤过率)[^\n]{0,8}\d|肾功能?(?:正常|良好|未见异常)|透析|尿毒症"
    ),
    "allergies": re.compile(
        r"\bnkd?a\b|\ballerg(?:y|ies)\b|\ballergic to\b|-allergic\b|\bnot allergic\b|过敏(?!性|反应|原|科|体质)|过敏史"
    ),
    "pregnancy": re.compile(
        r"pregnan|\bgravid|gestation|post-?menopaus|\bmenopaus|hysterectomy|tubal ligation|sterili[sz]ed|\blmp\b"
        r"|\bhcg\b|trimester|\b\d{1,2}/40\b|post-?partum"
        r"|(?<!避)孕|妊娠|绝经|子宫切除|产后"
    ),
}  # fmt: skip


def not_given(question: str, header: CaseHeader, earlier: Sequence[str]) -> list[str]:
    """The fields of the header that matter to the drug asked about and that nobody has given, in `ORDER`.

    Empty if the question asks for no drug or dose, is an examination question, or is about a product such as an
    emollient. A dose question counts as one for a patient, also if it names none. Weight: always for a child or an
    unknown age; for an adult if a dose is asked for, or the drug is dosed by weight. Pregnancy: unless the patient is
    male or the age is outside 10 to 55. A local drug (cream, eye drops, inhaler) needs allergies and age only.
    """
    asked = Folded.of(question).text
    if not _asks(asked):
        return []
    texts = [asked, *(Folded.of(text).text for text in earlier)]
    known = "\n".join([*texts, Folded.of(header.problems + "\n" + header.medicines).text])
    years = _years(header, [question, *earlier])
    child = (years is not None and years < 18) or (years is None and any(map(_CHILD.search, texts)))
    adult = (years is not None and years >= 18) or (not child and any(map(_ADULT.search, texts)))
    wanted = {"age"} if years is None else set()
    if _FLUID.search(asked) and _INERT.search(asked) and not _DRUG.search(asked):
        wanted |= {"weight"}
    else:
        wanted |= {"allergies"}
        local = _LOCAL.search(asked) and not _SYSTEMIC.search(asked)
        if not local:
            wanted |= {"egfr"}
            if not adult or _BY_WEIGHT.search(asked) or _DOSE.search(asked):
                wanted |= {"weight"}
        if (not local or _TERATOGEN.search(asked)) and _may_be_pregnant(header, [question, *earlier], years):
            wanted |= {"pregnancy"}
    return [
        name
        for name in ORDER
        if name in wanted and not getattr(header, name) and not (name in _GIVEN and _GIVEN[name].search(known))
    ]


def _asks(question: str) -> bool:
    """Whether the question is about the use of a drug that acts beyond the place where it is put."""
    if _KNOWLEDGE.search(question):
        return False
    if _INERT.search(question) and not _FLUID.search(question) and not _DRUG.search(_INERT.sub(" ", question)):
        return False
    return bool(
        _DOSE.search(question)
        or _CAN_GIVE.search(question)
        or (_USE.search(question) and (_DRUG.search(question) or _LOCAL.search(question)))
    )


def _years(header: CaseHeader, texts: Sequence[str]) -> float | None:
    """The patient's age: the header's, else the last one that a text gives."""
    if header.age:
        match = _AGE.match(header.age)
        return float(match["n"]) / _PER_YEAR[(match["unit"] or "y").lower()] if match else None
    for text in texts:
        beginning = text[:_LONGEST]
        for item in [*ages_in(beginning), *mentioned(beginning)]:
            if item.kind == "age":
                return item.years
    return None


def _may_be_pregnant(header: CaseHeader, texts: Sequence[str], years: float | None) -> bool:
    if years is not None and not 10 <= years <= 55:
        return False
    sex = header.sex.strip().lower()
    if sex:
        return not sex.startswith(("m", "男"))
    if any(_FEMALE.search(text.lower()) for text in texts):
        return True
    sexes = [item.value for text in texts for item in ages_in(text[:_LONGEST]) if item.kind == "sex"]
    return "M" not in sexes and not any(_MALE.search(text.lower()) for text in texts)
