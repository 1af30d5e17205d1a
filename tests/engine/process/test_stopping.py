"""A stop is prompt, may come at any time, and stops the answer that it names."""

import threading
import time
from pathlib import Path

import pytest

from edgemed.chat.conversation import new_id
from edgemed.engine.process.child import Child
from edgemed.engine.process.client import Engine
from edgemed.engine.process.messages import Generate, Ready, Start, Stop
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Piece, Sampling
from testing.timing import Later, within
from tests.engine.test_session import HELLO, OTHER, finish

ENDLESS = Sampling(max_tokens=100_000)


@pytest.mark.slow
def test_stop_ends_an_answer_within_100_ms(engine: Engine) -> None:
    """Before the first event, and in the middle of the text."""
    for wait in (0.03, 0.15, 0.5):
        assert within(0.1, lambda wait=wait: stopping(engine, wait)), wait  # type: ignore[misc]


def stopping(engine: Engine, wait: float) -> float:
    """Stop an answer after `wait` seconds; return the seconds from the stop to its `Finished`."""
    request = new_id()
    events, stop = engine.generate(OTHER, ENDLESS, request), Later(wait, lambda: engine.stop(request))
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


@pytest.mark.slow
def test_stop_in_a_prefill_is_prompt_and_leaves_nothing_half_done(model_path: Path) -> None:
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        long = [Message("user", "fever " * 300)]
        expected = finish(engine, long, Sampling(max_tokens=8, seed=3)).text
        for delay in (0.05, 0.15, 0.25):
            request = new_id()
            timer = threading.Timer(delay, engine.stop, (request,))
            timer.start()
            *_, stopped = engine.generate(long, Sampling(max_tokens=100_000, seed=4), request)
            timer.join()
            assert isinstance(stopped, Finished)
            assert stopped.stop_reason == "stopped"
            assert finish(engine, long, Sampling(max_tokens=8, seed=3)).text == expected


def test_a_stop_that_comes_before_its_question_is_kept_for_it(engine: Engine) -> None:
    engine.stop("early")
    started = time.monotonic()
    assert [event.stop_reason for event in engine.generate(HELLO, ENDLESS, "early") if isinstance(event, Finished)] == [
        "stopped"
    ]
    assert time.monotonic() - started < 0.1
    *_, last = engine.generate(HELLO, Sampling(max_tokens=5), "next")
    assert isinstance(last, Finished)
    assert last.stop_reason == "length"


@pytest.mark.slow
def test_a_stop_that_comes_too_late_leaves_the_next_answer_alone(engine: Engine) -> None:
    list(engine.generate(HELLO, Sampling(max_tokens=5), "meant"))
    following = engine.generate(HELLO, Sampling(max_tokens=300), "following")
    next(following)
    engine.stop("meant")
    *_, last = following
    assert isinstance(last, Finished)
    assert last.stop_reason == "length"


@pytest.mark.slow
def test_a_stop_in_the_worker_ends_only_the_request_it_names(model_path: Path) -> None:
    """Sends messages without the client: one request is running, one is queued, one is over."""
    child = Child()
    try:
        child.send(Start(str(model_path), EngineSettings(threads=1)))
        while not isinstance(child.events.get(timeout=60)[1], Ready):
            pass
        child.send(Generate(tuple(HELLO), Sampling(max_tokens=3), True), "over")
        for request in ("running", "waiting", "last"):
            child.send(Generate(tuple(HELLO), Sampling(max_tokens=200), True), request)
        reasons = {}
        while len(reasons) < 4:
            request, event = child.events.get(timeout=60)
            if isinstance(event, Finished):
                reasons[request] = event.stop_reason
                if request == "over":
                    for stopped in ("over", "waiting", "never asked"):
                        child.send(Stop(), stopped)
        assert reasons == {"over": "length", "running": "length", "waiting": "stopped", "last": "length"}
    finally:
        child.close()
