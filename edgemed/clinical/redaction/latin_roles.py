"""The patterns of English names beside a role, a relative, an age or a verb. Group "n" is the name."""

from __future__ import annotations

import re

from edgemed.clinical.redaction.latin_patterns import NAME, RELATIVE, UPPER, W
from edgemed.clinical.redaction.words import ROLES

_KIN = frozenset(
    f"{RELATIVE}|parents|children|kids|sons|daughters|brothers|sisters|siblings|twins|housemate|flatmate|roommate"
    "|lodger|boss|ex-husband|ex-wife|ex-partner|stepson|stepdaughter|stepbrother|stepsister|great-aunt"
    "|mother-in-law|father-in-law|son-in-law|daughter-in-law|sister-in-law|brother-in-law|auntie|granny|grandpa"
    "|granddad|mummy|daddy|mam|godmother|godfather".split("|")
)
PERSON = _KIN | ROLES
"""Words of people that stand before a name, the last word for those of several (social worker)."""
BESIDE = re.compile(
    rf"(?P<role>(?<![\w-])[A-Za-z][a-z0-9-]*|(?<![\w-])[A-Z]{{2,5}})(?::|,| is| called| named|)(?: \(| )(?=[{UPPER}])"
)
AFTER = re.compile(rf"(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof)\.? )?(?P<n>{NAME})(?:(?:,| and| &|/) (?P<m>{NAME}))?")
PHRASE = re.compile(
    r"(?:certify that|name as|(?:lives|spoke|now|met|clinic|appointment|Lives|Spoke|Clinic|Appointment) with"
    rf"|(?:spoke|Spoke) to) (?P<n>{NAME})"
)
_PERSON_DOES = (
    r"lives|lived|moved|prefers|collects|collected|visits|visited|works|worked|rang|phoned|asked|asks|says|said|told"
    r"|tells|feels|felt|denies|reports|reported|attended|attends|came|wants|agreed|agrees|declined|declines|consented"
    r"|drinks|smokes|smoked|takes|took|lost|presented|returned|stays|remains|slept|ate|fell|flew|travelled"
)
_AGE = (
    r"(?:,? ?\((?:[A-Z]{2,4}|\d{1,3}|b\.|born|DOB)|,? (?:aged? )?\d{1,3}(?=[,.;:)]| ?(?:[MFmf]\b|y))"
    r"|,? (?:b\. ?|born |DOB\b|D\.O\.B)|, [A-Z]{2,3}(?=[,.])|, (?:lorry|HGV|bus|retired|a \d\d)| / )"
)
SUBJECTS = (
    re.compile(rf"(?:^|[.:;!?\n] ?)[ \t]*(?P<n>{W}(?: (?:[{UPPER}]\.? )?{W}){{1,3}})(?={_AGE})", re.M),
    re.compile(
        rf"(?:^|[.:;!?\n] ?|\band )(?P<n>{W} (?:[{UPPER}]\.? )?{W})(?='s? (?:wife|son|mother)| (?:{_PERSON_DOES})\b)",
        re.M,
    ),
)
CLOSING = re.compile(
    r"(?:Cheers|Thanks|Regards|Yours|Best wishes|Kind regards|Ta|Yours sincerely|Yours faithfully)[,.]?\s{1,10}"
    rf"(?:Dr\.? )?(?P<n>{NAME})(?=\.?\s*$|\.?\n|,)",
    re.M,
)
MAYBE = re.compile(rf"(?:(?<=ale )|(?<=man )|(?<=boy )|(?<=irl )|(?<=ent )|(?<= pt ))\?(?P<n>{NAME})")
SCANNED = re.compile(
    r"\bNAME:? (?P<n>[A-Z]{2,20}(?: [A-Z]{1,20}){1,3}?)(?= (?:SEX|DOB|D\.O\.B|AGE|BORN|ADDR|NHS|M|F)\b)"
)
HANDOVER = re.compile(rf"(?:^|[.:\n] ?)(?P<n>{W}(?: {W})?)(?= ?- )", re.M)
CODED = re.compile(r"(?:[Ii]nitials|INITIALS)[: ]{1,2}(?P<n>[A-Z]{2,4})(?![A-Za-z])")
