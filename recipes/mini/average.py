"""Average two checkpoints: the result is the weighted mean of their weights.

    python average.py --out runs/average FIRST SECOND --second-share 0.75

A run that continues from a checkpoint on other data forgets a little of what the checkpoint knew. If both lie in one
basin of the loss, a point between them is often better than either (Wortsman et al. 2022). Choose the weight of the
second on the calib split, never on the eval split. Tensors that only the second has (an MTP layer) are copied.
"""

import argparse
from pathlib import Path

from checkpoint import load, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="checkpoint folder")
    parser.add_argument("second", type=Path, help="checkpoint folder of a run continued from the first")
    parser.add_argument("--second-share", type=float, default=0.75)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = load(args.second)
    first, mixed = load(args.first).state_dict(), model.state_dict()
    for name, value in first.items():
        mixed[name].lerp_(value, 1 - args.second_share)  # in place, in the model's own tensors
    save(model, args.out, args.second)


if __name__ == "__main__":
    main()
