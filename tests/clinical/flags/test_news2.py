"""NEWS2 against a table written out value by value, and when it is not computed."""

from __future__ import annotations

import itertools

import pytest

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import news2
from edgemed.clinical.flags.flag import Text
from edgemed.clinical.flags.news2 import News2, Observations

MAN = CaseHeader(age="70", sex="male")


# Royal College of Physicians 2017, chart 1, written here again by hand and not taken from the module.
def _respiration(rate: int) -> int:
    if rate <= 8:
        return 3
    if 9 <= rate <= 11:
        return 1
    if 12 <= rate <= 20:
        return 0
    if 21 <= rate <= 24:
        return 2
    return 3


def _scale_1(percent: int) -> int:
    if percent <= 91:
        return 3
    if percent in (92, 93):
        return 2
    if percent in (94, 95):
        return 1
    return 0


def _scale_2(percent: int, oxygen: bool) -> int:
    if percent <= 83:
        return 3
    if percent in (84, 85):
        return 2
    if percent in (86, 87):
        return 1
    if percent <= 92 or not oxygen:
        return 0
    if percent in (93, 94):
        return 1
    if percent in (95, 96):
        return 2
    return 3


def _systolic(pressure: int) -> int:
    if pressure <= 90:
        return 3
    if pressure <= 100:
        return 2
    if pressure <= 110:
        return 1
    if pressure <= 219:
        return 0
    return 3


def _pulse(rate: int) -> int:
    if rate <= 40:
        return 3
    if rate <= 50:
        return 1
    if rate <= 90:
        return 0
    if rate <= 110:
        return 1
    if rate <= 130:
        return 2
    return 3


def _temperature(tenths: int) -> int:
    if tenths <= 350:
        return 3
    if tenths <= 360:
        return 1
    if tenths <= 380:
        return 0
    if tenths <= 390:
        return 1
    return 2


def test_every_value_of_every_parameter_scores_as_on_the_chart() -> None:
    for rate in range(80):
        assert news2.points(Observations(respiration=rate), 1) == {"respiration": _respiration(rate)}
    for percent in range(50, 101):
        assert news2.points(Observations(spo2=percent), 1) == {"spo2": _scale_1(percent)}
        for oxygen in (False, True):
            points = news2.points(Observations(spo2=percent, oxygen=oxygen), 2)
            assert points == {"spo2": _scale_2(percent, oxygen), "oxygen": 2 if oxygen else 0}
    for pressure in range(30, 300):
        assert news2.points(Observations(systolic=pressure), 1) == {"systolic": _systolic(pressure)}
    for rate in range(10, 250):
        assert news2.points(Observations(pulse=rate), 1) == {"pulse": _pulse(rate)}
    for tenths in range(280, 430):
        assert news2.points(Observations(temperature=tenths / 10), 1) == {"temperature": _temperature(tenths)}
    for state in "ACVPU":
        assert news2.points(Observations(consciousness=state), 1) == {"consciousness": 0 if state == "A" else 3}


_STATES = {
    "A": ("alert", "神志清楚"),
    "C": ("newly confused", "新发意识模糊"),
    "V": ("responds to voice", "对声音有反应"),
    "P": ("responds to pain", "对疼痛有反应"),
    "U": ("unresponsive", "无反应"),
}
_BOUNDS = {
    "respiration": (8, 9, 11, 12, 20, 21, 24, 25),
    "spo2": (83, 84, 85, 86, 87, 88, 91, 92, 93, 94, 95, 96, 97),
    "systolic": (90, 91, 100, 101, 110, 111, 219, 220),
    "pulse": (40, 41, 50, 51, 90, 91, 110, 111, 130, 131),
    "temperature": (350, 351, 360, 361, 380, 381, 390, 391),
}


