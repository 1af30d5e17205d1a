"""kill -9 of each process of the real chat, many times, at moments drawn over its whole run.

    python -m benchmarks.chat_kills [--kills 100] [--target screen ...] [--minutes 60]

Each run has a vault of its own, a doctor who types, and one kill. Afterwards the vault is opened and compared with what
the terminal showed a second before the kill (`testing/chat_kills.py`). Prints one line for each kind of process, and
every fault with the seed that draws the same moment and the same keys again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from testing.chat_kills import TARGETS, Outcome, kill_one
from testing.checkpoints import Shape, make_checkpoint
from testing.real_chat import Place
from tests.tui.vaults import make_vault

_HEADS = ("killed", "kills", "mid-answer", "characters compared", "faults")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of each process")
    parser.add_argument("--target", choices=TARGETS, nargs="+", default=TARGETS)
    parser.add_argument("--minutes", type=float, default=60.0, help="end after this time")
    args = parser.parse_args()
    done: dict[str, list[Outcome]] = defaultdict(list)
    limit = time.monotonic() + 60 * args.minutes
    with TemporaryDirectory() as name:
        folder = Path(name)
        shape = Shape(num_hidden_layers=2, max_position_embeddings=2048, ends_turns=False)
        convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "model.gguf", Plan.uniform(8.0))
        for number in range(args.kills):
            for target in args.target:
                if time.monotonic() > limit:
                    break
                seed = random.randrange(1 << 32)
                outcome = _kill(folder / f"{number}-{target.replace(' ', '-')}", folder / "model.gguf", target, seed)
                if outcome is not None:
                    done[target].append(outcome)
                    for fault in outcome.faults:
                        print(f"{target}, seed {seed}: {fault}", file=sys.stderr, flush=True)
    _print(done)
    return int(any(outcome.faults for outcomes in done.values() for outcome in outcomes))


def _kill(home: Path, model: Path, target: str, seed: int) -> Outcome | None:
    place = Place(home)
    os.environ.update(place.environment)
    place.vault.parent.mkdir(parents=True)
    make_vault(place.vault)
    return kill_one(place, model, target, seed)


def _print(done: dict[str, list[Outcome]]) -> None:
    print("".join(f"{head:>21}" for head in _HEADS))
    for target, outcomes in done.items():
        faulty = sum(bool(outcome.faults) for outcome in outcomes)
        cut = sum(outcome.interrupted for outcome in outcomes)
        row = (target, len(outcomes), cut, sum(outcome.compared for outcome in outcomes), faulty)
        print("".join(f"{cell:>21}" for cell in row))


if __name__ == "__main__":
    sys.exit(main())
