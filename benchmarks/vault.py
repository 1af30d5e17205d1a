"""How long a vault takes to open, copy and check, and how much memory that needs.

    python -m benchmarks.vault [--messages 2000] [--json]

Makes a vault with that many messages of 3.5 kB in a temporary folder, at the calibrated cost. Each number is the median
of three; `unlock_s` is also measured in a new process, from its start to the open vault.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from edgemed.chat.conversation import Conversation, Turn
from edgemed.vault.backup import back_up, restore
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.keys import calibrated
from edgemed.vault.rows import Snapshot

PASSPHRASE = "fictitious patients only"
ANSWER = "Chest pain 胸痛, troponin 12 ng/l, K 6.2 mmol/l. " * 70
TIMES = 3
NEW_PROCESS = (
    "import resource, sys; from pathlib import Path; from edgemed.vault.folder import unlock\n"
    "unlock(Path(sys.argv[1]), sys.argv[2]).close()\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def seconds(work: Callable[[int], object]) -> float:
    """The median time of `work`, which gets the number of the run."""
    taken = []
    for number in range(TIMES):
        started = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken), 3)


def filled(vault: Vault, messages: int) -> None:
    turns: list[Turn] = []
    for number in range(messages):
        parent = turns[-1].id if turns else None
        turns.append(Turn(f"Question {number}?", ANSWER, "whole", parent=parent))
    chat = Snapshot.of(Conversation(turns=turns))
    vault.do(lambda store: store.keep(chat)).result()


def measured(folder: Path, messages: int) -> dict[str, float]:
    place, cost = folder / "vault", calibrated()
    found = {"argon2_mib": cost.memory_kib >> 10, "calibrate_s": seconds(lambda _: calibrated())}
    found["create_s"] = seconds(lambda number: create(folder / str(number), PASSPHRASE, cost=cost)[0].close())
    vault, _ = create(place, PASSPHRASE, cost=cost)
    filled(vault, messages)
    vault.close()
    found["size_mib"] = round((place / "vault.db").stat().st_size / (1 << 20), 1)
    found["unlock_s"] = seconds(lambda _: unlock(place, PASSPHRASE).close())
    command = [sys.executable, "-c", NEW_PROCESS, str(place), PASSPHRASE]
    found["unlock_in_new_process_s"] = seconds(lambda _: subprocess.run(command, check=True, capture_output=True))
    peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found["peak_rss_mib"] = int(peak) >> 10
    vault = unlock(place, PASSPHRASE)
    found["check_s"] = seconds(lambda _: vault.check().result())
    found["backup_s"] = seconds(lambda number: back_up(vault, folder / f"{number}.backup"))
    found["restore_s"] = seconds(lambda number: restore(folder / "0.backup", folder / f"r{number}", PASSPHRASE))
    found["change_passphrase_s"] = seconds(lambda _: vault.change_passphrase(PASSPHRASE, PASSPHRASE))
    found["rekey_s"] = seconds(lambda _: vault.rekey(PASSPHRASE))
    vault.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        found = measured(Path(folder), args.messages)
    print(json.dumps(found) if args.json else "\n".join(f"{name:24} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
