"""Snapshots of the chat, accepted by eye.

After an intended change, run `pytest tests/tui/test_snapshots.py --snapshot-update` and look at every changed file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from edgemed.clinical import chart_copy
from edgemed.errors import EngineDied
from edgemed.tui.themes import CONTRAST, LIGHT
from edgemed.tui.widgets.turn import AnswerView
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
    await shows(pilot, "35 mg", "numbers not from your text")
    await wait_until(pilot, lambda: not pilot.app.screen.answering)  # type: ignore[attr-defined]


REASONED = """<think>500 mg? No, an allergy.</think>Start **bisoprolol** 1.25 mg once daily if heart rate ≥ 60 bpm and \
systolic BP ≥ 100 mmHg; not if eGFR < 30 mL/min/1.73 m².

- Aspirin 300 mg
- Enoxaparin 1 mg/kg every 12 h

| Hour | Rate |
|---|---|
| 0 - 1 | 1 000 mL/h |
| 1 - 3 | 500 mL/h |
"""


async def chosen(pilot: Pilot[None]) -> None:
    await write(pilot, "What for heart failure?", "enter")
    await shows(pilot, "500 mL/h", "first word", "numbers not from your text")
    pilot.app.screen.query_one(AnswerView).focus()
    await pilot.pause()


async def copied_twice(pilot: Pilot[None]) -> None:
    await answered(pilot)
    await pilot.press("f2")
    await shows(pilot, "Copied.")
    await pilot.press("f2")
    await shows(pilot, "Select the text with the mouse")


async def stopped(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Take 5")
    await write(pilot, "And how often?", "enter")
    await shows(pilot, "Next: And how often?")
    await pilot.press("escape")
    await shows(pilot, "CUT OFF", "numbers not from your text")


async def waiting(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Take 5", "Esc stops")
    await write(pilot, "And how often?", "enter")
    await shows(pilot, "Next: And how often?")
    await write(pilot, "a third\nin two lines")


async def died(pilot: Pilot[None]) -> None:
    await write(pilot, "How much?", "enter")
    await shows(pilot, "Ctrl+R restarts it", "numbers not from your text")


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
    "real-model": ([ANSWER], answered, (100, 40), {"use": "unevaluated"}),
    "chosen": ([REASONED], chosen, (80, 24), {}),
    "chosen-light": ([REASONED], chosen, (80, 24), {"theme": LIGHT.name}),
    "chosen-contrast": ([REASONED], chosen, (80, 24), {"theme": CONTRAST.name}),
    "chosen-wide": ([REASONED], chosen, (120, 30), {}),
    "chosen-wide-light": ([REASONED], chosen, (120, 30), {"theme": LIGHT.name}),
    "chosen-wide-contrast": ([REASONED], chosen, (120, 30), {"theme": CONTRAST.name}),
    "selectable": ([ANSWER], copied_twice, (80, 40), {}),
}


@pytest.fixture(autouse=True)
def _morning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.widgets.Input.cursor_blink", False)
    monkeypatch.setattr("edgemed.tui.heads.clock", lambda moment: "11:07")
    monkeypatch.setattr(
        "edgemed.tui.screens.copying.chart_copy", lambda text, **facts: chart_copy(text, **(facts | {"written": None}))
    )


@pytest.mark.parametrize("name", CASES)
def test_the_chat_looks_as_accepted(name: str, snap_compare: Compare) -> None:
    script, before, size, options = CASES[name]
    theme = options.get("theme")
    app = chat(script, **{key: value for key, value in options.items() if key != "theme"})
    if theme:
        app.theme = theme
    assert snap_compare(app, terminal_size=size, run_before=before)
