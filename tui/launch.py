"""Opens the full-screen programs: cleans the environment first, imports Textual afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from edgemed.chat.engine import ChatEngine
from edgemed.desktop.client import Desktop
from edgemed.tui import collector
from edgemed.tui.entrance import Entrance
from edgemed.tui.session import ChatSession

Result = TypeVar("Result")


def scrub_environment() -> None:
    """Remove the variables that make Textual log, press keys or save screenshots.

    Textual reads them when it is imported, so call this first.
    """
    assert "textual.app" not in sys.modules, "Textual was imported before its environment was cleaned"
    for name in [name for name in os.environ if name.startswith("TEXTUAL")]:
        del os.environ[name]


def open_chat(
    session: ChatSession | None = None, *, entrance: Entrance | None = None, desktop: Desktop | None = None
) -> int:
    """Run the chat until the user quits or it locks; return the exit code.

    With `entrance` it asks for the vault first; with `session` nothing is kept. Raises the start's error if no engine
    ever started.
    """
    collector.pause()
    scrub_environment()
    from edgemed.tui.app import ChatApp

    app = ChatApp(session, entrance=entrance, desktop=desktop)
    app.run()
    if app.start_error is not None and not app.return_code:
        raise app.start_error
    return app.return_code or 0


def watch(engine: ChatEngine, measure: Callable[[Callable[[str], None]], Result]) -> Result | None:
    """Show the live expert map while `measure` runs; return its result, None if the user quit first.

    `measure` gets a function that shows a line of progress. Raises what `measure` raises.
    """
    scrub_environment()
    from edgemed.tui.bench import WatchApp

    app = WatchApp(engine, measure)
    result = app.run()
    if app.error is not None:
        raise app.error
    return result
