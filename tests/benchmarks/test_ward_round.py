"""The keystrokes of a ward round, with the real program in a real terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.ward_round import ALLOWED, keystrokes, model_in

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]


def test_few_keys_lead_to_a_case_an_answer_and_a_copy(tmp_path: Path) -> None:
    counts = keystrokes(tmp_path, model_in(tmp_path))
    assert counts.keys() == ALLOWED.keys()
    assert all(counts[name] <= most for name, most in ALLOWED.items()), counts
