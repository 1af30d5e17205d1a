"""Damaged and inconsistent files in the whole engine: a sentence names the fault, and no process dies."""

import time
from pathlib import Path

import pytest

from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Sampling
from edgemed.errors import ChecksumError, EngineDied, EngineError, ModelFileError
from edgemed.model_file import open_model
from testing.gguf_bytes import Kind, load

QUESTION = [Message("user", "What is a fever?")]
SHORT = Sampling(max_tokens=4, seed=1)


def flip(path: Path, offset: int) -> None:
    """Flip one bit; a second call restores it."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


@pytest.fixture
def own_copy(model_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(model_path.read_bytes())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("projection", [0, 1, 2])
def test_a_flipped_bit_in_an_expert_is_named_and_the_process_lives(own_copy: Path, projection: int) -> None:
    """Every expert of the last layer is damaged, so every token needs one. Once mended, the same process answers."""
    model = open_model(own_copy)
    experts = model.experts
    places = [int(at) for at in experts.offset[-1, :, projection] + experts.nbytes[-1, :, projection] // 2]
    for place in places:
        flip(own_copy, place)
    with Engine.start(own_copy, EngineSettings(threads=1)) as engine:
        process = engine.pid
        with pytest.raises(EngineError, match=rf"Expert \d+ of layer {experts.layers[-1]} .*checksum.*\.$"):
            list(engine.generate(QUESTION, SHORT))
        assert engine.alive
        for place in places:
            flip(own_copy, place)
        *_, last = engine.generate(QUESTION, SHORT)
        assert isinstance(last, Finished)
        assert last.tokens == 4
        assert engine.pid == process


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token_embd.weight", "blk.1.ffn_gate_inp.weight", "output_norm.weight"])
def test_a_flipped_bit_in_a_dense_tensor_is_named(own_copy: Path, name: str) -> None:
    tensor = open_model(own_copy).tensors[name]
    flip(own_copy, tensor.offset + tensor.nbytes - 1)
    with pytest.raises(ChecksumError, match=name):
        Engine.start(own_copy, EngineSettings(threads=1))


NAMES = [f"token {number}" for number in range(766)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, ["the same"] * 768)),
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, ["a", "b", "c"])),
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, ["", "[EMPTY_0]", *NAMES])),
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, ["same\0one", "same\0other", *NAMES])),
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, ["\n" * 100_000, "one", *NAMES])),
        ("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.U32, [*range(768)])),
        ("tokenizer.ggml.model", Kind.STRING, "llama"),
        ("tokenizer.ggml.model", Kind.STRING, "none"),
        ("tokenizer.ggml.model", Kind.U32, 3),
        ("tokenizer.ggml.merges", Kind.U32, 1),
        ("tokenizer.ggml.pre", Kind.STRING, "no such thing"),
        ("bailingmoe2.attention.value_length", Kind.U32, 3),
        ("bailingmoe2.expert_shared_count", Kind.U32, 2),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_and_nothing_dies(
    models: dict[str, Path], tmp_path: Path, key: str, kind: Kind, value: object
) -> None:
    gguf = load(models["llama.cpp"])  # its header has no checksum
    gguf.set_key(key, kind, value)
    path = tmp_path / "contradiction.gguf"
    path.write_bytes(gguf.encode())
    with pytest.raises((ModelFileError, EngineError)) as caught:
        Engine.start(path, EngineSettings(threads=1))
    assert not isinstance(caught.value, EngineDied)
    assert str(caught.value).endswith(".")


@pytest.mark.slow
def test_a_very_long_name_is_harmless(models: dict[str, Path], tmp_path: Path) -> None:
    """libllama writes the name to its log, in which we search."""
    gguf = load(models["llama.cpp"])
    gguf.set_key("general.name", Kind.STRING, "x" * 100_000)
    path = tmp_path / "named.gguf"
    path.write_bytes(gguf.encode())
    started = time.monotonic()
    Engine.start(path, EngineSettings(threads=1)).close()
    assert time.monotonic() - started < 15
