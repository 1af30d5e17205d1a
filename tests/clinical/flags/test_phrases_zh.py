"""The Chinese phrase rules on texts of our own: emergencies of every condition, and texts that no rule may flag."""

import time
import unicodedata

import pytest

from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import phrases, rules, values
from edgemed.clinical.flags.flag import Text
from edgemed.clinical.flags.rule_file import RuleFile, read_rules
from testing.timing import MOST_SECONDS
from tests.clinical.flags import mended_texts_zh, more_texts_zh
from tests.clinical.flags.texts_zh import EMERGENCIES, QUIET

_HALF = str.maketrans("，；：！？（）", ",;:!?()")
_FULL = str.maketrans(",;:!?()", "，；：！？（）")


@pytest.fixture(scope="module")
def rule_file() -> RuleFile:
    name = "phrases.zh-CN.toml"
    return read_rules(name, dict(rules.files())[name])


def conditions(text: str, rule_file: RuleFile) -> set[str]:
    of = {rule.id: rule.condition for rule in rule_file.rules}
    return {of[flag.rule] for flag in phrases.found([Text(text)]) if flag.rule in of}


def test_the_file_says_that_nobody_has_reviewed_it() -> None:
    text = dict(rules.files())["phrases.zh-CN.toml"]
    assert text.startswith("# NOT CLINICALLY REVIEWED. 未经临床审核。")


def test_every_condition_has_a_rule_and_texts(rule_file: RuleFile) -> None:
    assert len(EMERGENCIES) == 40
    assert {rule.condition for rule in rule_file.rules} == set(EMERGENCIES)


@pytest.mark.parametrize("condition", EMERGENCIES)
def test_emergencies_are_flagged_with_either_punctuation(condition: str, rule_file: RuleFile) -> None:
    missed = [
        form
        for text in EMERGENCIES[condition]
        for form in dict.fromkeys((text, text.translate(_HALF), text.translate(_FULL)))
        if condition not in conditions(form, rule_file)
    ]
    assert not missed


@pytest.mark.parametrize("kind", QUIET)
def test_what_is_no_emergency_of_this_patient_is_not_flagged(kind: str, rule_file: RuleFile) -> None:
    flagged = {
        form: found
        for text in QUIET[kind]
        for form in dict.fromkeys((text, text.translate(_HALF), text.translate(_FULL)))
        if (found := conditions(form, rule_file))
    }
    assert not flagged


def test_full_width_letters_and_digits_are_read(rule_file: RuleFile) -> None:
    text = "ＳＴＥＭＩ，ＥＣＧ示ＳＴ段抬高，胸痛２小时"
    assert unicodedata.normalize("NFKC", text) != text
    assert "acs" in conditions(text, rule_file)


def test_an_emergency_in_the_middle_of_a_long_text_is_found(rule_file: RuleFile) -> None:
    filler = "门诊随访，血压平稳，睡眠饮食可，继续原治疗。" * 60
    assert "acs" in conditions(filler + "今晨突发胸骨后压榨样疼痛2小时，大汗淋漓。" + filler, rule_file)


@pytest.mark.parametrize(
    "text", ["不能排除肺栓塞，气促明显", "胸痛3小时，大汗，含药后无缓解", "突发胸痛大汗，没有好转"]
)
def test_words_that_only_look_like_negations_silence_nothing(text: str, rule_file: RuleFile) -> None:
    assert conditions(text, rule_file)


def test_a_relative_who_writes_for_the_patient_is_heard(rule_file: RuleFile) -> None:
    assert conditions("我爸突然胸痛大汗", rule_file) == {"acs"}
    assert conditions("父亲死于心梗，我想体检", rule_file) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "胸痛大汗，",
        "胸",
        "无胸痛、",
        "突发突然今",
        "血压80/",
        "孕妇出血",
        "如果否认既往",
        "头头头痛痛痛",
        "患者父亲有心梗，",
        "…" * 5,
        "1234岁",
        " 胸 痛",
    ],
)
def test_hostile_text_takes_under_a_second(unit: str) -> None:
    text = (unit * (500_000 // len(unit.encode()) + 1)).encode()[:500_000].decode(errors="ignore")
    phrases.found([Text("胸痛")])
    start = time.process_time()
    phrases.found([Text(text)])
    assert time.process_time() - start < MOST_SECONDS


def test_a_usual_turn_takes_milliseconds() -> None:
    text = "患者今晨突发胸闷，血压120/80，心率78次/分，查体未见异常，门诊随访，继续用药。" * 100
    phrases.found([Text(text)])
    start = time.process_time()
    phrases.found([Text(text)])
    assert time.process_time() - start < MOST_SECONDS / 10


@pytest.mark.slow
def test_more_emergencies_are_flagged(rule_file: RuleFile) -> None:
    texts = more_texts_zh.EMERGENCIES.items()
    missed = [text for condition, each in texts for text in each if condition not in conditions(text, rule_file)]
    assert not missed


@pytest.mark.slow
def test_more_quiet_texts_are_not_flagged(rule_file: RuleFile) -> None:
    texts = [text for each in more_texts_zh.QUIET.values() for text in each]
    assert not [text for text in texts if conditions(text, rule_file)]


@pytest.mark.slow
def test_texts_written_while_the_rules_were_mended(rule_file: RuleFile) -> None:
    missed = [text for condition, text in mended_texts_zh.EMERGENCIES if condition not in conditions(text, rule_file)]
    assert not [text for text in missed if not values.found([Text(text)], CaseHeader())]
    assert not [text for _, text in mended_texts_zh.QUIET if conditions(text, rule_file)]


@pytest.mark.parametrize(
    "text", ["我爸胸痛大汗，我没办法了，怎么办", "马凡患者突发胸背痛", "昨天血钾5.1，今天血钾7.4，T波高尖"]
)
def test_silences_of_others_and_of_the_past_leave_the_patient_of_now_heard(text: str, rule_file: RuleFile) -> None:
    assert conditions(text, rule_file)


def test_words_that_overlap_are_one_piece_of_evidence() -> None:
    (flag,) = (flag for flag in phrases.found([Text("血钾6.9")]) if flag.rule == "HYPERK-1")
    assert flag.evidence == ("钾6.9",)
