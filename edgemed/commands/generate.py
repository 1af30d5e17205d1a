"""`edgemed generate MODEL -p -`: one answer on standard output, as text or (`--json`) as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed import privacy
from edgemed.commands._engine import add_engine_arguments, add_rpc_arguments, engine_settings
from edgemed.commands._private import close_process
from edgemed.errors import UsageError
from edgemed.privacy.surroundings import erase_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgemed.engine.process.client import Engine
    from edgemed.engine.process.protocol import Event, Finished, Sampling

INTERRUPTED = 130
STANDARD_INPUT = "-"
VISIBLE = (
    "Other programs could read the text on the command line for a moment, and the shell keeps it in its history; for a "
    "patient's words, use `-p -` and standard input."
)
WHY = {
    "length": "The answer reached --max-tokens.",
    "context": "The context of {n_ctx} tokens is full.",
    "stopped": "The answer was stopped.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="the GGUF file")
    parser.add_argument(
        "-p",
        "--prompt",
        metavar="TEXT",
        required=True,
        help="the question; - reads it from standard input, where no other program sees it",
    )
    parser.add_argument("--system", metavar="TEXT", help="a system message")
    add_engine_arguments(parser)
    add_rpc_arguments(parser)
    parser.add_argument("--max-tokens", metavar="N", type=int, help="the longest answer, in tokens")
    parser.add_argument("--temperature", metavar="T", type=float, help="0 always takes the most likely token")
    parser.add_argument("--top-p", metavar="P", type=float, help="sample from the tokens that hold this probability")
    parser.add_argument("--top-k", metavar="K", type=int, help="sample from the K most likely tokens; 0 means all")
    parser.add_argument("--repeat-penalty", metavar="R", type=float, help="values above 1 make repetition less likely")
    parser.add_argument("--seed", metavar="N", type=int, help="the same seed gives the same answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object when the answer is complete")


def run(args: argparse.Namespace) -> int:
    # The engine inherits this process's seccomp filter, which would keep it from reaching an RPC server. So with --rpc
    # this process locks down after the engine has started; the engine locks itself down once it has connected.
    remote = args.rpc is not None
    close_process(args, network=remote)
    _hide_text(args)
    privacy.fork_once()
    settings = engine_settings(args)

    from edgemed.chat.conversation import Conversation
    from edgemed.chat.interrupt import interrupt_stops
    from edgemed.chat.service import ask
    from edgemed.engine.process.client import Engine

    conversation = Conversation(system=args.system or None)
    turn = conversation.ask(_prompt(args))
    with Engine.start(args.model, settings, _tell_progress) as engine:
        if remote and (warning := privacy.lock_down(allow_unsealed=args.allow_unsealed)):
            print(f"edgemed: {warning}", file=sys.stderr)
        privacy.seal(allow_unsealed=args.allow_unsealed)
        _clear_progress()
        # Ctrl+C stops the answer; what was printed stays.
        with interrupt_stops(engine, turn):
            events = ask(engine, conversation, turn, _sampling(args, engine.info.defaults))
            finished = _print_json(engine, events) if args.json else _print_text(engine, events)
    return INTERRUPTED if finished.stop_reason == "stopped" else 0


def _hide_text(args: argparse.Namespace) -> None:
    """Remove the text on the command line from the list of processes, and say where it remains."""
    texts = [text for text in (args.prompt, args.system) if text and text != STANDARD_INPUT]
    if texts:
        erase_arguments(texts)
        print(f"edgemed: {VISIBLE}", file=sys.stderr)


def _print_text(engine: Engine, events: Iterator[Event]) -> Finished:
    from edgemed import clinical
    from edgemed.chat.visible import VisibleStream
    from edgemed.engine.process.protocol import Finished, Piece

    # Spell out invisible characters on a terminal only; a file gets the text unchanged.
    stream = VisibleStream() if sys.stdout.isatty() else None
    if engine.info.notice:
        print(engine.info.notice, end="\n\n", flush=True)
    finished = None
    for event in events:
        if isinstance(event, Piece):
            print(stream.feed(event.text) if stream else event.text, end="", flush=True)
        elif isinstance(event, Finished):
            finished = event
    assert finished is not None, "an answer always finishes"
    print(stream.close() if stream else "")
    if finished.stop_reason != "end":
        print(clinical.cut_off(), flush=True)
        print(f"edgemed: {WHY[finished.stop_reason].format(n_ctx=finished.n_ctx)}", file=sys.stderr)
    return finished


def _print_json(engine: Engine, events: Iterator[Event]) -> Finished:
    from edgemed.engine.process.protocol import Finished

    finished = list(events)[-1]
    assert isinstance(finished, Finished)
    info = engine.info
    told = asdict(finished) | {
        "notice": info.notice,
        "intended_use": info.intended_use,
        "model": info.model_name,
        "weights_digest": info.weights_digest,
        "verified": info.verified,
        "ram_bytes": info.ram_bytes,
        "placement": info.placement,
    }
    print(json.dumps(told), flush=True)
    return finished


def _prompt(args: argparse.Namespace) -> str:
    prompt: str = sys.stdin.read() if args.prompt == STANDARD_INPUT else args.prompt
    if not prompt.strip():
        raise UsageError("The prompt is empty; put a question after -p, or `-p -` and the question on standard input.")
    return prompt


def _sampling(args: argparse.Namespace, defaults: Sampling) -> Sampling:
    """The model's defaults, overridden by the options that were given."""
    names = ("temperature", "top_p", "top_k", "repeat_penalty", "seed", "max_tokens")
    return replace(defaults, **{name: getattr(args, name) for name in names if getattr(args, name) is not None})


def _tell_progress(stage: str, fraction: float) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{stage} the model ... {fraction:.0%}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
