"""Peak memory of a separate process that converts a checkpoint larger than its memory limit."""

import json
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest

from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.model_file import open_model
from testing.checkpoints import make_checkpoint
from tests.convert.conftest import TINY

ALLOWED = 256 << 20
MEASURE = """
import sys
from pathlib import Path
from edgemed.convert import convert
from edgemed.engine.process_memory import peak_rss_bytes
from edgemed.quant.plan import Plan
from gguf import GGMLQuantizationType as Type
convert(sys.argv[1], Path(sys.argv[2]), Plan.uniform(Type.Q8_0), threads=8)
print(peak_rss_bytes())
"""


def sparse_checkpoint(folder: Path) -> int:
    """Write a float32 checkpoint of zeros that takes no disk space; return its size. Some tensors are 200 MB."""
    shape = replace(TINY, hidden_size=1024, intermediate_size=48 << 10)
    make_checkpoint(folder, TINY, shards=1)  # provides the tokenizer
    config = shape.config("f32")
    (folder / "config.json").write_text(json.dumps(config))
    hparams, _ = BailingMoeV2.read_config(Config(config), {})
    tensors = [
        *hparams.dense_tensors(),
        *(m for expert in range(hparams.n_expert) for m in hparams.expert_tensors(1, expert)),
    ]
    header, end = {}, 0
    for tensor in tensors:
        start, end = end, end + 4 * prod(tensor.shape)
        header[tensor.source] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return end


@pytest.mark.slow
def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path) -> None:
    size = sparse_checkpoint(tmp_path / "checkpoint")
    assert size > 2 * ALLOWED
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "checkpoint"), str(tmp_path / "out.gguf")]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < ALLOWED
    assert open_model(tmp_path / "out.gguf").tensors["blk.0.ffn_gate.weight"].nbytes > 50 << 20
    (tmp_path / "out.gguf").unlink()
