"""Options shared by the commands that read texts with a model: `calibrate` and `eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemed.commands._engine import add_threads_argument
from edgemed.errors import UsageError
from edgemed.sizes import parse_size

PASSAGE = 512


def add_reading_arguments(parser: argparse.ArgumentParser, tokens: int, scratch: str) -> None:
    """tokens: the default number to read; scratch: the help text of --scratch."""
    parser.add_argument("--tokens", metavar="N", type=int, default=tokens, help=f"tokens to read (default {tokens:,})")
    parser.add_argument(
        "--passage", metavar="N", type=int, default=PASSAGE, help=f"tokens per passage (default {PASSAGE})"
    )
    parser.add_argument("--ram", metavar="SIZE", type=parse_size, help="total memory to use, for example 8GiB")
    add_threads_argument(parser)
    parser.add_argument("--scratch", metavar="FOLDER", type=Path, help=scratch)


def check_reading(args: argparse.Namespace, **least: int) -> None:
    """Raise UsageError for impossible numbers or folders. `least`: the lowest values of the command's own options."""
    for name, lowest in {"tokens": 1, "threads": 1, **least}.items():
        value = getattr(args, name)
        if value is not None and value < lowest:
            raise UsageError(f"--{name} {value} is not possible; give {lowest} or more.")
    if args.scratch and not args.scratch.is_dir():
        raise UsageError(f"There is no folder {args.scratch}; name another one with --scratch.")
