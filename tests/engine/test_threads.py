"""A system that refuses another thread."""

import threading
from pathlib import Path

import pytest

from edgemed.engine.process.child import Child
from edgemed.engine.threads import start_thread
from edgemed.errors import SetupError


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # what CPython says when clone() fails

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_what_is_started_runs() -> None:
    ran = threading.Event()
    start_thread(ran.set, "test").join()
    assert ran.is_set()


@pytest.mark.usefixtures("exhausted")
def test_a_refusal_is_a_sentence() -> None:
    with pytest.raises(SetupError, match="refuses another thread"):
        start_thread(lambda: None, "test")


@pytest.mark.usefixtures("exhausted")
def test_an_engine_that_cannot_be_watched_leaves_nothing_open() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    with pytest.raises(SetupError, match="refuses another thread"):
        Child()
    assert descriptors() == before
