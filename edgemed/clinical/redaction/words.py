"""The lists of `words.toml`, and endings of words, that tell names from other words."""

from __future__ import annotations

import tomllib
from pathlib import Path

_LISTS = {
    name: frozenset(words.split())
    for name, words in tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8")).items()
}
GIVEN = _LISTS["given"]
ORDINARY = _LISTS["ordinary"]
EPONYMS = _LISTS["eponyms"]
STOP = _LISTS["stop"]
ABBREVIATIONS = _LISTS["abbreviations"]
GENERAL = _LISTS["general"]
ROLES = _LISTS["roles"]
HAN_WORDS = _LISTS["han_words"]

EPONYMOUS = (
    r"disease|syndrome|sign|test|palsy|catheter|law|criteria|score|scale|reflex|manoeuvre|maneuver|solution"
    r"|lymphoma|tumou?r"
    r"|sarcoma|phenomenon|contracture|fracture|line|lines|procedure|operation|stain|triad|tetralogy|dystrophy"
    r"|disorder|dementia"
    r"|encephalopathy|cyst|gland|chorea|position|classification|spots?|nodes?|nodule|gangrene|hernia|oesophagus"
    r"|esophagus"
    r"|anaemia|anemia|thyroiditis|arteritis|granulomatosis|purpura|nephropathy|neuropathy|cells?|bodies|body"
    r"|formula|equation|index"
    r"|splint|collar|needle|tube|drain|bag|line|virus|fever|wort|duct|diverticulum|deformity|ulcer|angina"
    r"|breathing|respiration"
    r"|exercises?|technique|method|questionnaire|inventory|rule|rules|reaction|schema|plot|trial|study|block|hand"
    r"|foot|arthropathy"
    r"|epilepsy|paralysis|paresis|pustulosis|mycosis|tardive|plus|stage|stages|grade|type|dose|lactate|chart"
)
"""What such a name stands before."""

MEDICAL_ENDS = tuple(_LISTS["endings"])
"""Endings of words of medicine that no name has."""
CREDENTIALS = (
    r"MD|DO|RN|PhD|MBBS|MBChB|FRCP|MRCP|FRCS|MRCS|MRCGP|FRCA|MRCPsych|FRCR|NP|PA-C|BSc|MSc|DDS|PharmD|LPN|CNM|CRNA"
    r"|FACP|FACS"
)