def _texts(set_: dict[str, int], oxygen: bool, state: str, scale: int) -> tuple[str, str]:
    english, chinese = _STATES[state]
    degrees = set_["temperature"] / 10
    return (
        f"RR {set_['respiration']}, SpO2 {set_['spo2']}% on {'2 L oxygen' if oxygen else 'air'} (scale {scale}), "
        f"BP {set_['systolic']}/60, HR {set_['pulse']}, {english}, T {degrees}",
        f"呼吸{set_['respiration']}次/分，血氧饱和度{set_['spo2']}%"
        f"（{'鼻导管吸氧' if oxygen else '未吸氧'}，量表{scale}），"
        f"血压{set_['systolic']}/60mmHg，脉搏{set_['pulse']}次/分，{chinese}，体温{degrees}℃",
    )


@pytest.mark.slow
def test_texts_at_every_bound_score_as_on_the_chart() -> None:
    """One parameter at a time walks through its bounds, in both languages, on both scales, on air and on oxygen."""
    usual = {"respiration": 16, "spo2": 97, "systolic": 120, "pulse": 70, "temperature": 370}
    sets = [usual | {name: bound} for name, bounds in _BOUNDS.items() for bound in bounds]
    for set_, oxygen, scale in itertools.product(sets, (False, True), (1, 2)):
        state = "ACVPU"[sum(set_.values()) % 5]
        spo2 = _scale_1(set_["spo2"]) if scale == 1 else _scale_2(set_["spo2"], oxygen)
        points = [
            _respiration(set_["respiration"]),
            spo2,
            2 if oxygen else 0,
            _systolic(set_["systolic"]),
            _pulse(set_["pulse"]),
            0 if state == "A" else 3,
            _temperature(set_["temperature"]),
        ]
        for text in _texts(set_, oxygen, state, scale):
            score = news2.read([Text(text)], MAN)
            assert score is not None, text
            assert (score.score, score.highest) == (sum(points), 3 in points), text
            assert (score.as_flag() is not None) == (sum(points) >= 5 or 3 in points)


FULL = "RR 24, sats 93% on room air, BP 95/60, HR 118, alert, T 38.6"


def test_the_scale_is_the_texts_or_the_users() -> None:
    assert news2.read([Text(FULL)], MAN) == News2(None, (), "no_scale", evidence=_evidence(FULL))
    scores = [news2.read([Text(FULL)], MAN, scale) for scale in (1, 2)]
    assert [score and score.score for score in scores] == [9, 7]
    said = news2.read([Text(f"{FULL}, SpO2 scale 2")], MAN, 1)
    assert said is not None
    assert said.score == 7


def _evidence(text: str) -> tuple[str, ...]:
    score = news2.read([Text(text)], MAN, 1)
    assert score is not None
    return score.evidence


