"""The options of every command that runs a model, and the engine settings they stand for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgemed.sizes import parse_size

if TYPE_CHECKING:
    from edgemed.engine.protocol import EngineSettings


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram",
        metavar="SIZE",
        type=parse_size,
        help="memory for everything together, for example 8GiB (default: most of what is free)",
    )
    parser.add_argument("--ctx", metavar="N", type=int, help="tokens of context (default: at most 8192)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads that compute (default: the machine's cores)")
    parser.add_argument(
        "--no-hot-profile",
        action="store_true",
        help="neither read nor write MODEL.hot, which says which experts were used most (and nothing else)",
    )
    parser.add_argument(
        "--allow-unsealed", action="store_true", help="go on where the kernel cannot forbid network sockets"
    )


def engine_settings(args: argparse.Namespace) -> EngineSettings:
    from edgemed.engine.protocol import EngineSettings

    return EngineSettings(
        ram_bytes=args.ram,
        n_ctx=args.ctx,
        threads=args.threads,
        allow_unsealed=args.allow_unsealed,
        hot_profile=not args.no_hot_profile,
    )
