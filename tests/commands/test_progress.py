"""The progress line of a long command."""

from io import StringIO

import pytest

from edgemed.commands import _progress
from edgemed.commands._progress import ProgressLine


def test_time_left_follows_the_recent_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now)
    stream = StringIO()
    line = ProgressLine(stream, amount=str)
    line.update("converting", 0, 2000)
    done = 0
    for step in range(20):
        now += 40.0
        done += 1000 if step == 0 else 4  # the first step is fast
        line.update("converting", done, 2000)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("converting, 1076 of 2000, 0/s, ")
    assert last.endswith("2 h 34 min left")  # 924 items at 4 per 40 s


def test_resumed_work_does_not_count_towards_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now)
    stream = StringIO()
    line = ProgressLine(stream, amount=str)
    line.update("converting", 900, 1000, before=900)
    now = 50.0
    line.update("converting", 950, 1000, before=900)
    assert stream.getvalue() == "converting, 950 of 1000, 1/s, 50 s left\n"
