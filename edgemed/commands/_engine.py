"""The options of every command that runs a model, and the engine settings they stand for.

Only commands that are no chat take `--rpc`: what a patient said to the chat stays on this machine.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from edgemed.errors import UsageError
from edgemed.sizes import parse_size

if TYPE_CHECKING:
    from edgemed.engine.offload import Offload
    from edgemed.engine.process.protocol import EngineSettings

AUTO, OFF = "auto", "off"
MOST_THREADS = 512


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram",
        metavar="SIZE",
        type=parse_size,
        help="memory for everything together, for example 8GiB (default: most of what is free)",
    )
    add_gpu_argument(parser)
    parser.add_argument("--ctx", metavar="N", type=int, help="tokens of context (default: at most 8192)")
    add_threads_argument(parser)
    parser.add_argument(
        "--hot-profile",
        action="store_true",
        help="keep in MODEL.hot how often each expert was lately used, and read those in first at the next start; "
        "it holds no text, but tells a little of its topic",
    )
    parser.add_argument(
        "--allow-unsealed", action="store_true", help="go on where the kernel cannot forbid network sockets"
    )


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", metavar="N", type=_threads, help="threads that compute (default: the machine's cores)"
    )


def _threads(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_THREADS:
        raise UsageError(f"--threads must be a number from 1 to {MOST_THREADS}, not {text!r:.40}.")
    return int(text)


def add_gpu_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpu",
        metavar="LAYERS",
        type=_layers,
        default=AUTO,
        help="layers whose dense part a GPU computes: auto (as many as its memory holds), off, or a number "
        "(default: auto, which is off where llama.cpp was built without one)",
    )


def add_rpc_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rpc",
        metavar="ADDRESS:PORT",
        help="use the device of a llama.cpp RPC server instead; it has neither password nor encryption",
    )
    parser.add_argument(
        "--rpc-unencrypted", action="store_true", help="allow an RPC server on another machine all the same"
    )


def wanted_offload(args: argparse.Namespace) -> Offload:
    """Warns on standard error where something will leave this machine. Raises UsageError."""
    from edgemed.engine.offload import Offload

    offload = Offload(args.gpu, getattr(args, "rpc", None), getattr(args, "rpc_unencrypted", False))
    if not offload.local:
        print(
            f"edgemed: What the model makes of your text goes to {offload.rpc} unencrypted, and anybody on the way can "
            "read or change it.",
            file=sys.stderr,
        )
    return offload


def _layers(text: str) -> int | None:
    if text == AUTO:
        return None
    if text != OFF and not text.isdecimal():
        raise UsageError(f"{text!r} is no number of layers; write auto, off or a number.")
    return 0 if text == OFF else int(text)


def engine_settings(args: argparse.Namespace) -> EngineSettings:
    from edgemed.engine.process.protocol import EngineSettings

    return EngineSettings(
        ram_bytes=args.ram,
        n_ctx=args.ctx,
        threads=args.threads,
        allow_unsealed=args.allow_unsealed,
        hot_profile=args.hot_profile,
        offload=wanted_offload(args),
    )
