"""`edgemed report [TURN] -o FILE`: an incident file about one answer."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgemed import __version__
from edgemed.commands._print import show
from edgemed.commands._vault import add_vault_arguments, ask_aloud, opened_vault, record, seal_process, vault_folder
from edgemed.errors import UsageError

CONFIRMATION = "text"
WITH_TEXT = "The file will hold the questions and the answer, and it is not encrypted."
WRITTEN_TEXT = "The file holds the questions and the answer, and it is not encrypted."
CLEAR = (
    "The file is not encrypted. It has no question and no answer. The prompt's digest tells anyone who has a text "
    "whether it is exactly that prompt."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The file holds digests, seed, sampling, engine, settings, the names of header fields, and the chat's events "
        "in the audit; with these and the vault the prompt can be made again. Answers of unsaved chats are in no "
        "vault, so there is no report on them."
    )
    parser.add_argument(
        "turn", metavar="TURN", nargs="?", help="the beginning of the answer's id, as F9 shows it (default: the last)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="the JSON file to write")
    parser.add_argument(
        "--with-text", action="store_true", help="also write the messages and the answer; asks once more"
    )
    add_vault_arguments(parser)


def run(args: argparse.Namespace) -> int:
    seal_process(args)

    from edgemed import outputs
    from edgemed.vault.audit import ID_SHOWN
    from edgemed.vault.incident import find_turn, incident
    from edgemed.vault.store import Store

    outputs.check_outputs([args.output])

    def read(store: Store) -> dict[str, Any]:
        chat, turn = find_turn(store, args.turn)
        return incident(store, chat, turn, with_text=args.with_text)

    with opened_vault(vault_folder(args)) as (vault, _), outputs.claimed(args.output):
        if args.with_text:
            _confirm()
        told = vault.do(read).result()
        turn = told["turn"]
        record(vault, "reported", turn=turn["id"], chat=turn["chat"], case=turn["case"] or "", text=int(args.with_text))
        written = json.dumps(_about() | told, indent=1, ensure_ascii=False)
        outputs.write_text(args.output, written + "\n")
    asked = turn["asked"][:16].replace("T", " ")
    reach = WRITTEN_TEXT if args.with_text else CLEAR
    show([f"{args.output}: answer {turn['id'][:ID_SHOWN]}, asked {asked} UTC.", told["same_answer"], reach])
    return 0


def _about() -> dict[str, Any]:
    """This program and this computer, without its name or its user's."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "edgemed": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return ""


def _confirm() -> None:
    print(f"edgemed: {WITH_TEXT}", file=sys.stderr)
    if ask_aloud(f'Type "{CONFIRMATION}" to write it: ').strip() != CONFIRMATION:
        raise UsageError(f"Nothing was written; type the word {CONFIRMATION}, or leave out --with-text.")
