"""Stops: prompt, whenever they come, and of the answer that was meant."""

import threading
from pathlib import Path

from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Piece, Sampling
from testing.timing import Later, within
from tests.engine.test_session import HELLO, OTHER, finish


def test_stop_ends_an_answer_within_100_ms(engine: Engine) -> None:
    """Before anything came, and in the middle of the words."""
    for wait in (0.03, 0.15, 0.5):
        assert within(0.1, lambda wait=wait: stopping(engine, wait)), wait  # type: ignore[misc]


def stopping(engine: Engine, wait: float) -> float:
    """Seconds from a stop, `wait` seconds into an answer, to its `Finished`."""
    events, stop = engine.generate(OTHER, Sampling(max_tokens=100_000)), Later(wait, engine.stop)
    text = ""
    stop.start()
    for event in events:
        if isinstance(event, Piece):
            text += event.text
        if isinstance(event, Finished):
            took = stop.ago()
            last = event
    stop.join()
    assert last.stop_reason == "stopped"
    assert last.text == text
    assert finish(engine, HELLO).stop_reason == "length"
    return took


def test_stop_in_a_prefill_is_prompt_and_leaves_nothing_half_done(model_path: Path) -> None:
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        long = [Message("user", "fever " * 300)]
        expected = finish(engine, long, Sampling(max_tokens=8, seed=3)).text
        for delay in (0.05, 0.15, 0.25):
            timer = threading.Timer(delay, engine.stop)
            timer.start()
            stopped = finish(engine, long, Sampling(max_tokens=100_000, seed=4))
            timer.join()
            assert stopped.stop_reason == "stopped"
            assert finish(engine, long, Sampling(max_tokens=8, seed=3)).text == expected


class Overtaken(Engine):
    """Whoever stops it is held up between its look at what runs and its word to the engine."""

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        self.looked, self.go_on = threading.Event(), threading.Event()
        super().__init__(path, settings)

    @property
    def _running(self) -> int:
        found = self._request
        if threading.current_thread().name == "stopper":
            self.looked.set()
            self.go_on.wait()
        return found

    @_running.setter
    def _running(self, request: int) -> None:
        self._request = request


def test_a_stop_that_comes_too_late_leaves_the_next_answer_alone(model_path: Path) -> None:
    with Overtaken.start(model_path, EngineSettings(threads=1)) as engine:
        stopper = threading.Thread(target=engine.stop, name="stopper")
        meant = engine.generate(HELLO, Sampling(max_tokens=5))
        next(meant)
        stopper.start()
        engine.looked.wait()
        list(meant)
        following = engine.generate(HELLO, Sampling(max_tokens=300))
        next(following)
        engine.go_on.set()
        *_, last = following
        stopper.join()
        assert isinstance(last, Finished)
        assert last.stop_reason == "length"
