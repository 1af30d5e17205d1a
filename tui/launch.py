"""The way into the chat: a clean environment first, Textual afterwards."""

from __future__ import annotations

import os
import sys

from edgemed.tui.session import ChatSession


def scrub_environment() -> None:
    """Remove the variables by which Textual can be told to log, to press keys, or to save pictures of its screen.

    Textual reads them when it is imported, so this comes first.
    """
    assert "textual.app" not in sys.modules, "Textual was imported before its environment was cleaned"
    for name in [name for name in os.environ if name.startswith("TEXTUAL")]:
        del os.environ[name]


def open_chat(session: ChatSession) -> int:
    """Run the chat until the user leaves it; return the exit code."""
    scrub_environment()
    from edgemed.tui.app import ChatApp

    app = ChatApp(session)
    app.run()
    return app.return_code or 0
