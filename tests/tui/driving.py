"""Helpers that drive the chat in tests: an app on a scripted engine, waiting, and reading the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from rich.segment import Segment
from textual.pilot import Pilot

from edgemed.chat.engine import StartEngine
from edgemed.chat.lengths import Length
from edgemed.chat.service import Hook
from edgemed.clinical import Language, Place
from edgemed.tui.app import ChatApp
from edgemed.tui.keys import PasteParser
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.composer import Composer
from testing.fake_engine import DIGEST, FakeEngine, Step, starting

WAIT_SECONDS = 60.0

DRAFT = r"AI-generated draft \(model ab12cd34, \d{4}-\d\d-\d\d \d\d:\d\d\), not verified. Reviewed by: ______"
"""A pattern for the first line of a copied answer."""


def session(
    engine: FakeEngine,
    *,
    start: StartEngine | None = None,
    hooks: Sequence[Hook] = (),
    language: Language = "en",
    place: Place = "offline",
    use: str = "demonstration",
    length: Length = "standard",
) -> ChatSession:
    """A session on a scripted engine. `start` replaces the function that returns the engine at once.

    The standard length adds nothing to the question."""
    return ChatSession(
        start_engine=start or starting(engine),
        model_name="mini",
        weights_digest=DIGEST,
        intended_use=use,
        language=language,
        place=place,
        hooks=hooks,
        length=length,
    )


def chat(*scripts: Sequence[Step], language: Language = "en", use: str = "demonstration") -> ChatApp:
    """The app, with an engine that answers with `scripts`."""
    return ChatApp(session(FakeEngine(*scripts), language=language, use=use))


async def wait_until(pilot: Pilot[None], predicate: Callable[[], bool]) -> None:
    """Let the app run until `predicate` is true."""
    limit = time.monotonic() + WAIT_SECONDS
    while not predicate():
        assert time.monotonic() < limit, f"waited in vain; the screen was:\n{screen_text(pilot)}"
        await asyncio.sleep(0.01)
    await pilot.pause()


async def shows(pilot: Pilot[None], *texts: str) -> None:
    """Wait until all of `texts` are on the screen."""
    await wait_until(pilot, lambda: all(text in screen_text(pilot) for text in texts))


async def shows_not(pilot: Pilot[None], text: str) -> None:
    """Wait until `text` is not on the screen."""
    await wait_until(pilot, lambda: text not in screen_text(pilot))


async def write(pilot: Pilot[None], text: str, *keys: str) -> None:
    """Wait for the composer's focus, insert `text` and press `keys`."""
    await wait_until(pilot, lambda: isinstance(pilot.app.focused, Composer))
    pilot.app.screen.query_one(Composer).insert(text)
    await pilot.press(*keys)


def send(pilot: Pilot[None], data: str) -> None:
    """Send `data` as one read from the terminal, so that no key waits for the effect of the previous one."""
    for event in PasteParser().feed(data):
        pilot.app.post_message(event)


def screen_lines(pilot: Pilot[None]) -> list[list[Segment]]:
    """The segments of the top screen, line by line."""
    return [list(strip) for strip in pilot.app.screen._compositor.render_strips()]


def screen_text(pilot: Pilot[None]) -> str:
    """The text of the top screen, as a reader sees it."""
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in screen_lines(pilot))
