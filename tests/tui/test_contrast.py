"""On every screen and in every theme, text has a contrast of at least 4.5:1 (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import pytest
from rich.color import Color, ColorType
from rich.segment import Segment
from textual.pilot import Pilot

from edgemed.errors import EngineDied
from edgemed.tui.themes import THEMES
from testing.fake_engine import Hold
from tests.tui.driving import chat, screen_lines, shows, write

MINIMUM = 4.5
EVERYTHING = """# One
## Two
### Three
Text *slanted*, **strong**, `code`.

- item
  1. inner

> quoted

| head | dose |
|---|---|
| a | 5 mg |

```dose
5 mg
```

---
"""
DRAWN = frozenset(" ▌▐▀▁▂▃▄▅▆▇█▎▊▔─│┌┐└┘╭╮╰╯━┃")
"""Characters of lines, bars and scrollbars, which are not text."""


def luminance(colour: Color) -> float:
    assert colour.type is ColorType.TRUECOLOR, colour
    channels = [value / 255 for value in colour.get_truecolor()]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(segment: Segment) -> float:
    style = segment.style
    assert style is not None
    assert style.color is not None, segment
    assert style.bgcolor is not None, segment
    assert not style.dim, segment
    return ratio(style.color, style.bgcolor)


def ratio(one: Color, other: Color) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ground(pilot: Pilot[None], text: str) -> Color:
    """The background of a text on the screen."""
    found = [segment for line in screen_lines(pilot) for segment in line if text in segment.text]
    assert found[0].style is not None
    assert found[0].style.bgcolor is not None
    return found[0].style.bgcolor


def check(pilot: Pilot[None]) -> None:
    texts = [segment for line in screen_lines(pilot) for segment in line if set(segment.text) - DRAWN]
    assert texts
    assert [segment for segment in texts if contrast(segment) < MINIMUM] == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_text_is_legible_everywhere(theme: str) -> None:
    app = chat([EVERYTHING], ["Half", Hold()], [EngineDied("The engine ended.")])
    async with app.run_test(size=(80, 180), notifications=True) as pilot:
        app.theme = theme
        await shows(pilot, "mini")
        check(pilot)
        await pilot.press("f3")
        await shows(pilot, "used: missed")
        check(pilot)
        await pilot.press("f3", "ctrl+t")
        await shows(pilot, "e.g. penicillin")
        check(pilot)
        await pilot.press("escape", "slash")
        await shows(pilot, "/samecase")
        check(pilot)
        await pilot.press("backspace")
        await write(pilot, "Everything?", "enter")
        await shows(pilot, "5 mg", "room left")
        await write(pilot, "And?", "enter")
        await shows(pilot, "Half", "Esc stops")
        await write(pilot, "waiting", "enter")
        await shows(pilot, "Next: waiting")
        check(pilot)
        await pilot.press("escape")
        await shows(pilot, "CUT OFF")
        await pilot.press("shift+tab")
        check(pilot)
        await pilot.press("f2")
        await shows(pilot, "Copy it anyway?")
        check(pilot)
        await pilot.press("escape", "f1")
        await shows(pilot, "Privacy")
        check(pilot)
        await pilot.press("escape", "ctrl+p")
        await shows(pilot, "Find a command", "New chat")
        check(pilot)
        assert ratio(ground(pilot, "New chat"), ground(pilot, "Case header")) > 1.2, "the cursor is visible"
        await pilot.press("n", "e")
        await pilot.pause(0.3)
        check(pilot)
        await pilot.press("escape", "escape")
        app.notify("A notification", markup=False)
        await shows(pilot, "A notification")
        app.screen.query_one("Composer").focus()
        await pilot.press("enter")
        await shows(pilot, "Ctrl+R restarts it")
        check(pilot)


def test_only_our_themes_are_shipped() -> None:
    assert set(chat().available_themes) == {theme.name for theme in THEMES}
