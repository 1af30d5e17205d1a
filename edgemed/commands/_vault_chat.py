"""`edgemed chat` on a vault: from the settings and the command line to the passphrase, then to the conversation."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed import settings
from edgemed.clinical import language_of
from edgemed.commands._chat import Entered, has_screen, open_session, place_of, private_errors
from edgemed.commands._signals import signals_interrupt
from edgemed.errors import UsageError
from edgemed.settings import Settings

if TYPE_CHECKING:
    from edgemed.tui.entrance import Entrance
    from edgemed.tui.session import ChatSession

SUGGESTED_SHARE = 0.85
"""The share of the available memory that the first run suggests, the same as the engine takes without --ram."""


def chat_on_vault(args: argparse.Namespace, entered: Entered, known: Settings) -> int:
    """Ask for the passphrase, or make the vault in the first run, and chat. Returns the exit code.

    Raises EdgemedError. The model file's metadata is read first, so a file that is missing is an error at once.
    """
    entrance = entrance_of(args, entered, known)
    if entrance.settings.model is not None:
        entrance.open_session(entrance.settings)
    return enter(entrance, args, entered)


def enter(entrance: Entrance, args: argparse.Namespace, entered: Entered) -> int:
    """Chat behind `entrance`, on the full screen or in lines. Returns the exit code; raises EdgemedError."""
    with private_errors():
        if not args.plain and has_screen():
            from edgemed.tui.launch import open_chat

            return open_chat(entrance=entrance, desktop=entered.desktop)
        from edgemed.tui.plain.door import chat_in_lines

        with signals_interrupt():
            return chat_in_lines(entrance, ask=_ask)


def entrance_of(args: argparse.Namespace, entered: Entered, known: Settings) -> Entrance:
    """The vault and what follows it. What the command line says comes before the settings."""
    from dataclasses import replace

    from edgemed.tui.entrance import Entrance
    from edgemed.vault.folder import default_folder, exists

    folder = known.vault or default_folder()
    model: Path | None = args.model.absolute() if args.model else known.model

    def session(chosen: Settings) -> ChatSession:
        assert chosen.model is not None
        options = argparse.Namespace(**{**vars(args), "ram": args.ram or chosen.ram})
        return open_session(chosen.model, options, sealed=entered.sealed)

    asks_memory = not exists(folder) and not args.ram and not known.ram
    return Entrance(
        folder=folder,
        settings=replace(known, model=model),
        open_session=session,
        remember=settings.update,
        suggested_ram=_suggested_ram() if asks_memory else None,
        language=args.language or language_of(os.environ),
        place=place_of(sealed=entered.sealed),
    )


def _suggested_ram() -> int:
    from edgemed.engine.budget import available_bytes

    half = 512 << 20
    return max(half, int(SUGGESTED_SHARE * available_bytes()) // half * half)


def _ask(prompt: str, *, secret: bool) -> str | None:
    """One line from the terminal, without echo if `secret`; None at the end of the input. Raises UsageError."""
    read: Callable[[str], str] = getpass.getpass if secret else input
    if not sys.stdin.isatty():
        raise UsageError("The vault's passphrase needs a terminal; pass --unsaved to chat without a vault.")
    try:
        return read(prompt)
    except EOFError:
        return None
