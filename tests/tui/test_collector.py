"""The garbage collector waits while the chat opens, and never longer."""

from __future__ import annotations

import gc
import weakref

from edgemed.tui import collector
from tests.tui.driving import chat, shows, wait_until


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_made_during_a_pause_is_freed_at_its_end() -> None:
    collector.pause()
    garbage = weakref.ref(Cycle())
    assert garbage() is not None
    collector.resume()
    assert garbage() is None
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0, "text that is on the screen now could never be freed"


def test_without_a_pause_nothing_is_changed() -> None:
    thresholds = gc.get_threshold()
    collector.resume()
    assert gc.get_threshold() == thresholds


async def test_the_pause_ends_once_the_chat_has_opened() -> None:
    collector.pause()
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        await wait_until(pilot, gc.isenabled)
