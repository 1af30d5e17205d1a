"""Reports of a prompt's progress."""

import time

from edgemed.engine.periodic import periodically
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import Message, PromptProgress, Sampling


def test_it_ticks_while_the_block_runs_and_never_after() -> None:
    ticks: list[float] = []
    with periodically(lambda: ticks.append(time.monotonic()), 0.01):
        time.sleep(0.2)
    ended = time.monotonic()
    count = len(ticks)
    time.sleep(0.05)
    assert 2 <= count == len(ticks)
    assert ticks[-1] <= ended
    with periodically(lambda: ticks.append(0.0), 5):
        pass
    assert len(ticks) == count


def test_a_prompts_progress_only_grows_and_ends_at_its_end(engine: Engine) -> None:
    events = list(engine.generate([Message("user", "fever " * 60)], Sampling(max_tokens=2, seed=1)))
    told = [event for event in events if isinstance(event, PromptProgress)]
    done = [event.done for event in told]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == told[-1].total
