"""The front door: `edgemed VERB ...`, one module under `edgemed.commands` for each verb.

A verb's module has `add_arguments(parser)` and `run(args) -> int`. It is imported only when its verb is called, which
keeps `edgemed --help` under 0.2 s.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

from edgemed import __version__
from edgemed.commands._signals import signals_interrupt
from edgemed.errors import EdgemedError, escaped

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

VERBS: dict[str, str] = {
    "demo": "convert the bundled demonstration checkpoint, open the chat on it with fictitious patients",
    "pull": "list the quantisations of a hub's GGUF repository, or download one",
    "convert": "turn a safetensors checkpoint into one quantised GGUF, every expert at its own precision",
    "inspect": "show what is inside a model file",
    "calibrate": "collect activation statistics on your texts, to place bits and round weights well",
    "eval": "compare a model with its reference: divergence, multiple choice, a report card",
    "verify": "check every checksum of a model file",
    "generate": "answer one prompt on standard output",
    "chat": "open the private terminal chat",
    "vault": "look after the encrypted vault of the chat: where it is, backup, restore, passphrase",
    "audit": "check, show or export the vault's record of what happened",
    "report": "write an incident file about one answer: digests, settings and events, no text",
    "bench": "measure a model's speed on this machine",
    "doctor": "tell whether this machine can run a model, how fast, and whether it is offline",
}

WITH_A_SCREEN = ("chat", "demo")
"""They install their own signal handlers."""
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """argparse makes every verb's parser of this class too."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Raises OSError when --help or --version cannot be printed; argparse would ignore that."""
        if file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Quotes the command line, which may come from a file's name or a page on the web."""
        super().error(escaped(message))


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; only `verb`'s own options are filled in (all verbs' when `verb` is "*")."""
    parser = _Parser(
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
    """Run one command; return its exit code (0 done, 1 failed, 2 usage error, 130 interrupted, 128 + signal number)."""
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name that is not UTF-8 can still be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):  # text that is not UTF-8 is refused where it is used
        sys.stdin.reconfigure(errors="surrogateescape")
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except EdgemedError as error:
        _tell(str(error))
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        _tell("; ".join(["interrupted", *getattr(interrupt, "__notes__", [])]) + ".")
        return getattr(interrupt, "exit_code", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has closed it (`edgemed inspect M | head`): not an error.
        _silence(sys.stdout)
        return 0
    except OSError as error:  # standard output on a full disk, a deleted folder, a name that no file can have
        if error.filename is None:
            _silence(sys.stdout)
        _tell(f"{error.strerror or error}: {escaped(str(error.filename or 'standard output'))[:80]}.")
        return 1


def _run(words: list[str]) -> int:
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = build_parser(chosen if chosen in VERBS else None)
    try:
        args = parser.parse_args(words)
    finally:
        sys.stdout.flush()  # --help ends the program: a failed write must be reported before that
    if args.verb is None:
        parser.print_help()
        return 2
    with nullcontext() if args.verb in WITH_A_SCREEN else signals_interrupt():
        code: int = args.run(args)
    return code


def _replace_closed_streams() -> None:
    """Open /dev/null for standard streams that the caller closed (`>&-`). Otherwise the next file we open, a model or a
    socket, would get their number, and a child process would write its output into it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # open returns the lowest free number, this one
    sys.stdin = sys.stdin or io.StringIO()
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()


def _tell(sentence: str) -> None:
    try:
        print(f"edgemed: {sentence}", file=sys.stderr, flush=True)
    except OSError:  # the terminal is closed
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Send the stream to /dev/null, or Python reports the failed write again when it flushes at exit."""
    with suppress(OSError):  # it has no file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