@pytest.mark.parametrize(
    ("drop", "key"),
    [
        ("RR 24, ", "respiration"), ("sats 93% ", "spo2"), (" on room air", "oxygen"), ("BP 95/60, ", "systolic"),
        ("HR 118, ", "pulse"), ("alert, ", "consciousness"), (", T 38.6", "temperature"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_given_is_missing(drop: str, key: str) -> None:
    score = news2.read([Text(FULL.replace(drop, ""))], MAN, 1)
    assert score is not None
    assert (score.score, score.missing, score.as_flag()) == (None, (key,), None)


def test_fewer_than_three_are_no_set() -> None:
    assert news2.read([Text("RR 24, HR 118")], MAN, 1) is None
    assert news2.read([Text("What is a normal BP?")], MAN, 1) is None
    assert news2.read([], MAN, 1) is None


@pytest.mark.parametrize(
    ("header", "prefix", "reason"),
    [
        (CaseHeader(age="15"), "", "under_16"),
        (CaseHeader(age="7 months"), "", "under_16"),
        (CaseHeader(), "12-year-old boy. ", "under_16"),
        (CaseHeader(), "患儿，男，7岁。", "under_16"),
        (CaseHeader(), "", "age_unknown"),
        (CaseHeader(age="30", sex="female", pregnancy="28 weeks"), "", "pregnant"),
        (CaseHeader(age="30", sex="female"), "32 weeks pregnant. ", "pregnant"),
        (CaseHeader(age="30", sex="female"), "孕32周。", "pregnant"),
        (CaseHeader(age="30", sex="female"), "", "pregnancy_unknown"),
        (CaseHeader(), "28F. ", "pregnancy_unknown"),
        (CaseHeader(age="30", sex="female"), "Not pregnant. ", ""),
        (CaseHeader(age="30", sex="female", pregnancy="no"), "", ""),
        (CaseHeader(age="30", sex="女"), "否认怀孕。", ""),
        (CaseHeader(age="30", sex="male"), "", ""),
        (CaseHeader(age="30"), "", ""),
        (CaseHeader(age="56", sex="female"), "", ""),
        (CaseHeader(age="16", sex="male"), "", ""),
        (CaseHeader(), "72M. ", ""),
    ],
)
def test_who_may_be_scored(header: CaseHeader, prefix: str, reason: str) -> None:
    score = news2.read([Text(prefix + FULL)], header, 1)
    assert score is not None
    assert score.reason == reason
    assert score.score == (None if reason else 9)
    assert (score.as_flag() is None) == bool(reason)


def test_observations_of_two_sets_are_not_mixed() -> None:
    first = "08:00 RR 30, sats 88% on air, BP 80/40, HR 140, alert, T 39.5"
    two = f"{first}\n12:00 RR 16, sats 97% on air, BP 120/70, HR 80, T 37.0"
    score = news2.read([Text(two)], MAN, 1)
    assert score is not None
    assert (score.score, score.missing) == (None, ("consciousness",))
    far = "RR 24, sats 93% on air. " + "Long history of nothing much. " * 20 + "BP 95/60, HR 118, alert, T 38.6"
    score = news2.read([Text(far)], MAN, 1)
    assert score is not None
    assert score.missing == ("respiration", "spo2", "oxygen")


def test_the_newest_text_with_a_set_is_scored() -> None:
    texts = [Text(FULL, "earlier"), Text("What now? HR 80")]
    score = news2.read(texts, MAN, 1)
    assert score is not None
    assert (score.score, score.new) == (9, False)
    flag = score.as_flag()
    assert flag is not None
    assert not flag.new
    better = "RR 16, sats 97% on air, BP 120/70, HR 80, alert, T 37.0"
    score = news2.read([Text(FULL, "earlier"), Text(better)], MAN, 1)
    assert score is not None
    assert (score.score, score.new, score.as_flag()) == (0, True, None)


def test_targets_and_other_times_are_no_observations() -> None:
    aims = "RR 16, target SpO2 88%, BP 120/70, HR 80, alert, T 37.0, on air"
    score = news2.read([Text(aims)], MAN, 1)
    assert score is not None
    assert score.missing == ("spo2",)


@pytest.mark.parametrize("state", ["drowsy", "GCS 14", "confused", "not alert"])
def test_words_that_fit_no_state_leave_consciousness_out(state: str) -> None:
    score = news2.read([Text(FULL.replace("alert", state))], MAN, 1)
    assert score is not None
    assert score.missing == ("consciousness",)


@pytest.mark.parametrize(
    ("words", "oxygen"),
    [
        ("on air", False), ("RA", False), ("on RA", False), ("FiO2 0.21", False), ("on 2L", True), ("on 2 L/min", True),
        ("on 15 L via non-rebreathe mask", True), ("on 28% venturi", True), ("via nasal cannulae", True),
        ("FiO2 0.4", True),
        ("未吸氧", False), ("鼻导管吸氧2L/min", True), ("吸空气", False),
    ],
)  # fmt: skip
def test_air_and_oxygen(words: str, oxygen: bool) -> None:
    seen = news2.observations(FULL.replace("on room air", words))
    assert seen is not None
    assert seen[0].oxygen is oxygen


def test_the_flag_names_score_and_observations() -> None:
    score = news2.read([Text(f"{FULL} (scale 1)")], MAN)
    assert score is not None
    flag = score.as_flag()
    assert flag is not None
    assert (flag.rule, flag.group, flag.evidence[0]) == ("NEWS2", "news2", "NEWS2 9")
    assert set(flag.evidence[1:]) >= {"RR 24", "BP 95/60", "alert"}
    assert "2017" in flag.source


def test_four_is_no_flag_unless_one_parameter_scores_three() -> None:
    assert News2(4).as_flag() is None
    assert News2(3, highest=True).as_flag() is not None
    assert News2(5).as_flag() is not None
