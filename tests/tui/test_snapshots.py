"""Snapshots of the chat, accepted by eye.

After an intended change, run `pytest tests/tui/test_snapshots.py --snapshot-update` and look at every changed file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from edgemed.errors import EngineDied
from testing.fake_engine import Hold, Step
from tests.tui.driving import chat, shows, wait_until, write

pytestmark = pytest.mark.slow

Compare = Callable[..., bool]
Before = Callable[[Pilot[None]], Awaitable[None]]

ANSWER = """Community-acquired pneumonia is treated **empirically** at first.

## Options
1. Amoxicillin 1 g three times a day
2. Doxycycline 100 mg twice a day
   - check the *QT interval*

| Drug | Dose | Days |
|---|---|---|
| Amoxicillin | 1 g | 5 |
| 多西环素 | 100 mg | 5 |

Weight
> 50 kg: 500 mg

```
0.5 * 70 kg = 35 mg
```
"""


async def answered(pilot: Pilot[None]) -> None:
    await write(pilot, "What treats pneumonia?", "enter")
    await shows(pilot, "35 mg")
    await wait_until(pilot, lambda: not pilot.app.screen.answering)  # type: ignore[attr-defined]


async def stopped(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Take 5")
    await write(pilot, "And how often?", "enter")
    await shows(pilot, "Next: And how often?")
    await pilot.press("escape")
    await shows(pilot, "CUT OFF")


async def waiting(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Take 5", "Esc stops")
    await write(pilot, "And how often?", "enter")
    await shows(pilot, "Next: And how often?")
    await write(pilot, "a third\nin two lines")


async def died(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Ctrl+R restarts it")


async def helped(pilot: Pilot[None]) -> None:
    await shows(pilot, "mini")
    await pilot.press("f1")
    await shows(pilot, "Esc closes this page")


async def asked_to_copy(pilot: Pilot[None]) -> None:
    await stopped(pilot)
    await pilot.press("f2")
    await shows(pilot, "Copy it anyway?")


async def palette(pilot: Pilot[None]) -> None:
    await shows(pilot, "mini")
    await pilot.press("ctrl+p")
    await shows(pilot, "Find a command", "New chat")


async def empty(pilot: Pilot[None]) -> None:
    await shows(pilot, "mini")


async def chinese(pilot: Pilot[None]) -> None:
    await write(pilot, "胸痛三天，" * 12, "enter")
    await shows(pilot, "内容纯属编造", "多喝水")


DEATH = EngineDied("The model stopped because this computer ran out of memory (SIGKILL).")
CASES: dict[str, tuple[list[Step], Before, tuple[int, int], dict[str, Any]]] = {
    "empty": ([], empty, (80, 24), {}),
    "answer": ([ANSWER], answered, (80, 40), {}),
    "answer-narrow": ([ANSWER], answered, (60, 20), {}),
    "waiting": (["Take 5", Hold()], waiting, (80, 24), {}),
    "stopped": (["Take 5", Hold()], stopped, (80, 24), {}),
    "died": (["Take 5", DEATH], died, (80, 24), {}),
    "help": ([], helped, (80, 24), {}),
    "help-narrow": ([], helped, (60, 20), {}),
    "copy": (["Take 5", Hold()], asked_to_copy, (60, 20), {}),
    "palette": ([], palette, (80, 24), {}),
    "chinese": (["休息，多喝水。"], chinese, (80, 24), {"language": "zh-CN"}),
    "real-model": ([ANSWER], answered, (100, 30), {"use": "unevaluated"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_chat_looks_as_accepted(name: str, snap_compare: Compare) -> None:
    script, before, size, options = CASES[name]
    assert snap_compare(chat(script, **options), terminal_size=size, run_before=before)
