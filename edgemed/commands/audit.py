"""`edgemed audit ACTION`: check, show or export the vault's record of what happened."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._print import show
from edgemed.commands._vault import add_actions, add_vault_arguments, opened_vault, record, seal_process, vault_folder
from edgemed.errors import UsageError, VaultDamaged

if TYPE_CHECKING:
    from edgemed.vault.audit_check import Checked
    from edgemed.vault.folder import Vault

ACTIONS = {
    "verify": "check every row, and the stored answers against them",
    "show": "print rows as a table",
    "export FILE": "write rows into FILE, as CSV, or as JSON lines if its name ends in .jsonl",
}
UNSEEN = (
    "What this cannot see: rows that are missing at the end, and an older copy of the vault that was put back, unless "
    "you give a head that was printed earlier (--head).",
    "Anyone who has the passphrase can write the whole audit anew; only such a head contradicts that.",
    "Times are this computer's clock, and names were typed or are the account's: nothing checked them.",
)
FAULTS = {
    "changed": "Row {number} was changed, or was not written by edgemed.",
    "not after the one before": "Row {number} does not follow the row before it: one of the two was exchanged.",
    "missing before": "Before row {number} rows are missing.",
    "head is missing": "The head's row {number} is not there: the end is cut off, or an older copy was put back.",
    "head is another": "Row {number} is not that of the head: the audit was written anew from there or from before.",
}
ALTERED = "Answer {id}: the stored text is not the one that was recorded."
SHOWN_FAULTS = 20
SHOWN_ROWS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actions(
        parser,
        ACTIONS,
        "A row has no text: it names the event, who, the case and the turn by their ids, and has digests.",
        "Of an unsaved chat it has the time, the event and the version of the rules.",
        "",
        "Each row is chained to the row before. This shows edits, deleted and moved rows. It cannot show",
        "missing rows at the end, an older copy of the vault that was put back, or that someone with the",
        "passphrase wrote everything anew. A head that was printed earlier shows these: write it down.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the file to write, for export")
    parser.add_argument("--head", metavar="SEQ:MAC", help="for verify: a head that was printed earlier")
    parser.add_argument("--case", metavar="CASE", help="only this case: the beginning of its id, or words of its title")
    parser.add_argument("--since", metavar="DATE", type=_day, help="only rows of this day or later (YYYY-MM-DD)")
    parser.add_argument("--until", metavar="DATE", type=_day, help="only rows of this day or earlier")
    parser.add_argument(
        "--last",
        metavar="N",
        type=int,
        default=SHOWN_ROWS,
        help="for show: this many rows, 0 for all (default: %(default)s)",
    )
    add_vault_arguments(parser)


def run(args: argparse.Namespace) -> int:
    seal_process(args)
    if (args.file is not None) != (args.action == "export"):
        needs = "needs" if args.file is None else "takes no"
        raise UsageError(f"audit {args.action} {needs} FILE; see `edgemed audit --help`.")
    if args.head is not None and args.action != "verify":
        raise UsageError(f"audit {args.action} takes no --head; see `edgemed audit --help`.")
    if args.action == "export":
        from edgemed import outputs

        outputs.check_outputs([args.file])
    act = {"verify": _verify, "show": _show, "export": _export}[args.action]
    with opened_vault(vault_folder(args)) as (vault, _):
        act(args, vault)
    return 0


def _verify(args: argparse.Namespace, vault: Vault) -> None:
    from edgemed.vault.audit_check import check_audit, parsed_head

    head = None if args.head is None else parsed_head(args.head)
    checked = vault.do(lambda store: check_audit(store, head)).result()
    show(_result(checked, args.head))
    show(UNSEEN)
    if not checked.whole:
        faults = len(checked.broken) + len(checked.altered)
        places = "1 place" if faults == 1 else f"{faults} places"
        raise VaultDamaged(
            f"The audit in {vault.folder} does not hold in {places}; keep a copy of this folder as it is, then find "
            "out who or what changed it."
        )


def _result(checked: Checked, head: str | None) -> list[str]:
    from edgemed.vault.audit import ID_SHOWN

    lines = [FAULTS[broken.fault].format(number=broken.sequence) for broken in checked.broken]
    lines += [ALTERED.format(id=turn_id[:ID_SHOWN]) for turn_id in checked.altered]
    if len(lines) > SHOWN_FAULTS:
        lines = [*lines[:SHOWN_FAULTS], f"... and {len(lines) - SHOWN_FAULTS} more."]
    if not checked.broken:
        lines.append(f"{checked.rows} rows, each in its place and unchanged.")
        lines += [f"The head {head.strip()} is in the chain."] if head else []
    if not checked.altered:
        lines.append(f"Stored answers compared with their rows: {checked.texts}, no difference.")
    return [*lines, f"Head: {checked.head or 'none, the audit is empty'}"]


def _show(args: argparse.Namespace, vault: Vault) -> None:
    from edgemed.vault.audit_table import selected, table

    rows = vault.do(lambda store: selected(store, args.case, args.since, args.until)).result()
    head = vault.do(lambda store: store.audit_head()).result()
    shown = rows[-args.last :] if args.last > 0 else rows
    show(table(shown))
    if len(shown) < len(rows):
        show([f"The last {len(shown)} of {len(rows)} rows; --last 0 shows all."])
    show([f"Head: {head or 'none, the audit is empty'}"])


def _export(args: argparse.Namespace, vault: Vault) -> None:
    from edgemed import outputs
    from edgemed.vault.audit_table import as_csv, as_json_lines, selected

    with outputs.claimed(args.file):
        record(vault, "audit_exported")
        rows = vault.do(lambda store: selected(store, args.case, args.since, args.until)).result()
        head = vault.do(lambda store: store.audit_head()).result()
        outputs.write_text(args.file, (as_json_lines if args.file.suffix == ".jsonl" else as_csv)(rows))
    show([f"{args.file}: {len(rows)} rows, without text, not encrypted.", f"Head: {head}"])
    print("edgemed: Write the head down or print it: it shows later whether rows were cut off.", file=sys.stderr)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day; write it as 2026-11-29") from None
