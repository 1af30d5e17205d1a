"""The chat as its reader feels it: the real program on a pseudo-terminal, a vault of 2,000 messages, the real engine.

    python -m benchmarks.chat [--turns 1000] [--keys 400] [--json]

Makes the demonstration model and a vault at the default cost with one chat of 1,000 turns and 40 other cases, in a
temporary folder. `key_p95_ms` is from the write of a key to the read of its letter in the box while the engine answers
on all cores: half of the keys in the chat that is answered, half in the long chat while another one is answered.
`stream_core` is the processor time of the screen's process as a share of a core while an answer streams. The same is
measured for the app of benchmarks.tutorial_app, and `memory` is what benchmarks.chat_memory measures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import chat_memory
from benchmarks.chat_vault import make_vault
from benchmarks.chat_walks import Ours, Tutorial, Walk, answers, middle, p95
from edgemed.native.instructions import instructions
from edgemed.vault.keys import DEFAULT, FLOOR
from edgemed.vault.place import exists

TYPING_SECONDS = 60


class Told(dict[str, Any]):
    """Figures, each printed on standard error as soon as it is known."""

    def __setitem__(self, name: str, value: Any) -> None:
        print(f"{name}: {value}", file=sys.stderr, flush=True)
        super().__setitem__(name, value)


def demonstration(folder: Path) -> Path:
    """The demonstration model, converted."""
    program, model = Path(sys.executable).with_name("edgemed"), folder / "demonstration.gguf"
    bundled = subprocess.run([program, "demo", "--path"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([program, "convert", bundled, "-o", model], check=True, capture_output=True)
    return model


def typed(walk: Walk, found: dict[str, Any]) -> None:
    """Add what was measured of the keys."""
    found["keys"] = len(walk.key_seconds)
    found["key_p95_ms"], found["key_median_ms"] = p95(walk.key_seconds), middle(walk.key_seconds)


def streamed(walk: Walk, seconds: float) -> float:
    """The screen's share of a core while answers stream for that long in all."""
    used = streaming = 0.0
    for _ in answers(walk, walk.new_chat):
        if streaming >= seconds:
            break
        part = walk.share_of_core()
        used, streaming = used + part[0], streaming + part[1]
    return round(used / streaming, 3)


def ours(walk: Ours, *, keys: int, rounds: int, paste: int) -> dict[str, Any]:
    """Measure `edgemed chat`."""
    with walk.terminal:
        unlocked = [walk.unlock()]
        for _ in range(rounds - 1):
            walk.lock()
            unlocked.append(walk.unlock())
        found = Told()
        found["unlock_s"] = round(max(unlocked), 2)
        found["search_ms"] = middle([walk.search() for _ in range(rounds)])
        opened = []
        for _ in range(rounds):
            walk.new_chat()
            opened.append(walk.open_long())
        found["open_s"] = round(max(opened), 2)
        found["stream_core"] = streamed(walk, 4 * rounds)
        for _ in answers(walk, walk.new_chat):
            if len(walk.key_seconds) >= keys // 2:
                break
            walk.type_while_answering(keys // 2 - len(walk.key_seconds))
        found["key_streaming_p95_ms"], here = p95(walk.key_seconds), len(walk.key_seconds)
        opened = []
        for _ in answers(walk, walk.new_chat):
            if len(walk.key_seconds) >= keys:
                break
            opened.append(walk.open_long())
            walk.type_while_answering(keys - len(walk.key_seconds))
        found["key_long_chat_p95_ms"] = p95(walk.key_seconds[here:])
        found["open_while_answering_s"] = round(max(opened), 2)
        typed(walk, found)
        hidden = [walk.hide() for _ in zip(range(rounds), answers(walk, walk.new_chat), strict=False)]
        walk.new_chat()
        found["hide_ms"] = round(1000 * max(hidden), 1)
        found["hide_in_paste_ms"] = round(1000 * walk.hide_in_paste(paste), 1)
    return found


def tutorial(walk: Tutorial, *, keys: int, rounds: int, limit: float) -> dict[str, Any]:
    """Measure the tutorial's app."""
    found = Told()
    with walk.terminal:
        found["stream_core"] = streamed(walk, 4 * rounds)
        until = time.monotonic() + TYPING_SECONDS  # each key may take seconds
        for _ in answers(walk, walk.new_chat):
            if len(walk.key_seconds) >= keys or (walk.key_seconds and time.monotonic() > until):
                break
            walk.type_while_answering(keys - len(walk.key_seconds))
        typed(walk, found)
        walk.new_chat()
        opened = walk.open_long(limit)
        found["open_s"] = f"over {limit:.0f}" if opened is None else round(opened, 2)
    return found


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Everything, with the load of the machine before and after."""
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "instructions": instructions().name}
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or demonstration(folder)
        environment = {f"XDG_{kind}_HOME": name for kind in ("CONFIG", "DATA", "CACHE")}
        os.environ |= environment
        place = folder / "edgemed" / "vault"
        place.parent.mkdir()
        chat = make_vault(place, args.turns, args.others, FLOOR if args.cheap else DEFAULT)
        assert exists(place)
        messages = folder / "messages.json"
        messages.write_text(json.dumps([text for turn in chat.turns for text in (turn.question, turn.raw)]))
        options = {"keys": args.keys, "rounds": args.rounds}
        found |= ours(Ours(model, environment, args.context), paste=args.paste, **options)
        print(json.dumps(found), file=sys.stderr, flush=True)  # in case the rest fails
        walk = Tutorial(model, environment, args.context, messages)
        found["tutorial"] = tutorial(walk, limit=args.open_limit, **options)
    if args.memory_turns:
        found["memory"] = chat_memory.measured(args.memory_turns)
    found["load_after"] = os.getloadavg()[0]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model file (default: the demonstration, converted)")
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--others", type=int, default=40, help="other cases")
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paste", type=int, default=500_000, help="characters of the paste in which the screen hides")
    parser.add_argument("--context", type=int, default=2048, help="tokens; an answer ends when it is full")
    parser.add_argument("--memory-turns", type=int, default=1000, help="0: leave the memory out")
    parser.add_argument(
        "--open-limit", type=float, default=60.0, help="seconds for the tutorial's app to show the chat"
    )
    parser.add_argument("--cheap", action="store_true", help="a vault at the lowest cost")
    parser.add_argument("--json", action="store_true")
    found = measured(parser.parse_args())
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
