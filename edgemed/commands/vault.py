"""`edgemed vault ACTION`: look after the encrypted vault of the chat."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._print import show
from edgemed.commands._vault import (
    add_actions,
    add_vault_arguments,
    ask_aloud,
    ask_secret,
    opened_vault,
    record,
    seal_process,
    vault_folder,
)
from edgemed.errors import UsageError, VaultError
from edgemed.sizes import format_size, parse_size

if TYPE_CHECKING:
    from edgemed.vault.folder import Vault

ACTIONS = {
    "where": "where the vault is and how large",
    "backup FILE": "write everything into one encrypted file, and read it back",
    "restore FILE": "make a vault from a backup; a vault that is there is kept",
    "passphrase": "change the passphrase",
    "recovery": "make new recovery words; the old ones stop working",
    "rekey": "encrypt everything again with a new key, with new recovery words",
    "check": "read everything and look for damage",
    "erase": "delete the vault",
}
REACH = {
    "passphrase": "The old passphrase still opens backups and older copies, and with an older copy of keys.json this "
    "vault too; `edgemed vault rekey` ends the last.",
    "recovery": "The old words still open backups and older copies, and with an older copy of keys.json this vault "
    "too; `edgemed vault rekey` ends the last.",
    "rekey": "Backups and older copies still open with their passphrase; delete those you do not need. An SSD may keep "
    "deleted blocks for a while.",
    "erase": "Backups and copies elsewhere are still there, and an SSD, a snapshot or swap may keep deleted blocks. "
    "Without a copy of keys.json nobody can read them.",
}
"""What an action does not do: printed where it is done."""
AUDITED = {
    "backup": "backed_up",
    "passphrase": "passphrase_changed",
    "recovery": "recovery_words_changed",
    "rekey": "key_changed",
}
"""Action -> the audit's event."""
_WORDS_IN_A_ROW = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(
        parser,
        ACTIONS,
        "A passphrase is asked for in the terminal, or read from standard input, one line each.",
        "It is never an argument. Wherever it asks for the passphrase, recovery words open too;",
        "rekey needs the passphrase itself.",
        "",
        "What they do not do: a changed passphrase does not reach backups and older copies,",
        "which open with their old one. Erased text may stay in the deleted blocks of an SSD,",
        "in snapshots, in swap and in the memory of programs that run.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the backup, for backup and restore")
    parser.add_argument(
        "--ram", metavar="SIZE", type=parse_size, help="total memory to use, for a new passphrase (default: no limit)"
    )
    add_vault_arguments(parser)


def run(args: argparse.Namespace) -> int:
    seal_process(args)
    if (args.file is not None) != (args.action in ("backup", "restore")):
        needs = "needs" if args.file is None else "takes no"
        raise UsageError(f"vault {args.action} {needs} FILE; see `edgemed vault --help`.")
    place = vault_folder(args)
    match args.action:
        case "where":
            _where(place)
        case "restore":
            _restore(args.file, place)
        case "erase":
            _erase(place)
        case _:
            with opened_vault(place) as (vault, secret):
                _act(args, vault, secret)
                if args.action in AUDITED:
                    record(vault, AUDITED[args.action])
    if args.action in REACH:
        show([REACH[args.action]])
    return 0


def _act(args: argparse.Namespace, vault: Vault, secret: str) -> None:
    match args.action:
        case "backup":
            from edgemed.vault.backup import back_up

            size = back_up(vault, args.file)
            show([f"{args.file}: {format_size(size)}, read back and whole. It opens with today's passphrase."])
        case "passphrase":
            from edgemed.vault.keys import calibrated

            new = _new_passphrase()
            vault.change_passphrase(secret, new, cost=calibrated(args.ram))
            show(["The passphrase is changed."])
        case "recovery":
            _show_words(vault.new_recovery_words(secret))
        case "rekey":
            _show_words(vault.rekey(secret))
        case "check":
            vault.check().result()
            show([f"{vault.folder}: no damage found. An older copy that was put back is whole too."])


def _where(place: Path) -> None:
    from edgemed.errors import VaultBusy
    from edgemed.vault import folder, notices
    from edgemed.vault.lock import VaultLock
    from edgemed.vault.place import check_folder, size

    if not folder.exists(place):
        show([f"{place}: no vault yet; `edgemed chat` makes one."])
        return
    check_folder(place)
    lines = [f"{place}: {format_size(size(place))}"]
    try:
        VaultLock(place).release()
    except VaultBusy as error:
        lines.append(str(error))
    show(lines + list(filter(None, [notices.low_disk(place)])))


def _restore(backup: Path, place: Path) -> None:
    from edgemed.vault.backup import restore
    from edgemed.vault.folder import unlock

    secret = ask_secret("Passphrase at the time of the backup: ")
    kept = restore(backup, place, secret)
    with suppress(VaultError), closing(unlock(place, secret)) as vault:
        record(vault, "restored")
    show([f"The vault in {place} is the one of the backup."] + ([f"The vault before it is in {kept}."] if kept else []))


def _erase(place: Path) -> None:
    from edgemed.vault import folder

    if ask_aloud(f'Type "erase" to delete the vault in {place}: ').strip() != "erase":
        raise UsageError("Nothing was deleted; type the word erase to delete the vault.")
    folder.erase(place)
    show([f"The vault in {place} is deleted."])


def _show_words(recovery: list[str]) -> None:
    numbered = [f"{number:2}. {word:<10}" for number, word in enumerate(recovery, 1)]
    rows = [numbered[start : start + _WORDS_IN_A_ROW] for start in range(0, len(numbered), _WORDS_IN_A_ROW)]
    show(["New recovery words; the old ones no longer work. Write them on paper, then clear the screen:"])
    show("  ".join(row).rstrip() for row in rows)


def _new_passphrase() -> str:
    from edgemed.vault.words import refuse_weak, suggest_passphrase

    new = ask_secret(f"New passphrase (for example: {suggest_passphrase()}): ")
    refuse_weak(new)
    if sys.stdin.isatty() and ask_secret("The same again: ") != new:
        raise UsageError("The two passphrases differ; nothing was changed.")
    return new
