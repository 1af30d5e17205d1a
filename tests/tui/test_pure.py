"""The interface's pure logic: endings, stages, the status line, the strings."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from edgemed.chat.conversation import State, Turn
from edgemed.chat.service import ENDED
from edgemed.clinical import Language
from edgemed.engine import startup
from edgemed.engine.process.exit_reason import describe_exit
from edgemed.tui.endings import ending
from edgemed.tui.facts import model_facts, model_line
from edgemed.tui.reasons import reason_in
from edgemed.tui.room import TEMPLATE_TOKENS, estimated_tokens
from edgemed.tui.stages import Down, Idle, Loading, Reading, Stage, Stopping, Writing, described
from edgemed.tui.strings import CHINESE, ENGLISH, Strings, help_text
from edgemed.tui.widgets.status import Figures, status_line
from testing.fake_engine import info


@pytest.mark.parametrize(
    ("reason", "cut", "words"),
    [
        ("end", False, ""),
        ("stopped", True, "stopped by you"),
        ("length", True, "its length limit"),
        ("context", True, "too long for the model"),
    ],
)
def test_every_ending_but_the_models_own_is_marked(reason: str, cut: bool, words: str) -> None:
    turn = Turn("q", raw="Take 5", state=ENDED[reason])  # type: ignore[arg-type]
    line = ending(turn, ENGLISH, "en")
    assert line.startswith("CUT OFF: a dose or a list may be incomplete") is cut
    assert words in line


def test_a_stop_before_the_first_word_cuts_nothing() -> None:
    assert ending(Turn("q", state="stopped"), ENGLISH, "en") == "stopped by you"


def test_a_failure_says_why() -> None:
    assert " · It broke · " in ending(Turn("q", raw="a", state="failed", reason="It broke."), ENGLISH, "en")


@pytest.mark.parametrize(
    ("state", "offered"), [("stopped", True), ("length", True), ("context", False), ("whole", False)]
)
def test_a_cut_answer_can_be_resumed_unless_there_is_no_room(state: State, offered: bool) -> None:
    assert ending(Turn("q", raw="a", state=state), ENGLISH, "en").endswith("F6: resume") is offered


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (Idle(), ""),
        (Loading(), "Loading the model"),
        (Loading("weights", 0.345), "Loading the model: weights, 34 %"),
        (Loading("opening", 0.0), "Loading the model: opening the file, 0 %"),
        (Reading(0, 0, 0, 0.0), "Reading your text"),
        (Reading(10, 40, 10, 0.5), "Reading your text, 25 %"),
        (Reading(100, 400, 50, 5.0), "Reading your text, 25 %, about 30 s left"),
        (Reading(100, 1900, 100, 13.0), "Reading your text, 5 %, about 4 minutes left"),
        (Writing(12), "Answering. Esc stops and keeps the text"),
        (Stopping(), "Stopping"),
        (Down("It died."), "It died. Your conversation is safe. Ctrl+R restarts it."),
    ],
)
def test_stages_in_words(stage: Stage, text: str) -> None:
    assert described(stage, ENGLISH) == text


def test_every_stage_of_loading_is_in_the_interfaces_language() -> None:
    named = set(re.findall(r'progress\("(\w+)"', Path(startup.__file__).read_text(encoding="utf-8")))
    assert named == ENGLISH.loading_stages.keys() == CHINESE.loading_stages.keys()
    assert described(Loading("opening", 0.0), CHINESE) == "正在加载模型：打开文件，0 %"


FIGURES = st.builds(
    Figures,
    tokens_per_s=st.none() | st.floats(0, 1e4),
    resident_bytes=st.none() | st.integers(0, 1 << 42),
    budget_bytes=st.none() | st.integers(0, 1 << 42),
    hit_rate=st.none() | st.floats(0, 1),
    context_used=st.integers(0, 1 << 20),
    context_size=st.none() | st.integers(1, 1 << 20),
    draft_tokens=st.integers(0, 1 << 20),
    prompt_tokens_per_s=st.none() | st.floats(1e-3, 1e6),
)


@given(FIGURES, st.integers(20, 200), st.sampled_from([ENGLISH, CHINESE]), st.booleans())
def test_the_status_line_always_fits(figures: Figures, width: int, words: Strings, detailed: bool) -> None:
    line = status_line(figures, words, width, detailed=detailed)
    assert cell_len(line) == width
    assert line.endswith(words.help_hint)


KNOWN = Figures(
    tokens_per_s=12.34,
    resident_bytes=800 << 20,
    budget_bytes=4 << 30,
    hit_rate=0.871,
    context_used=800,
    context_size=4096,
    draft_tokens=80 - TEMPLATE_TOKENS,
    prompt_tokens_per_s=2.0,
)


def test_the_status_line_is_for_doctors() -> None:
    assert status_line(KNOWN, ENGLISH, 58) == "room left 79 % · first word in about 40 s          F1 help"
    assert status_line(KNOWN, CHINESE, 58) == "剩余空间 79 % · 约 40 秒后出第一个字               F1 帮助"


def test_the_engines_figures_are_shown_with_the_expert_map() -> None:
    assert status_line(KNOWN, ENGLISH, 118, detailed=True).startswith(
        "room left 79 % · first word in about 40 s · 12.3 tokens/s · memory 0.8/4.0 GiB · cache hits 87 %"
    )


def test_a_full_context_has_no_room() -> None:
    assert status_line(Figures(context_used=4097, context_size=4096), ENGLISH, 78).startswith("room left 0 %")


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcde", 2), ("胸痛", 2), ("胸痛 2 h", 3)])
def test_a_draft_is_measured_without_the_engine(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


def test_the_model_is_described_and_its_name_distrusted() -> None:
    text = model_facts(dataclasses.replace(info(), model_name="evil\x1b[2J", verified=False), ENGLISH)
    assert text.startswith("evil⟨U+001B⟩[2J: 5 MoE layers of 16 experts, 4.50 bits per weight, 13 MiB, UNVERIFIED")


def test_a_clinician_sees_no_bits_and_no_experts() -> None:
    assert model_line(info(), ENGLISH) == "Model: mini, 13 MiB, checked as it is read."


def test_both_languages_have_the_same_holes_and_commands() -> None:
    import string

    for field in dataclasses.fields(Strings):
        ours, theirs = getattr(ENGLISH, field.name), getattr(CHINESE, field.name)
        if isinstance(ours, dict):
            assert ours.keys() == theirs.keys()
            continue
        for our, their in (
            zip((ours,), (theirs,), strict=True) if isinstance(ours, str) else zip(ours, theirs, strict=True)
        ):
            holes = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (our, their)]
            assert holes[0] == holes[1], field.name
            assert their.strip(), field.name


@pytest.mark.parametrize("language", get_args(Language))
def test_the_help_names_every_key(language: Language) -> None:
    text = help_text(language, "")
    for key in ("Enter", "Ctrl+J", "Esc", "F2", "Ctrl+N", "Ctrl+R", "Ctrl+P", "Ctrl+Q"):
        assert f"**{key}" in text


@pytest.mark.parametrize("number", [9, 11, 7, 4, 6, 15, 99])
@pytest.mark.parametrize("out_of_memory", [True, False])
def test_why_the_model_stopped_is_said_in_chinese(number: int, out_of_memory: bool) -> None:
    sentence = describe_exit(-number, ["CUDA error: x"], out_of_memory=out_of_memory)
    translated = reason_in("zh-CN", sentence)
    assert translated.startswith("模型已停止")
    assert translated.endswith('last words: "CUDA error: x"）。')
    assert "because" not in translated
    names = re.compile(r"llama\.cpp|`edgemed verify`|edgemed|--ram")
    assert not re.search("[a-z]", names.sub("", translated.partition("（")[0]))
    assert reason_in("en", sentence) == sentence
    assert reason_in("zh-CN", "The disk is full.") == "The disk is full."


@pytest.mark.parametrize(
    "reason", ["database or disk is full", "attempt to write a readonly database", "disk I/O error"]
)
def test_what_a_failing_vault_says_has_a_chinese_form(reason: str) -> None:
    from edgemed.vault.database import _operational

    sentence = str(_operational(Path("/tmp/v/vault.db"), reason))
    told = reason_in("zh-CN", sentence)
    assert told != sentence
    assert told.startswith("/tmp/v/vault.db")
    assert not re.search("[a-z]", told.removeprefix("/tmp/v/vault.db"))
    assert reason_in("en", sentence) == sentence
