"""How much is lost by converting from a Q8_0 file instead of from the checkpoint?

    python -m benchmarks.gguf_source --data ../shared/data/*.jsonl --json

The demonstration checkpoint, or `--checkpoint FOLDER`, is converted to a stock Q8_0 file, and that file and the
checkpoint are each converted at every number of bits. Both results are compared with the checkpoint in BF16 on the same
passages. `ratio` is the mean KL divergence by way of Q8_0 over that of the direct way, with a 95 % bootstrap interval
over passages. `--calibration FILE` gives both the same statistics.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.convert import Checkpoint, convert, find_source
from edgemed.demo import checkpoint_path
from edgemed.engine.offload import HOST
from edgemed.engine.process.job import run_job
from edgemed.evaluation.metrics import Numbers, ratio_interval
from edgemed.evaluation.readings import MODEL, REFERENCE, Work
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.plan import Plan
from edgemed.quant.planning import Bits, plan_for

BITS = (3.2, 4.5)


def made(source: Path, out: Path, bits: float, statistics: Path | None) -> None:
    """Convert `source` at so many bits per weight, as `edgemed convert` does."""
    with Checkpoint(find_source(str(source))) as checkpoint:
        calibrated = Calibrated.load(statistics, checkpoint.hparams, compensated=True) if statistics else None
        plan = plan_for(Bits(bits), checkpoint.target("edgemed", calibrated), calibrated).plan
        convert(checkpoint, out, plan, calibrated=calibrated)


def divergences(model: Path, folder: Path, common: dict[str, Any]) -> list[Numbers]:
    """KL divergence from the reference at every position of each passage, in nats."""
    run_job(MODEL, {"model": str(model), **common})
    stored = np.load(folder / "scores-0.npz", allow_pickle=False)["divergence"]
    lengths = [passage.positions for passage in Work.load(folder).of_round(0)]
    return np.split(stored, np.cumsum(lengths)[:-1])


def measure(checkpoint: Path, data: Sequence[Path], tokens: int, statistics: Path | None) -> dict[str, Any]:
    """The ratio of divergences for every number of bits."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference, middle = folder / "bf16.gguf", folder / "q8_0.gguf"
        convert(str(checkpoint), reference, Plan.uniform(Type.BF16))
        convert(str(checkpoint), middle, Plan.uniform(Type.Q8_0), layout="llama.cpp")
        common = {"folder": str(folder), "passage": 256, "ram_bytes": None, "threads": None, "round": 0}
        common["offload"] = asdict(HOST)
        first = {"data": [str(path) for path in data], "tokens": tokens, "questions": 0, "room_bytes": 1 << 40}
        run_job(REFERENCE, {"model": str(reference), **first, **common})
        for bits in BITS:
            direct, by_way = folder / f"direct-{bits}.gguf", folder / f"by-way-{bits}.gguf"
            made(checkpoint, direct, bits, statistics)
            made(middle, by_way, bits, statistics)
            theirs, ours = (divergences(model, folder, common) for model in (direct, by_way))
            ratio, low, high = ratio_interval(ours, theirs)
            found[str(bits)] = {
                "direct": float(np.concatenate(theirs).mean()),
                "by way of Q8_0": float(np.concatenate(ours).mean()),
                "ratio": ratio,
                "interval": [low, high],
                "passages": len(ours),
            }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="by default the demonstration checkpoint")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.checkpoint or checkpoint_path(), args.data, args.tokens, args.calibration)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    for bits, one in found.items():
        low, high = one["interval"]
        print(f"{bits} bits: ratio {one['ratio']:.4f} ({low:.4f} to {high:.4f}), {one['passages']} passages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
