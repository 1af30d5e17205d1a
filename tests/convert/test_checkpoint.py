"""A checkpoint is opened once, whatever the command does with it."""

from collections import Counter
from pathlib import Path

import pytest

from edgemed.architectures import Architecture
from edgemed.cli import main
from edgemed.convert.safetensors import read_header
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.quant.planning import Memory
from testing.checkpoints import make_checkpoint
from tests.convert.conftest import UNEVEN


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
    monkeypatch.setattr("edgemed.convert.checkpoint.read_tokenizer", count_tokenizer)
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
