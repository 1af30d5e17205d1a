"""The way onto the screen: a clean environment first, Textual afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from edgemed.chat.engine import ChatEngine
from edgemed.tui.session import ChatSession

Result = TypeVar("Result")


def scrub_environment() -> None:
    """Remove the variables by which Textual can be told to log, to press keys, or to save pictures of its screen.

    Textual reads them when it is imported, so this comes first.
    """
    assert "textual.app" not in sys.modules, "Textual was imported before its environment was cleaned"
    for name in [name for name in os.environ if name.startswith("TEXTUAL")]:
        del os.environ[name]


def open_chat(session: ChatSession) -> int:
    """Run the chat until the user leaves it; return the exit code. Raises what kept its engine from ever starting."""
    scrub_environment()
    from edgemed.tui.app import ChatApp

    app = ChatApp(session)
    app.run()
    if app.start_error is not None and not app.return_code:
        raise app.start_error
    return app.return_code or 0


def watch(engine: ChatEngine, measure: Callable[[Callable[[str], None]], Result]) -> Result | None:
    """Show the engine's experts while `measure` runs (it is given a way to say what it is doing); return its result,
    None when the user left before. Raises what it raises."""
    scrub_environment()
    from edgemed.tui.bench import WatchApp

    app = WatchApp(engine, measure)
    result = app.run()
    if app.error is not None:
        raise app.error
    return result
