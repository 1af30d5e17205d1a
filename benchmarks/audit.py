"""Speed of the audit: how long one row takes to be on the disk, and how long a long chain takes to be checked.

python -m benchmarks.audit [--rows 100000] [--folder /a/disk]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from edgemed.vault.audit import Entry
from edgemed.vault.audit_check import check_audit
from edgemed.vault.folder import create, unlock
from edgemed.vault.keys import FLOOR
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.vault_fixture import conversation

PASSPHRASE = "fictitious patients only"
SINGLE = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the vault is made (default: the temporary folder)")
    args = parser.parse_args()
    with TemporaryDirectory(dir=args.folder) as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        vault, _ = create(Path(folder) / "vault", PASSPHRASE, cost=FLOOR)
        chat = conversation(None)
        vault.do(lambda store: store.keep(Snapshot.of(chat))).result()
        entry = Entry.answered(chat, chat.turns[0], "0123456789ab")
        took = []
        for _ in range(SINGLE):
            began = time.perf_counter()
            vault.do(lambda store: store.record(entry)).result()
            took.append(1000 * (time.perf_counter() - began))
        took.sort()
        print(f"one row: median {statistics.median(took):.2f} ms, 99 % {took[int(0.99 * SINGLE)]:.2f} ms")
        vault.do(lambda store: fill(store, entry, args.rows - SINGLE)).result()
        vault.close()
        vault = unlock(Path(folder) / "vault", PASSPHRASE)
        began = time.perf_counter()
        checked = vault.do(check_audit).result()
        seconds = time.perf_counter() - began
        assert checked.whole, checked
        print(f"{checked.rows} rows checked in {seconds:.1f} s; the vault has {vault.size() / 1e6:.0f} MB")
        vault.close()


def fill(store: Store, entry: Entry, count: int) -> None:
    """Many rows without waiting for the disk after each."""
    store.connection.execute("PRAGMA synchronous = OFF")
    for _ in range(count):
        store.record(entry)
    store.connection.execute("PRAGMA synchronous = FULL")


if __name__ == "__main__":
    main()
