"""`edgemed chat MODEL`: the private clinical chat in the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemed.commands._chat import add_chat_arguments, at_terminal, converse, enter_screen, open_session
from edgemed.errors import SetupError

NO_MODEL = (
    "No model was given; run `edgemed demo`, or convert a checkpoint with `edgemed convert CHECKPOINT -o model.gguf` "
    "and open it with `edgemed chat model.gguf`."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Chats are kept in an encrypted vault, which the first start makes (`edgemed vault --help`). No network socket "
        "can be opened. F1 in the chat shows the keys."
    )
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="the GGUF file (default: the last one)")
    parser.add_argument("--unsaved", action="store_true", help="chat without a vault: no text is saved")
    add_chat_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from edgemed import settings

    known = settings.load()
    args.language = args.language or known.language
    if args.unsaved or not at_terminal():
        model: Path | None = args.model or known.model
        if model is None:
            raise SetupError(NO_MODEL)
        entered = enter_screen(args)
        return converse(open_session(model, args, sealed=entered.sealed), args, entered.desktop)
    from edgemed.commands._vault_chat import chat_on_vault

    entered = enter_screen(args)
    return chat_on_vault(args, entered, settings.load())  # again: an earlier screen may have made the vault
