"""A checkpoint is opened once, whatever the command does with it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed.architectures import Architecture
from edgemed.cli import main
from edgemed.convert import Checkpoint, convert, find_source
from edgemed.convert.safetensors import read_header
from edgemed.convert.shards import INDEX
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import CheckpointError
from edgemed.quant.plan import Plan
from edgemed.quant.planning import Memory
from testing.checkpoints import make_checkpoint, write_safetensors
from tests.convert.conftest import TINY, UNEVEN


@pytest.mark.slow
@pytest.mark.parametrize("goal", [["--ram", "1GiB"], ["--size", "30MiB"]])
def test_a_command_opens_its_checkpoint_once(
    statistics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: list[str]
) -> None:
    """Every shard's header and the tokenizer are read once, however many plans are compared."""
    headers, tokenizers = Counter[str](), Counter[str]()

    def count_header(path: Path) -> object:
        headers[path.name] += 1
        return read_header(path)

    def count_tokenizer(folder: Path, hparams: Architecture) -> object:
        tokenizers[folder.name] += 1
        return read_tokenizer(folder, hparams)

    monkeypatch.setattr("edgemed.convert.shards.read_header", count_header)
    monkeypatch.setattr("edgemed.convert.checkpoint_folder.read_tokenizer", count_tokenizer)
    unmeasured = Memory(lambda saved, embedding: (3.0, 5.0), 3.0)
    monkeypatch.setattr("edgemed.commands._memory_goal.memory_goal", lambda *asked: unmeasured)
    for name, shards in (("one", 1), ("many", 3)):
        folder = make_checkpoint(tmp_path / name, UNEVEN, shards=shards)
        words = ["convert", str(folder), "-o", str(tmp_path / f"{name}.gguf"), *goal]
        assert main([*words, "--calibration", str(statistics), "--quick"]) == 0
        assert headers == {path.name: 1 for path in folder.glob("*.safetensors")}
        assert tokenizers == {name: 1}
        headers.clear()
        tokenizers.clear()


ADDED = {
    "model.layers.0.attention.masked_bias": ("F32", np.zeros((), np.float32)),
    "position_ids": ("I64", np.arange(8)),
    "mask": ("BOOL", np.ones((4, 4), np.bool_)),
    "model.layers.0.attention.rotary_emb.inv_freq": ("F32", np.ones(16, np.float32)),
    "empty": ("BF16", np.zeros((0, 64), np.uint16)),
    "packed": ("U8", np.zeros(7, np.uint8)),
}


def add_tensors(folder: Path, added: dict[str, tuple[str, Any]], *, indexed: bool) -> Path:
    """Add a shard with these tensors, and a line for each to the index, or put them into the last shard only."""
    index = json.loads((folder / INDEX).read_text())
    if indexed:
        write_safetensors(folder / "more.safetensors", added)
        index["weight_map"] |= dict.fromkeys(added, "more.safetensors")
        (folder / INDEX).write_text(json.dumps(index))
        return folder
    shard = folder / "model-00002-of-00002.safetensors"
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    for name, (dtype, values) in added.items():
        offsets = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header).encode()
    shard.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [True, False])
def test_tensors_that_hold_no_weights_are_left_out(tmp_path: Path, indexed: bool) -> None:
    plain = make_checkpoint(tmp_path / "plain", TINY)
    folder = add_tensors(make_checkpoint(tmp_path / "more", TINY), ADDED, indexed=indexed)
    first, second = (
        convert(str(source), tmp_path / f"{source.name}.gguf", Plan.uniform(4.5)) for source in (plain, folder)
    )
    assert first.weights_digest == second.weights_digest
    left_out = [note for note in second.notes if "hold no weights are left out: 6, such as empty" in note]
    assert len(left_out) == indexed


def test_an_unknown_matrix_is_still_refused(tmp_path: Path) -> None:
    added = {**ADDED, "model.layers.1.attention.gate.weight": ("F32", np.ones((4, 4), np.float32))}
    folder = add_tensors(make_checkpoint(tmp_path / "c", TINY), added, indexed=True)
    with pytest.raises(CheckpointError, match=r"has 1 tensors that config.json does not account for, such as model"):
        Checkpoint(find_source(str(folder)))


@pytest.mark.parametrize(("dtype", "kind"), [("F64", np.float64), ("I8", np.int8), ("F8_E5M2", np.uint8)])
def test_a_tensor_that_is_used_is_judged(tmp_path: Path, dtype: str, kind: type) -> None:
    folder = make_checkpoint(tmp_path / "c", TINY)
    norm = {"model.norm.weight": (dtype, np.ones(TINY.hidden_size, kind))}
    with pytest.raises(CheckpointError, match=f"The tensor model.norm.weight is stored as {dtype}, but edgemed conv"):
        Checkpoint(find_source(str(add_tensors(folder, norm, indexed=True))))
