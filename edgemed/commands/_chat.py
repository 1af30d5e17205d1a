"""What `chat` and `demo` share: their options, and the way from a model file to a conversation."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._engine import add_engine_arguments, engine_settings
from edgemed.commands._signals import signals_interrupt
from edgemed.errors import EdgemedError, SetupError

if TYPE_CHECKING:
    from edgemed.chat.engine import ChatEngine, Progress
    from edgemed.tui.session import ChatSession

REMOTE_SIGNS = ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION")


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the engine and of the screen."""
    add_engine_arguments(parser)
    parser.add_argument("--plain", action="store_true", help="line by line, without a screen: for screen readers")
    parser.add_argument("--language", choices=("en", "zh-CN"), help="the interface's language (default: the locale's)")


def seal_process(args: argparse.Namespace) -> bool:
    """Give up network sockets and core dumps, before anything else happens. True if the kernel holds us to it."""
    from edgemed import privacy

    warning = privacy.lock_down(allow_unsealed=args.allow_unsealed)
    if warning:
        print(f"edgemed: {warning}", file=sys.stderr)
    return warning is None


def at_terminal() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def has_screen() -> bool:
    """Whether that person's terminal can do more than print lines."""
    return at_terminal() and os.environ.get("TERM") not in (None, "", "dumb")


def open_session(path: Path, args: argparse.Namespace, *, sealed: bool, introduction: str = "") -> ChatSession:
    """Look at the model file and get ready to load it. Raises ModelFileError for a file that is none."""
    from edgemed import privacy
    from edgemed.clinical import language_of
    from edgemed.engine.process.client import Engine
    from edgemed.model_file import open_model
    from edgemed.tui.session import ChatSession

    model = open_model(path)
    settings = engine_settings(args)

    def start(progress: Progress) -> ChatEngine:
        engine = Engine.start(path, settings, progress)
        # From here on the chat needs no socket at all; a restarted engine gets its pair all the same.
        privacy.seal(allow_unsealed=args.allow_unsealed)
        return engine

    remote = any(os.environ.get(name) for name in REMOTE_SIGNS)
    return ChatSession(
        start_engine=start,
        model_name=model.name,
        weights_digest=model.weights_digest if model.verified else None,
        intended_use=model.intended_use,
        language=args.language or language_of(os.environ),
        place="unsealed" if not sealed else "remote" if remote else "offline",
        introduction=introduction,
    )


def converse(session: ChatSession, args: argparse.Namespace) -> int:
    """Talk until the user leaves. An unforeseen error ends with a sentence that quotes nothing of the conversation."""
    try:
        if args.plain or not has_screen():
            from edgemed.tui.plain import PlainChat

            with signals_interrupt():  # readline leaves the terminal as it was
                return PlainChat(session).run()
        from edgemed.tui.launch import open_chat

        return open_chat(session)
    except (EdgemedError, BrokenPipeError):
        raise
    except Exception as error:
        raise SetupError(
            f"The chat ended because of an error in the program ({type(error).__name__}); "
            "no patient text was written to a log or to a file."
        ) from None
