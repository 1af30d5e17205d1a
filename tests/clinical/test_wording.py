"""The wording of the notices, and that they fit 80 and 60 columns."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import get_args

import pytest
from rich.cells import cell_len

from edgemed.clinical import Language, Place, chart_copy, cut_off, header_lines, language_of, notice

LANGUAGES: tuple[Language, ...] = get_args(Language)
DIGEST = "ab12cd34" + "5" * 56


def test_header_line_has_the_agreed_wording() -> None:
    assert header_lines(DIGEST)[0] == "OFFLINE | AI TEXT, NOT VALIDATED | CHECK BEFORE USE | ab12cd34"
    assert header_lines(DIGEST, place="remote")[0].startswith("REMOTE: THIS SCREEN IS SENT OVER SSH | AI TEXT")
    assert header_lines(DIGEST, language="zh-CN")[0] == "离线 | AI生成内容，未经临床验证 | 使用前请核对 | ab12cd34"


def test_file_without_checksums_is_shown_as_unverified() -> None:
    assert header_lines(None)[0].endswith("| UNVERIFIED")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", get_args(Place))
def test_every_header_and_notice_fits_a_narrow_terminal(language: Language, place: Place) -> None:
    for digest in (None, DIGEST):
        _, usual, narrow = header_lines(digest, place=place, language=language)
        assert cell_len(usual) <= 78
        assert cell_len(narrow) <= 58
    assert cell_len(notice("demonstration", language) or "") <= 58


def test_ssh_session_is_not_called_offline() -> None:
    assert all(line.startswith("REMOTE") for line in header_lines(DIGEST, place="remote"))
    assert all(line.startswith("NOT SEALED |") for line in header_lines(DIGEST, place="unsealed"))


def test_only_a_demonstration_has_a_notice() -> None:
    assert notice("demonstration") == "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
    assert notice("unevaluated") is None
    assert notice("evaluated") is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_copy_begins_with_notices_and_ends_with_the_reason_it_was_cut(language: Language) -> None:
    copy = chart_copy(
        "Take 5", intended_use="demonstration", incomplete=True, weights_digest=DIGEST, language=language
    ).splitlines()
    assert copy[0] == notice("demonstration", language)
    assert "AI" in copy[1]
    assert "__" in copy[1]
    assert copy[-2:] == ["Take 5", cut_off(language)]


def test_copy_begins_with_the_model_and_the_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    written = datetime(2026, 11, 29, 3, 7, tzinfo=UTC)
    try:
        copy = chart_copy("Rest.", intended_use="evaluated", incomplete=False, weights_digest=DIGEST, written=written)
    finally:
        monkeypatch.undo()
        time.tzset()
    first = "AI-generated draft (model ab12cd34, 2026-11-29 11:07), not verified. Reviewed by: ______"
    assert copy == f"{first}\n\nRest.\n"


@pytest.mark.parametrize(
    ("language", "first"),
    [
        ("en", r"AI-generated draft \(model ab12cd34\)\. Reviewed by: Dr Jones, 2026-11-\d\d \d\d:\d\d"),
        ("zh-CN", r"AI生成草稿（模型 ab12cd34）。审核医师：Dr Jones 日期：2026-11-\d\d \d\d:\d\d"),
    ],
)
def test_a_reviewed_copy_names_the_reviewer_and_is_still_called_ai_generated(language: Language, first: str) -> None:
    review = "Dr Jones", datetime(2026, 11, 29, 12, 7, tzinfo=UTC)
    copy = chart_copy(
        "Rest.", intended_use="evaluated", incomplete=False, weights_digest=DIGEST, language=language, review=review
    )
    assert re.fullmatch(first, copy.splitlines()[0])


def test_a_copy_of_no_single_answer_names_only_the_model() -> None:
    copy = chart_copy("Rest.", intended_use="evaluated", incomplete=False, weights_digest=None, language="zh-CN")
    assert copy == "AI生成草稿（模型 无校验），未经核实。审核医师：____ 日期：____\n\nRest.\n"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh-CN"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh-CN"),
    ],
)
def test_language_follows_the_locale(environment: dict[str, str], language: Language) -> None:
    assert language_of(environment) == language
