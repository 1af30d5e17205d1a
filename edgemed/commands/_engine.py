"""Options shared by the commands that run a model, and the engine settings made from them.

`chat` and `demo` do not take `--rpc`: a conversation with patient text stays on this machine.
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
        help="total memory to use, for example 8GiB (default: most of the free memory)",
    )
    add_gpu_argument(parser)
    parser.add_argument(
        "--ctx", metavar="N", type=int, help="context length in tokens (default: the model's, at most 8192)"
    )
    add_threads_argument(parser)
    parser.add_argument(
        "--hot-profile",
        action="store_true",
        help="store in MODEL.hot how often each expert was used, so that the next start loads the most used first; it "
        "holds no text, but reveals a little about its topic",
    )
    parser.add_argument(
        "--allow-unsealed", action="store_true", help="continue even if the kernel cannot block network sockets"
    )


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", metavar="N", type=_threads, help="compute threads (default: one per core)")


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
        help="number of layers whose dense part runs on the GPU: auto (as many as fit), off, or a number "
        "(default: auto; "
        "off if llama.cpp was built without GPU support)",
    )


def add_rpc_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rpc",
        metavar="ADDRESS:PORT",
        help="use the device of a llama.cpp RPC server instead; the connection has no password and no encryption",
    )
    parser.add_argument("--rpc-unencrypted", action="store_true", help="allow an RPC server on another machine")


def wanted_offload(args: argparse.Namespace) -> Offload:
    """The offload settings. Warns on standard error if data will leave this machine. Raises UsageError."""
    from edgemed.engine.offload import Offload

    offload = Offload(args.gpu, getattr(args, "rpc", None), getattr(args, "rpc_unencrypted", False))
    if not offload.local:
        print(
            f"edgemed: Intermediate results of your text are sent to {offload.rpc} without encryption; anyone on that "
            "network can read or change them.",
            file=sys.stderr,
        )
    return offload


def _layers(text: str) -> int | None:
    if text == AUTO:
        return None
    if text != OFF and not text.isdecimal():
        raise UsageError(f"{text!r} is not a number of layers; give auto, off, or a number.")
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
