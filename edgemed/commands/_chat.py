"""What `chat` and `demo` share: their options, and the steps from a model file to a conversation."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed import privacy, settings
from edgemed.clinical import Place, language_of
from edgemed.clinical.region import Region
from edgemed.commands._engine import add_engine_arguments, engine_settings
from edgemed.commands._private import close_process
from edgemed.commands._signals import signals_interrupt
from edgemed.desktop.client import Desktop, start
from edgemed.errors import EdgemedError, SetupError
from edgemed.supervisor import Why, supervise

if TYPE_CHECKING:
    from edgemed.chat.engine import ChatEngine, Progress
    from edgemed.tui.session import ChatSession

BESIDE_A_SCREEN = 5
"""The engine's nice level in a chat: it computes on all cores, and a key must not wait for it."""

REMOTE_SIGNS = ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION")


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the engine and of the interface."""
    add_engine_arguments(parser)
    parser.add_argument("--plain", action="store_true", help="line mode, without a full screen: for screen readers")
    parser.add_argument("--language", choices=("en", "zh-CN"), help="the interface's language (default: the locale's)")


@dataclass(frozen=True, slots=True)
class Entered:
    """The process of a screen: why the supervisor started it, whether the kernel enforces its locks, and the connection
    to the desktop helper, if there is one."""

    why: Why
    sealed: bool
    desktop: Desktop | None = None


def enter_screen(args: argparse.Namespace) -> Entered:
    """Close this process, make it the supervisor, and return in the process of each screen. Call it first.

    Raises SetupError if the process cannot be closed; with `--allow-unsealed` that is printed as a warning instead.
    """
    sealed = close_process(args)
    full_screen = not args.plain and has_screen()
    # The helper needs local sockets, so it is started before the seal. Every screen inherits our end.
    desktop = start() if full_screen else None
    privacy.seal(allow_unsealed=args.allow_unsealed)
    language = args.language or language_of(os.environ)
    return Entered(supervise(full_screen=full_screen, language=language), sealed, desktop)


def at_terminal() -> bool:
    """Whether standard input and standard output are both terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def has_screen() -> bool:
    """Whether the terminal can show a full-screen interface."""
    return at_terminal() and os.environ.get("TERM") not in (None, "", "dumb")


def open_session(path: Path, args: argparse.Namespace, *, sealed: bool, introduction: str = "") -> ChatSession:
    """Read the model file's metadata and prepare to load it. Raises ModelFileError if it is not a model file."""
    from edgemed.engine.process.client import Engine
    from edgemed.engine.process.identity import FileIdentity, Weights
    from edgemed.model_file import open_model
    from edgemed.tui.session import ChatSession

    file = FileIdentity.of(path)
    model = open_model(path)
    known = settings.load()
    wanted = dataclasses.replace(engine_settings(args), niceness=BESIDE_A_SCREEN)
    if args.language and args.language != known.language:
        remember(language=args.language)

    def start(progress: Progress) -> ChatEngine:
        return Engine.start(path, wanted, progress, Weights(file, model.weights_digest))

    return ChatSession(
        start_engine=start,
        model_name=model.name,
        weights_digest=model.weights_digest if model.verified else None,
        intended_use=model.intended_use,
        language=args.language or known.language or language_of(os.environ),
        place=place_of(sealed=sealed),
        introduction=introduction,
        theme=known.theme,
        on_theme=lambda name: remember(theme=name),
        region=Region(known.units, known.drug_names, known.answers_in),
        on_region=lambda chosen: remember(
            units=chosen.units, drug_names=chosen.drug_names, answers_in=chosen.answers_in
        ),
        templates=settings.xdg_folder("XDG_DATA_HOME", ".local/share") / "templates",
        emergency=known.emergency or "",
        on_emergency=lambda number: remember(emergency=number or None),
    )


def remember(**changes: Any) -> None:
    """Keep settings for the next start. A setting that cannot be written holds for this run only."""
    with suppress(SetupError):
        settings.update(**changes)


def place_of(*, sealed: bool) -> Place:
    """Where the text on the screen can go."""
    remote = any(os.environ.get(name) for name in REMOTE_SIGNS)
    return "unsealed" if not sealed else "remote" if remote else "offline"


def converse(session: ChatSession, args: argparse.Namespace, desktop: Desktop | None = None) -> int:
    """Run a chat of which nothing is kept until the user quits; return the exit code. Raises EdgemedError."""
    with private_errors():
        if args.plain or not has_screen():
            from edgemed.tui.plain.chat import PlainChat

            with signals_interrupt():  # readline restores the terminal on an exception, but not if a signal kills us
                return PlainChat(session).run()
        from edgemed.tui.launch import open_chat

        return open_chat(session, desktop=desktop)


@contextmanager
def private_errors() -> Iterator[None]:
    """Turn an unexpected error into a SetupError whose sentence quotes nothing of the conversation."""
    try:
        yield
    except (EdgemedError, BrokenPipeError):
        raise
    except Exception as error:
        raise SetupError(
            f"The chat ended because of an error in the program ({type(error).__name__}); "
            "no patient text was written to a log or to a file."
        ) from None
