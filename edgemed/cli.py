"""The front door: `edgemed VERB ...`, one module under `edgemed.commands` for each verb.

A verb's module has `add_arguments(parser)` and `run(args) -> int`, and is imported only when its verb is called, so
that `edgemed --help` answers in well under 0.2 s.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from edgemed import __version__
from edgemed.errors import EdgemedError

VERBS: dict[str, str] = {
    "demo": "convert the bundled demonstration checkpoint, show the plan, open the chat on it",
    "convert": "turn a safetensors checkpoint into one quantised GGUF, every expert at its own precision",
    "inspect": "say what is inside a model file",
    "calibrate": "collect what texts do inside a model, for choosing bits and rounding well",
    "eval": "compare a model with its reference: divergence, multiple choice, a report card",
    "verify": "check every checksum of a model file",
    "generate": "answer one prompt on standard output",
    "chat": "open the private terminal chat",
    "bench": "measure a model's speed here",
    "doctor": "say whether this machine can run it, how fast, and whether it is offline",
}

INTERRUPTED = 130


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; only `verb`'s own options are filled in (all verbs' when `verb` is "*")."""
    parser = argparse.ArgumentParser(
        prog="edgemed",
        description="A private clinical chat on a mixture of experts larger than this machine's memory.",
        epilog="Research software, not a medical device. `edgemed VERB --help` explains a verb.",
    )
    parser.add_argument("--version", action="version", version=f"edgemed {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if verb in (name, "*"):
            module = importlib.import_module(f"edgemed.commands.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 done, 1 failed, 2 called wrongly, 130 interrupted)."""
    # Closed from outside (`>&-`), they are None; Python's own print and read expect files.
    sys.stdout = sys.stdout or io.StringIO()
    sys.stdin = sys.stdin or io.StringIO()
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    try:
        parser = build_parser(chosen if chosen in VERBS else None)
        args = parser.parse_args(words)
        if args.verb is None:
            parser.print_help()
            return 2
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except EdgemedError as error:
        print(f"edgemed: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edgemed: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left (`edgemed inspect M | head`): that is not an error. Python would complain
        # again while flushing at exit, so standard output is pointed elsewhere first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # standard output on a full disk, a folder that is gone, a name that no file can have
        if error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"edgemed: {error.strerror or error}: {error.filename or 'standard output'!s:.80}.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
