"""Split models in the engine: the same answer and the same reads as from one file, and nothing is joined."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import load_model
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Sampling
from edgemed.errors import ChecksumError, EngineError
from edgemed.model_file import open_model
from testing.engine_probe import Probe, run_probes
from testing.gguf_bytes import Gguf, load
from testing.split_gguf import split, write

pytestmark = pytest.mark.slow

GREEDY = Sampling(temperature=0.0, max_tokens=8, seed=1)
QUESTION = [Message("user", "What is a fever?")]


def text_of(engine: Engine) -> str:
    *_, last = engine.generate(QUESTION, GREEDY)
    assert isinstance(last, Finished)
    return last.text


def cut_experts(gguf: Gguf) -> list[int]:
    """Starts of four parts: a cut among the dense tensors, one inside a layer's experts (in the edgemed layout between
    two experts), and one before the last layer's `down`."""
    names = [tensor.name for tensor in gguf.tensors]
    stacked = "blk.1.ffn_gate_exps.weight" in names
    inside = "blk.1.ffn_up_exps.weight" if stacked else "blk.1.ffn_gate.5.weight"
    last = "blk.2.ffn_down_exps.weight" if stacked else "blk.2.ffn_gate.15.weight"
    return [0, 9, names.index(inside), names.index(last)]


@pytest.fixture(scope="module", params=["edgemed", "llama.cpp"])
def both(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A model, and its four parts."""
    gguf = load(models[request.param])
    return [models[request.param], *write(split(gguf, cut_experts(gguf)), tmp_path_factory.mktemp("parts"))]


def test_parts_compute_the_same_bits_with_the_same_reads(both: list[Path], tmp_path: Path) -> None:
    """In one batch, and token by token with a cache that must evict each layer for the next."""
    whole, first, *_, last = both
    together = Probe(str(whole), tuple(range(20, 60)), still=True)
    one_by_one = replace(together, batches=together.one_by_one, small_cache=True)
    wanted = [together, one_by_one]
    moved = [replace(probe, path=str(path)) for path in (first, last) for probe in wanted]
    expected, evicting, *found = run_probes(tmp_path, *wanted, *moved)
    for answer in found[::2]:
        assert np.array_equal(answer.logits, expected.logits)
    for answer in found[1::2]:
        assert np.array_equal(answer.logits, evicting.logits)
        assert evicting.stats["evictions"] > 100
        for counter in ("hits", "misses", "evictions"):
            assert answer.stats[counter] == evicting.stats[counter], counter
        if "edgemed" in whole.name:  # matrices of the stock layout begin elsewhere in their pages
            assert answer.stats["bytes_read"] == evicting.stats["bytes_read"]


def test_the_parts_themselves_are_open(both: list[Path], tmp_path: Path) -> None:
    """The engine holds descriptors of the parts, and of no other large file."""
    if os.geteuid() != 0:
        pytest.skip("only root can see the descriptors of a process that has locked itself down")
    whole, *parts = both
    before = {path.name for path in tmp_path.iterdir()}
    with Engine.start(parts[1], EngineSettings(threads=1)) as engine:
        opened = [str(entry.readlink()) for entry in Path(f"/proc/{engine.pid}/fd").iterdir()]
        answer = text_of(engine)
    for part in parts:
        assert opened.count(str(part)) == 2, "one descriptor for direct reads, one for others"
    regular = {path for path in opened if Path(path).is_file() and Path(path).stat().st_size > 100_000}
    assert regular == set(map(str, parts))
    assert {path.name for path in tmp_path.iterdir()} == before
    assert sorted(path.name for path in parts[0].parent.iterdir()) == [path.name for path in parts]
    with Engine.start(whole, EngineSettings(threads=1)) as engine:
        assert answer == text_of(engine)


@pytest.fixture
def own_parts(both: list[Path], tmp_path: Path) -> list[Path]:
    return [Path(shutil.copy(path, tmp_path)) for path in both[1:]]


def test_faults_after_opening_name_the_part(own_parts: list[Path]) -> None:
    """The third part is cut while the engine has it open: experts in the others still load."""
    with Engine.start(own_parts[0], EngineSettings(threads=1, ram_bytes=None)) as engine:
        assert text_of(engine)
    model = open_model(own_parts[0])
    damaged = model.dense[-1]
    with own_parts[damaged.part].open("r+b") as file:
        file.seek(damaged.offset)
        byte = file.read(1)[0]
        file.seek(damaged.offset)
        file.write(bytes([byte ^ 1]))
    if not model.verified:
        return
    with pytest.raises(ChecksumError, match=f"tensor {damaged.name} of {own_parts[damaged.part].name} does not match"):
        Engine.start(own_parts[3], EngineSettings(threads=1))


def test_a_part_replaced_while_it_is_opened_is_refused(own_parts: list[Path]) -> None:
    """Its header was read, and now another file has its name."""
    model = open_model(own_parts[0])
    with own_parts[2].open("ab") as file:
        file.write(b"more")
    with pytest.raises(EngineError, match=f"the model file {own_parts[2].name} was changed while it was being opened"):
        load_model(model, LoadSettings(ram_bytes=None, n_ctx=256, threads=1))
