"""The size of the residual stream, by which calibration divides entropies, equals that of the reference."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from edgemed.quant.types import Type
from testing import forward
from testing.checkpoints import Shape, make_checkpoint

TOKENS = list(range(30, 70))
READ = """
import json, sys
from pathlib import Path
from edgemed.engine.scoring_model import ScoringModel
from edgemed.model_file import open_model
model = ScoringModel(open_model(Path(sys.argv[1])), passage=64, ram_bytes=None, threads=1, residual=True)
found = []
for tokens in json.loads(sys.argv[2]):
    model.logits(tokens)
    found.append(model.residual.take().tolist())
model.close()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_sizes_of_the_residual_stream(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", Shape(num_hidden_layers=3, max_position_embeddings=512))
    convert(str(checkpoint), tmp_path / "model.gguf", Plan.uniform(Type.F16))
    passages = [TOKENS, TOKENS[:7]]
    command = [sys.executable, "-c", READ, str(tmp_path / "model.gguf"), json.dumps(passages)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert [len(sizes) for sizes in found] == [40, 7]
    model, expected = forward.load(checkpoint), []
    forward.logits(
        model, np.array([TOKENS]), forward.Watch(lambda *_: None, last=lambda x: expected.append((x * x).mean(-1)))
    )
    # The rounding of activations for matmuls changes a token's size slightly.
    assert found[0] == pytest.approx(expected[0][0], rel=0.05)
    assert found[1] == pytest.approx(expected[0][0, :7], rel=0.05)
