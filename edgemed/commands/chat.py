"""`edgemed chat MODEL`: the private clinical chat in the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemed.commands._chat import add_chat_arguments, converse, enter_screen, open_session
from edgemed.errors import SetupError

NO_MODEL = (
    "No model was given; run `edgemed demo`, or convert a checkpoint with `edgemed convert CHECKPOINT -o model.gguf` "
    "and open it with `edgemed chat model.gguf`."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "No text is saved, and no network socket can be opened. F1 in the chat shows the keys."
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="the GGUF file")
    add_chat_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.model is None:
        raise SetupError(NO_MODEL)
    entered = enter_screen(args)
    return converse(open_session(args.model, args, sealed=entered.sealed), args)
