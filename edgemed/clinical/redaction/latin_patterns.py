"""The patterns with which `edgemed.clinical.redaction.latin_names` finds names. Group "n" is the name."""

from __future__ import annotations

import re

from edgemed.clinical.redaction.words import CREDENTIALS, EPONYMOUS, EPONYMS, ORDINARY

LOWER = "a-z\u00df-\u00f6\u00f8-\u00ff\u0100-\u017f"
UPPER = "A-Z\u00c0-\u00d6\u00d8-\u00de"
W = (
    rf"(?:[{UPPER}](?:'[{UPPER}])?[{LOWER}]{{1,25}}(?:[{UPPER}][{LOWER}]{{1,20}})?"
    rf"(?:[-'][{UPPER}]?[{LOWER}]{{1,20}}){{0,2}}"
    rf"|[{UPPER}]{{2,20}}(?:[-'][{UPPER}]{{1,20}})?)"
)
JOIN = r"[ \t]{1,2}(?:(?:de|da|dos|van|von|der|den|bin|bint|ibn|al|el|la|le|ter|di|del|O'|St\.?) ?){0,3}"
PARTICLES = "(?:(?:van|von|der|den|de|la|le|da|dos|du|di|al|el|bin) ){0,2}"
NAME = rf"(?:(?:[{UPPER}]\.? ?){{0,3}}{PARTICLES}{W}(?:{JOIN}(?:[{UPPER}]\.? )?{W}){{0,3}})"
TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Master|Mister|Dr|Doctor|Prof|Professor|Sir|Dame|Lady|Lord|Rev|Reverend|Nurse|Sister"
    r"|MR|MRS|DR|MISS|PROF|mr|mrs|dr(?=\.))"
)
RELATIVE = (
    "mother|father|mum|mom|dad|wife|husband|spouse|partner|son|daughter|brother|sister|uncle|aunt|cousin"
    "|grandmother|grandfather"
    "|grandson|granddaughter|nephew|niece|carer|caregiver|guardian|friend|neighbour|neighbor|girlfriend|boyfriend"
    "|fiance|fiancee"
    "|twin|stepmother|stepfather|grandma|grandad|nan"
)
PEOPLE = (
    "consultant|gp|registrar|surgeon|nurse|doctor|physician|clinician|author|signed|signature|dictated by|seen by"
    "|reviewed by"
    "|reported by|referred by|requested by|examined by|prepared by|prescriber|prescribed by|attending|anaesthetist"
    "|midwife|cc|attn"
    "|from|to|patient|pt|re|contact|emergency contact|informant|interpreter|next of kin|nok|social worker|key"
    " worker|pharmacist"
    f"|referrer|referring physician|pcp|primary care physician|operator|assistant|witness|{RELATIVE}"
)
_AFTER_TITLE = r"(?:(?<=mr )|(?<=mr\. )|(?<=rs )|(?<=rs\. )|(?<=dr\. ))"
TITLED = re.compile(
    rf"{TITLE}\b\.?[ \t]{{1,2}}(?P<n>{NAME}|(?:(?<=mr )|(?<=mr\. )|(?<=rs )|(?<=rs\. )|(?<=dr\. ))[a-z]{{3,20}})"
)
NAME_LABEL = re.compile(r"(?:names?|surname|forenames?|next of kin|nok)[ \t]{0,2}(?P<sign>[:=]|is\b)[ \t]{0,3}")
AFTER_LABEL = re.compile(
    rf"(?:{TITLE}\b\.? )?(?P<n>[^\W\d_](?:\.|[\w'-]{{0,25}})(?:(?:, (?=[{UPPER}])| )[^\W\d_](?:\."
    rf"|[\w'-]{{0,25}})){{0,4}})"
)
OTHER_LABELS = re.compile(
    r"(?<![a-z])(?:drug|generic|brand|trade|medicine|medication|file|test|product|device|study|procedure|hospital"
    r"|ward|company|user"
    r"|organism|strain|department|practice|surgery|pharmacy|the|model|insurer|plan|manufacturer|vaccine|disease) $"
)
WHOSE = re.compile(r"(?:my|his|her|their|patient's|full|first|last) $")
NEXT_FIELD = re.compile(
    r"[ ,]{1,3}(?:dob|d\.o\.b|date|mrn|nhs|age|aged|sex|gender|male|female|hospital|ward|tel|phone|address|number"
    r"|no|unit|born"
    r"|relationship|forenames?|surname|first|last|middle|name|and|is|was|who|with|but|from|on|a|m|f)(?![\w']).*$",
    re.I,
)
ROLE_LABEL = re.compile(rf"(?:{PEOPLE})[ \t]{{0,2}}[:][ \t]{{0,3}}")
CAPITAL = re.compile(rf"(?:{TITLE}\b\.?[ \t])?(?P<n>{W}, {W}|{NAME})")
BY = re.compile(
    r"(?:seen|reviewed|examined|signed|dictated|referred|accompanied|assessed|prepared|typed|reported|verified"
    r"|authori[sz]ed"
    r"|requested|witnessed|performed|written|transcribed|operated|escorted|brought in|discussed|treated|admitted|called"
    rf")(?: on| in)? (?:by|with)(?: (?:his|her|their) (?:{RELATIVE}),?)? "
)
SALUTATION = re.compile(
    rf"^[ \t]*(?:Dear|Hi|Hello|Hey|Good (?:morning|afternoon|evening)),?[ \t](?:{TITLE}\b\.? )?(?P<n>{NAME})", re.M
)
SIGNATURE = re.compile(
    r"(?:Yours (?:sincerely|faithfully|truly)|(?:[Kk]ind|[Bb]est|[Ww]arm) (?:regards|wishes)|Regards|Sincerely"
    r"|Signed|Many thanks"
    rf"|With thanks|Best)[,.:]?[ \t]*\n\s{{0,20}}(?:{TITLE}\b\.? )?(?P<n>{NAME})"
)
CREDENTIAL = re.compile(rf"(?P<n>{W}[ ](?:[{UPPER}]\. ?)?{W}),? (?:{CREDENTIALS})(?![A-Za-z])")
RELATIVES = re.compile(rf"(?:{RELATIVE})(?:,? (?:is |called |named |is called )?| \()(?P<n>{NAME})")
AGED = re.compile(rf"(?i:boy|girl|man|woman|gentleman|lady|baby|toddler|teenager|infant|child), (?P<n>{NAME})(?=,)")
GREETING = re.compile(
    r"(?:hi|hello|hey|good morning|good afternoon|good evening|thanks|thank you|okay|alright|bye)(?:,| there,?)? "
    r"(?P<n>[a-z]{3,20})(?![a-z])"
)
"""In lower case, as transcripts are written; group "n" is a given name."""
CALLED = re.compile(
    r"(?:man|woman|boy|girl|patient|gentleman|lady|baby|child|infant|son|daughter|person|colleague|teacher|doctor"
    r"|who is|he is|she is"
    rf"|known),? (?:called|named|as|known as) (?P<n>{NAME})|(?:[Mm]y name is|[Mm]y name's|I am Dr\.?|I'm Dr\.?"
    rf"|[Tt]his is Dr\.?|name was) (?P<m>{NAME})"
)
PATIENT = re.compile(
    rf"(?:[Pp]atient|Pt|pt),? (?P<n>{W} (?:[{UPPER}]\.? )?{W})(?=,| \(| (?:is|was|has|had|presented|attended"
    rf"|came|DOB|MRN|NHS)\b)"
)
INITIALS = re.compile(rf"[A-Z]\. ?(?:[A-Z]\. ?)?(?P<w>{W})")
EPONYM_AFTER = re.compile(rf"(?:'?s?'?)?(?:(?:-| and | ){W}(?:'s)?){{0,2}}[ -](?:{EPONYMOUS})(?![a-z])")
EPONYM_WORDS = re.compile(rf"[ -](?:{EPONYMOUS})(?![a-z])")
NEAR = 80
"""Between a name and the word behind it are at most so many characters."""
WORDS = re.compile(W)
TITLED_STOP = ORDINARY | EPONYMS
