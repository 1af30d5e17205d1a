"""The wording of the notices, and that they fit 60 columns."""

from __future__ import annotations

from typing import get_args

import pytest
from rich.cells import cell_len

from edgemed.clinical import Language, Place, chart_copy, cut_off, header_line, language_of, notice

LANGUAGES: tuple[Language, ...] = get_args(Language)
DIGEST = "ab12cd34" + "5" * 56


def test_header_line_has_the_agreed_wording() -> None:
    assert header_line(DIGEST) == "OFFLINE | AI TEXT, NOT VALIDATED | CHECK | ab12cd34"


def test_file_without_checksums_is_shown_as_unverified() -> None:
    assert header_line(None).endswith("| UNVERIFIED")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", get_args(Place))
def test_every_header_and_notice_fits_a_narrow_terminal(language: Language, place: Place) -> None:
    for digest in (None, DIGEST):
        assert cell_len(header_line(digest, place=place, language=language)) <= 58
    assert cell_len(notice("demonstration", language) or "") <= 58


def test_ssh_session_is_not_called_offline() -> None:
    assert header_line(DIGEST, place="remote").startswith("REMOTE |")
    assert header_line(DIGEST, place="unsealed").startswith("NOT SEALED |")


def test_only_a_demonstration_has_a_notice() -> None:
    assert notice("demonstration") == "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
    assert notice("unevaluated") is None
    assert notice("evaluated") is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_copy_begins_with_notices_and_ends_with_the_reason_it_was_cut(language: Language) -> None:
    copy = chart_copy("Take 5", intended_use="demonstration", incomplete=True, language=language).splitlines()
    assert copy[0] == notice("demonstration", language)
    assert "AI" in copy[1]
    assert "__" in copy[1]
    assert copy[-2:] == ["Take 5", cut_off(language)]


def test_copy_without_a_notice_begins_with_the_draft_line() -> None:
    copy = chart_copy("Rest.", intended_use="unevaluated", incomplete=False)
    assert copy == "AI-generated draft, not verified. Reviewed by: ______\n\nRest.\n"


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
