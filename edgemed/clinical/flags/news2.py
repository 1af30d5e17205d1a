"""The National Early Warning Score 2 of one set of observations. NOT CLINICALLY REVIEWED.

Royal College of Physicians, National Early Warning Score (NEWS) 2, London 2017, chart 1: the NEWS scoring system, and
chart 2: thresholds and triggers. The bands were compared with a stored copy of chart 1 (Scribd, document 584338409).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import current, patient
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.once import Once
from edgemed.clinical.flags.results import Reading
from edgemed.clinical.flags.written import ends, normal

PARAMETERS = ("respiration", "spo2", "oxygen", "systolic", "pulse", "consciousness", "temperature")
SOURCE = "Royal College of Physicians, NEWS2, 2017: 5 or more, or 3 for one parameter"
Reason = Literal["", "under_16", "pregnant", "pregnancy_unknown", "age_unknown", "no_scale"]
FEWEST = 3
"""Parameters that make a set of observations."""
_ADULT, _OLDEST_FERTILE = 16, 55

# (highest value of the band, score); the last band has no end.
_BANDS: dict[str, tuple[tuple[float, int], ...]] = {
    "respiration": ((8, 3), (11, 1), (20, 0), (24, 2), (float("inf"), 3)),
    "spo2": ((91, 3), (93, 2), (95, 1), (float("inf"), 0)),
    "spo2 scale 2": ((83, 3), (85, 2), (87, 1), (92, 0), (94, 1), (96, 2), (float("inf"), 3)),
    "systolic": ((90, 3), (100, 2), (110, 1), (219, 0), (float("inf"), 3)),
    "pulse": ((40, 3), (50, 1), (90, 0), (110, 1), (130, 2), (float("inf"), 3)),
    "temperature": ((35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1), (float("inf"), 2)),
}


@dataclass(frozen=True, slots=True)
class Observations:
    """One set. `consciousness`: "A" for alert, otherwise "C", "V", "P" or "U". None: not given."""

    respiration: float | None = None
    spo2: float | None = None
    oxygen: bool | None = None
    systolic: float | None = None
    pulse: float | None = None
    consciousness: str | None = None
    temperature: float | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The parameters that are not given."""
        return tuple(name for name in PARAMETERS if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class News2:
    """`score` is None if it may not be computed: `missing` parameters, or a `reason`.

    `highest`: one parameter scores 3. `evidence` holds the observations as the text has them. `new`: they stand in the
    new question. `scale`: the SpO2 scale, None until chosen. The reason "pregnancy_unknown" is for a woman of 16 to
    55 where neither header nor text says whether she is pregnant.
    """

    score: int | None
    missing: tuple[str, ...] = ()
    reason: Reason = ""
    highest: bool = False
    evidence: tuple[str, ...] = ()
    new: bool = True
    scale: Literal[1, 2] | None = None

    def as_flag(self) -> Flag | None:
        """A flag at 5 or more, or at 3 for one parameter."""
        if self.score is None or (self.score < 5 and not self.highest):
            return None
        return Flag("NEWS2", "news2", (f"NEWS2 {self.score}", *self.evidence), SOURCE, new=self.new)


def points(observations: Observations, scale: Literal[1, 2]) -> dict[str, int]:
    """The score of each parameter that is given. Values are rounded to the chart's precision."""
    given = {name: getattr(observations, name) for name in PARAMETERS if getattr(observations, name) is not None}
    return {name: _points(name, value, scale, observations.oxygen) for name, value in given.items()}


def _points(name: str, value: float | str | bool, scale: Literal[1, 2], oxygen: bool | None) -> int:
    if name == "oxygen":
        return 2 if value else 0
    if name == "consciousness":
        return 0 if value == "A" else 3
    if name == "spo2" and scale == 2:
        if not oxygen and float(value) >= 93:
            return 0
        name = "spo2 scale 2"
    rounded = round(float(value), 1 if name == "temperature" else 0)
    return next(score for most, score in _BANDS[name] if rounded <= most)


def read(
    texts: Sequence[Text],
    header: CaseHeader,
    scale: Literal[1, 2] | None = None,
    readings: Once[Reading] | None = None,
) -> News2 | None:
    """The score of the last set of observations in the newest text with three of the seven; None if there is none.

    `scale` is the user's choice of the SpO2 scale; what the text says goes before it.
    """
    for text in sorted(texts, key=lambda text: text.where == "question")[::-1]:
        observed = observations(text.body, readings)
        if observed is not None:
            seen, evidence = observed
            return _score(seen, evidence, texts, header, _scale(text.body) or scale, text.where == "question")
    return None


def _score(
    seen: Observations,
    evidence: tuple[str, ...],
    texts: Sequence[Text],
    header: CaseHeader,
    scale: Literal[1, 2] | None,
    new: bool,
) -> News2:
    reason = _reason(texts, header)
    if not reason and not seen.missing and scale is None:
        reason = "no_scale"
    if reason or seen.missing or scale is None:
        return News2(None, seen.missing, reason, evidence=evidence, new=new, scale=scale)
    scores = points(seen, scale)
    highest = max(scores.values()) == 3
    return News2(sum(scores.values()), highest=highest, evidence=evidence, new=new, scale=scale)


def _reason(texts: Sequence[Text], header: CaseHeader) -> Reason:
    years, pregnant = patient.age(texts, header), patient.pregnant(texts, header)
    if years is None:
        return "pregnant" if pregnant else "age_unknown"
    if years < _ADULT:
        return "under_16"
    if pregnant:
        return "pregnant"
    fertile = pregnant is None and years <= _OLDEST_FERTILE and patient.sex(texts, header) == "F"
    return "pregnancy_unknown" if fertile else ""


_SCALE = re.compile(r"scale ?([12])\b|量表 ?([12])|标尺 ?([12])|评分表 ?([12])")
# Tokens of a set besides the values. A repeated parameter begins a new set.
_AIR = re.compile(
    r"(?<![a-z])(?:on (?:room )?air|room air|\(?ra\)?(?![a-z])|in air|breathing air|without (?:supplemental )?oxygen"
    r"|no (?:supplemental )?(?:oxygen|o2)|fio2[ :=]*(?:0?\.21|21 ?%))"
    r"|未吸氧|不吸氧|(?:吸入|呼吸|吸)?空气|自然状态|室内空气"
)
_OXYGEN = re.compile(
    r"(?<![a-z])(?:on|via|with|requiring|needs|needing|receiving)[ :]{1,2}(?:\d{1,2}(?:\.\d)? ?l(?:it(?:re|er)s?)?\b"
    r"|high[- ]flow|hfn[oc]|supplemental|oxygen|o2\b|nasal|nc\b|cpap|niv|bipap|venturi|\d\d ?%)"
    r"|(?<![a-z0-9.])\d{1,2}(?:\.\d)? ?l(?:it(?:re|er)s?)?(?: ?/ ?min)?[ ,]{1,2}(?:of )?(?:o2|oxygen|nc\b|nasal|via"
    r"|by|nrb|non-?rebreath|face ?mask|mask)"
    r"|(?<![a-z])(?:non-?rebreath\w*|nasal cannulae?|venturi|(?:supplemental )?oxygen[ :]{1,2}(?:yes|on|\d{1,2} ?l))"
    r"|fio2[ :=]*(?:0?\.(?:2[2-9]|[3-9])|1\.0|2[2-9] ?%|[3-9]\d ?%|100 ?%)"
    r"|(?<![未不])(?:鼻导管|面罩|持续|低流量|高流量)吸?氧|(?<![未不])吸氧(?!前)"
)
_STATES = {
    "A": re.compile(
        r"(?<!not )(?<!hip )(?<![a-z])alert\b|a?c?avpu[ :=-]{0,3}(?:is )?a\b|\bgcs[ :=]{0,3}(?:of )?15\b|(?:神志"
        r"|意识)(?:清楚|清晰|清|清醒)|神清"
    ),
    "C": re.compile(
        r"new(?:ly|[- ]onset)?[ -](?:confus|disorient|delir)\w+|acute(?:ly)? confus\w+|confus\w+ \(new\)"
        r"|a?cvpu[ :=-]{0,3}c\b|[新突]发(?:意识)?(?:模糊|谵妄)"
    ),
    "V": re.compile(
        r"respon\w+ (?:only )?to (?:voice|verbal|speech)|a?c?vpu[ :=-]{0,3}v\b|对(?:声音|呼唤|语言)(?:刺激)?有反应"
        r"|呼之能应"
    ),
    "P": re.compile(r"respon\w+ (?:only )?to pain\w*|a?c?vpu[ :=-]{0,3}p\b|对(?:疼痛|痛)(?:刺激)?有反应"),
    "U": re.compile(r"\bunresponsive\b|\bcomatose\b|a?c?vpu[ :=-]{0,3}u\b|无反应|(?<!无)昏迷(?!史)"),
}
_NAMES = {"rr": "respiration", "spo2": "spo2", "sbp": "systolic", "hr": "pulse", "temp": "temperature"}
_GAP = 200
"""Characters between two observations of one set, at most."""
_MOST = 40
"""Values of the end of a text that are looked at."""


def _scale(body: str) -> Literal[1, 2] | None:
    match = _SCALE.search(normal(ends(body)))
    if match is None:
        return None
    return 2 if "2" in match.groups() else 1


def observations(body: str, readings: Once[Reading] | None = None) -> tuple[Observations, tuple[str, ...]] | None:
    """The last set of at least three observations in a text, with the words; None if there is none."""
    reading = (readings or Once(Reading)).of(body)
    body = ends(body)
    # (start, end, parameter, value)
    seen: list[tuple[int, int, str, float | str | bool]] = [
        (result.start, result.end, _NAMES[result.analyte], result.value)
        for result in reading.counted(_NAMES, most=_MOST)
        if not result.comparator
    ]
    if not seen:
        return None
    plain = normal(body)
    start, stop = max(0, seen[0][0] - _GAP), seen[-1][1] + _GAP
    tokens: list[tuple[str, str | bool, re.Pattern[str]]] = [("oxygen", False, _AIR), ("oxygen", True, _OXYGEN)]
    tokens += [("consciousness", state, pattern) for state, pattern in _STATES.items()]
    for parameter, value, pattern in tokens:
        for match in pattern.finditer(plain, start, stop):
            before = re.split(r"[,，;(]", current.sentence_before(plain, match.start(), 40))[-1]
            if not re.search(
                r"\b(?:if|when|target|aim|baseline|usually|previously|yesterday)\b|如果|目标|既往|昨", before
            ):
                seen.append((match.start(), match.end(), parameter, value))
    last = _last_set(sorted(seen, key=lambda item: item[:2]))
    if len(last) < FEWEST:
        return None
    values = {parameter: value for _, _, parameter, value in last}
    return Observations(**values), tuple(dict.fromkeys(body[item[0] : item[1]].strip() for item in last))  # type: ignore[arg-type]


def _last_set(seen: list[tuple[int, int, str, float | str | bool]]) -> list[tuple[int, int, str, float | str | bool]]:
    """The last run of at least three observations without a wide gap and without a second value of a parameter."""
    sets: list[list[tuple[int, int, str, float | str | bool]]] = []
    for item in seen:
        given = {other[2]: other[3] for other in sets[-1]} if sets else {}
        if not sets or item[0] - sets[-1][-1][1] > _GAP or given.get(item[2], item[3]) != item[3]:
            sets.append([])
        elif item[2] in given:
            continue  # "on 2 L oxygen via nasal cannula": said twice
        sets[-1].append(item)
    return next((run for run in reversed(sets) if len(run) >= FEWEST), [])
