"""A header that differs from what the converter wrote is refused: one byte could change a digit in the vocabulary."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.convert import convert
from edgemed.errors import ModelFileError
from edgemed.model_file import keys, open_model
from edgemed.model_file.header import read_header
from edgemed.model_file.integrity import check
from edgemed.native import xxh3_64
from edgemed.quant.plan import Plan


@pytest.fixture(scope="module")
def model(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "out.gguf"
    convert(str(small), path, Plan.uniform(4.5))
    return path


def test_checksum_matches_the_header_bytes(model: Path) -> None:
    opened = open_model(model)
    content = bytearray(model.read_bytes())
    key = keys.HEADER_CHECKSUM.encode()
    at = content.index(key) + len(key) + 4
    assert int.from_bytes(content[at : at + 8], "little") == opened.metadata[keys.HEADER_CHECKSUM] != 0
    content[at : at + 8] = bytes(8)
    last = list(opened.tensors)[-1].encode()  # its entry ends the header: name, dimensions, type and offset
    end = content.index(last) + len(last) + 4 + 2 * 8 + 4 + 8
    assert opened.metadata[keys.HEADER_CHECKSUM] == xxh3_64(bytes(content[:end]))
    findings = check(opened)
    assert not findings.damaged
    experts, dense = opened.experts.checksum, opened.dense_checksums
    assert experts is not None
    assert dense is not None
    assert (
        findings.checked == experts.size + len(dense) + 3
    )  # plus the header, the digest over all weights and the length


def test_changed_letter_in_the_vocabulary_is_found(model: Path, tmp_path: Path) -> None:
    words = open_model(model).metadata["tokenizer.ggml.tokens"]
    word = max(words, key=len)
    damaged = tmp_path / "m.gguf"
    damaged.write_bytes(model.read_bytes().replace(word.encode(), word[:-1].encode() + b"0", 1))
    with pytest.raises(ModelFileError, match=r"m\.gguf is damaged: its header"):
        open_model(damaged)


@pytest.mark.slow
@settings(max_examples=200)
@given(where=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_any_changed_header_byte_is_found(model: Path, tmp_path: Path, where: float, flipped: int) -> None:
    header = read_header(model).bytes
    at = int(where * len(header))
    damaged = tmp_path / "m.gguf"
    damaged.write_bytes(header[:at] + bytes([header[at] ^ flipped]) + model.read_bytes()[at + 1 :])
    with pytest.raises(ModelFileError):
        open_model(damaged)
