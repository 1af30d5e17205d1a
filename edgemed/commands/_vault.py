"""What commands on a vault share: its place, the passphrase, and a row in its audit."""

from __future__ import annotations

import argparse
import getpass
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed import privacy
from edgemed.commands._private import close_process
from edgemed.errors import UsageError, VaultError

if TYPE_CHECKING:
    from edgemed.vault.folder import Vault


def add_actions(parser: argparse.ArgumentParser, actions: Mapping[str, str], *remarks: str) -> None:
    """Add the argument ACTION, and a list of the actions and what they do, with `remarks` below it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, actions))
    listed = (f"  {action:{width}}  {does}" for action, does in actions.items())
    parser.epilog = "\n".join(("actions:", *listed, "", *remarks))
    names = [action.split()[0] for action in actions]
    parser.add_argument("action", metavar="ACTION", choices=names, help="one of the actions below")


def add_vault_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", metavar="FOLDER", type=Path, help="the vault's folder (default: the chat's)")
    parser.add_argument(
        "--allow-unsealed", action="store_true", help="continue even if the kernel cannot block network sockets"
    )


def seal_process(args: argparse.Namespace) -> None:
    """Close this process to others and to the network. Call it first."""
    close_process(args)
    privacy.fork_once()
    privacy.seal(allow_unsealed=args.allow_unsealed)


def vault_folder(args: argparse.Namespace) -> Path:
    """The folder that --vault or the settings name, or the default one. Prints what is wrong with the settings."""
    from edgemed import settings
    from edgemed.vault import folder

    known = settings.load()
    if known.problem:
        print(f"edgemed: {known.problem}", file=sys.stderr)
    place: Path = args.vault or known.vault or folder.default_folder()
    return place.absolute()


@contextmanager
def opened_vault(place: Path) -> Iterator[tuple[Vault, str]]:
    """Ask for the passphrase; the open vault and what was typed. Raises UsageError, VaultError."""
    from edgemed.vault import folder

    if not folder.exists(place):  # said before the question for the passphrase
        raise VaultError(f"There is no vault in {place}; name another with --vault.")
    secret = ask_secret("Passphrase: ")
    vault = folder.unlock(place, secret)
    try:
        for sentence in vault.notices():
            print(f"edgemed: {sentence}", file=sys.stderr)
        yield vault, secret
    finally:
        vault.close()


def record(vault: Vault, event: str, **details: str | int) -> None:
    """Append a row to the vault's audit; print a sentence if that fails."""
    from edgemed.vault.recorder import Recorder

    recorder = Recorder(vault)
    recorder.record(event, **details).result()
    if recorder.fault:
        print(f"edgemed: Not recorded in the audit: {recorder.fault}", file=sys.stderr)


def ask_secret(prompt: str) -> str:
    """A secret, from the terminal without echo or as one line of standard input. Raises UsageError."""
    if not sys.stdin.isatty():
        return _line()
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except getpass.GetPassWarning:
            raise UsageError("This terminal would show the passphrase; use another, or standard input.") from None
        except EOFError:
            raise UsageError("No passphrase was typed; start again.") from None


def ask_aloud(prompt: str) -> str:
    """A word that is no secret, from the terminal or as one line of standard input. Raises UsageError."""
    if not sys.stdin.isatty():
        return _line()
    try:
        return input(prompt)
    except EOFError:
        return ""


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise UsageError("Standard input ended before the passphrase; give one line for each question.")
    return line.removesuffix("\n")
