"""Write edgemed/demo_plan.json: the types of the demonstration checkpoint's experts.

    .venv/bin/python recipes/demo_plan.py

The rule uses no measurements. In every layer, the quarter of experts with the longest router rows gets more bits,
because the router can favour them most, and the quarter with the shortest rows gets fewer. The down projection gets one
step more than gate and up, because nothing dampens its errors.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.convert.shards import Shards
from edgemed.quant.plan import Plan

LAYERS, EXPERTS = range(1, 7), 16  # the last layer is the MTP layer
QUARTERS = (
    (Type.Q3_K, Type.Q3_K, Type.Q4_K),
    (Type.Q4_K, Type.Q4_K, Type.Q5_K),
    (Type.Q4_K, Type.Q4_K, Type.Q5_K),
    (Type.Q5_K, Type.Q5_K, Type.Q6_K),
)
PACKAGE = Path(__file__).parents[1] / "edgemed"


def main() -> None:
    types = {}
    with Shards(PACKAGE / "demo_checkpoint") as shards:
        for layer in LAYERS:
            router = shards.read(f"model.layers.{layer}.mlp.gate.weight", 0, EXPERTS).reshape(EXPERTS, -1)
            for rank, expert in enumerate(np.argsort(np.linalg.norm(router, axis=1))):
                for projection, chosen in enumerate(QUARTERS[rank * len(QUARTERS) // EXPERTS]):
                    types[layer, int(expert), projection] = chosen
    (PACKAGE / "demo_plan.json").write_text(Plan.of_types(types).text + "\n")


if __name__ == "__main__":
    main()
