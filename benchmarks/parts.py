"""Compare a model in one file with the same model in parts: the same reads for one routing, and the same speed.

    python -m benchmarks.true_shape M.gguf --layers 5 --types Q4_K
    python -m benchmarks.true_shape S.gguf --layers 5 --types Q4_K --split 2.7GB
    python -m benchmarks.parts M.gguf S-00001-of-00003.gguf --ram 3.5GiB

First without prefetch and with one reader thread, where no hit depends on time: both sides decode the same tokens under
strace, record their routing, and must have the same hits, misses, bytes and reads of experts. Then as in a chat, with
prefetch and the usual threads, in alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from edgemed.engine.process.launch import environment
from edgemed.model_file import ModelFile, open_model
from edgemed.sizes import PAGE, parse_size

STILL = {"background": False, "read_ahead": 0, "reader_threads": 1}
# `123 pread64(7</m.gguf>, ""..., 4096, 8192) = 4096`, which strace may print in two lines.
_CALL = re.compile(r"(\d+) +(?:pread64\(\d+<([^>]*)>|<\.\.\. pread64 resumed>)")
_END = re.compile(r", (\d+), (\d+)\) += (\d+)$")
COUNTED = ("hits", "misses", "evictions", "bytes_read")


def run(spec: dict[str, Any], prefix: Sequence[str] = ()) -> dict[str, Any]:
    """One run of benchmarks.measure in a process of its own."""
    command = [*prefix, sys.executable, "-m", "benchmarks.measure", json.dumps({"side": "edgemed"} | spec)]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def reads(log: Path, model: ModelFile) -> tuple[int, int]:
    """(reads of an expert that were begun, calls that read weights) in a log of strace.

    A call takes one MiB, or four while other demands wait. So even on one file the number of calls changes a little
    from run to run.
    """
    begins = {
        (int(part), int(offset) // PAGE * PAGE)
        for part, offset in zip(model.experts.part[..., 0].flat, model.experts.offset[..., 0].flat, strict=True)
    }
    files = {str(part.path.resolve()): number for number, part in enumerate(model.parts)}
    first = [
        min((t.offset for t in model.tensors.values() if t.part == number), default=0) for number in files.values()
    ]
    path_of: dict[str, str] = {}  # by thread, of a call whose end comes later
    experts = calls = 0
    for line in log.read_text().splitlines():
        call, end = _CALL.match(line), _END.search(line)
        if call is None:
            continue
        path = path_of[call[1]] = call[2] or path_of[call[1]]
        if end is not None and path in files:
            calls += int(end[2]) >= first[files[path]]
            experts += (files[path], int(end[2])) in begins
    return experts, calls


def replay(model: Path, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Counters of the decoded tokens, reads of the model's files since the start, and the recorded routing."""
    log, trace = folder / "strace", folder / "trace"
    prefix = ["strace", "-f", "-y", "-s", "0", "--seccomp-bpf", "-e", "trace=pread64", "-o", str(log)]
    found = run(spec | {"model": str(model), "settings": STILL, "trace": str(trace)}, prefix)
    begun, calls = reads(log, open_model(model))
    counted = {name: int(found["stats"][name]) for name in COUNTED} | {"expert reads": begun, "calls": calls}
    return counted | {"logits": found["logits"], "routing": trace.read_bytes()}


def main(argv: list[str] | None = None) -> int:
    """Print both comparisons; return 1 if the counters differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__.split("\n")[0])
    parser.add_argument("one", type=Path, help="the model in one file")
    parser.add_argument("parts", type=Path, help="any part of the same model")
    parser.add_argument("--ram", type=parse_size, default=parse_size("3.5GiB"), help="total memory (default 3.5GiB)")
    parser.add_argument("--decode", type=int, default=64, help="tokens (default 64)")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    args = parser.parse_args(argv)
    spec = {"prompt": 0, "warm": 16, "decode": args.decode, "ram_bytes": args.ram}
    with tempfile.TemporaryDirectory() as folder:
        one, parts = (replay(model, spec, Path(folder)) for model in (args.one, args.parts))
    same = all(one[name] == parts[name] for name in (*COUNTED, "expert reads", "routing", "logits"))
    for name in (*COUNTED, "expert reads", "calls"):
        print(f"{name:12} one file {one[name]:>14,}   parts {parts[name]:>14,}")
    print(f"routing and logits {'are the same' if one['routing'] == parts['routing'] else 'DIFFER'}", flush=True)
    rates: dict[Path, list[float]] = {args.one: [], args.parts: []}
    for number in range(args.rounds):
        for model in (args.one, args.parts) if number % 2 == 0 else (args.parts, args.one):
            times = run(spec | {"model": str(model)})["token_s"]
            rates[model].append(len(times) / sum(times))
            print(f"round {number + 1}: {model.name} {rates[model][-1]:.2f} tokens/s", flush=True)
    if args.rounds:
        first, second = (median(found) for found in rates.values())
        print(f"median: one file {first:.2f}, parts {second:.2f} tokens/s, ratio {second / first:.3f}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
