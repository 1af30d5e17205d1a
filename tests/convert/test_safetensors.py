"""Invalid shard headers, and the folder around them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.convert.json_files import read_json
from edgemed.convert.safetensors import MAX_HEADER_BYTES, read_header
from edgemed.convert.shards import INDEX, Shards
from edgemed.errors import CheckpointError
from testing.checkpoints import make_checkpoint, write_safetensors, write_shards

GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def write(path: Path, header: bytes, data: bytes = bytes(16), length: int | None = None) -> Path:
    path.write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header + data)
    return path


def test_well_formed_header_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", json.dumps({"__metadata__": {}, "w": GOOD}).encode())
    tensor = read_header(path).tensors["w"]
    assert (tensor.dtype, tensor.shape, tensor.nbytes) == ("F32", (2, 2), 16)
    assert tensor.offset == path.stat().st_size - 16


@pytest.mark.parametrize(
    "changed",
    [
        {"data_offsets": [0, 15]},
        {"data_offsets": [16, 0]},
        {"data_offsets": [-16, 0]},
        {"data_offsets": [0, 16, 32]},
        {"data_offsets": [16, 32]},
        {"data_offsets": "0-16"},
        {"shape": [2, -2]},
        {"shape": [2.0, 2]},
        {"shape": []},
        {"shape": [0, 4]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [1] * 9},
        {"shape": [True, 4]},
    ],
)
def test_wrong_tensor_description_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = write(tmp_path / "a.safetensors", json.dumps({"w": GOOD | changed}).encode())
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        read_header(path)


@pytest.mark.parametrize("dtype", [None, [], {}, 7, "F64", "I8", "F4"])
def test_a_dtype_that_does_not_fit_its_bytes_is_refused(tmp_path: Path, dtype: object) -> None:
    path = write(tmp_path / "a.safetensors", json.dumps({"w": GOOD | {"dtype": dtype}}).encode())
    with pytest.raises(CheckpointError, match="damaged or cut short: its header gives w"):
        read_header(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "nbytes"),
    [
        ("F32", [], 4),
        ("I64", [], 8),
        ("BOOL", [3], 3),
        ("U8", [2, 2, 2], 8),
        ("F32", [0, 4], 0),
        ("BF16", [4, 0], 0),
        ("F4", [4, 8], 16),
        ("F6_E2M3", [4, 4], 12),
        ("F8_E8M0", [5], 5),
        ("F64", [2], 16),
        ("C64", [1], 8),
        ("U16", [1] * 9, 2),
        ("A_DTYPE_OF_TOMORROW", [9, 9], 13),
    ],
)
def test_every_legal_tensor_is_read(tmp_path: Path, dtype: str, shape: list[int], nbytes: int) -> None:
    header = {"w": GOOD, "other": {"dtype": dtype, "shape": shape, "data_offsets": [16, 16 + nbytes]}}
    path = write(tmp_path / "a.safetensors", json.dumps(header).encode(), bytes(16 + nbytes))
    found = read_header(path).tensors["other"]
    assert (found.dtype, found.shape, found.nbytes) == (dtype, tuple(shape), nbytes)


def test_git_lfs_pointers_are_named(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(pointer)
    for read in (read_header, read_json):
        with pytest.raises(CheckpointError, match=r"is a Git LFS pointer .* `git lfs pull`"):
            read(tmp_path / ("model.safetensors" if read is read_header else "tokenizer.json"))


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"", 0),
        (b"{}", 3),
        (b"[]", None),
        (b"{", None),
        (b'{"w": 1}', None),
        (b'{"w": {}, "w": {}}', None),
        (b"[" * 100_000, None),
        (b"\xff\xfe", None),
        (b"{}", MAX_HEADER_BYTES + 1),
        (b"{}", (1 << 64) - 1),
    ],
)
def test_broken_header_is_refused(tmp_path: Path, header: bytes, length: int | None) -> None:
    path = write(tmp_path / "a.safetensors", header, b"", length)
    with pytest.raises(CheckpointError):
        read_header(path)


@settings(max_examples=60)
@given(cut=st.integers(0, 400), flip=st.integers(0, 400), bit=st.integers(0, 7))
def test_damaged_headers_are_read_safely_or_refused(tmp_path: Path, cut: int, flip: int, bit: int) -> None:
    """Whichever bytes change, the reader returns tensors inside the file or raises a CheckpointError."""
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {f"w{n}": ("F32", np.ones((2, 3), np.float32)) for n in range(3)})
    content = bytearray(path.read_bytes())
    content[flip % len(content)] ^= 1 << bit
    path.write_bytes(content[: len(content) - cut % len(content)])
    try:
        header = read_header(path)
    except CheckpointError:
        return
    assert all(t.offset >= 8 and t.offset + t.nbytes <= header.size_bytes for t in header.tensors.values())


@pytest.mark.parametrize(
    "shard", ["../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "a.bin", "a\\b"]
)
def test_index_may_not_leave_the_folder(tmp_path: Path, shard: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(CheckpointError, match=r"not a \.safetensors file inside the folder"):
        Shards(tmp_path)


@pytest.mark.parametrize("shard", ["x" * 300 + ".safetensors", "\0.safetensors"], ids=["long", "nul"])
def test_impossible_file_name_is_a_missing_shard(tmp_path: Path, shard: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(CheckpointError, match="is missing from"):
        Shards(tmp_path)


def test_errors_name_missing_and_truncated_shards(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint")
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"The shard model-00002-of-00002\.safetensors is damaged or cut short"):
        Shards(folder)
    shard.unlink()
    with pytest.raises(CheckpointError, match=r"The shard model-00002-of-00002\.safetensors is missing"):
        Shards(folder)


def test_error_names_a_tensor_missing_from_its_shard(tmp_path: Path) -> None:
    write_shards(tmp_path, {name: ("F32", np.ones((4, 4), np.float32)) for name in "ab"}, 2)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["c"] = index["weight_map"]["a"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="The tensor c is missing"):
        Shards(tmp_path)


def test_shard_truncated_while_reading_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"w": ("F32", np.ones((4, 4), np.float32))}, 1)
    with Shards(tmp_path) as shards:
        path = tmp_path / "model.safetensors"
        shards.read("w", 0, 4)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(CheckpointError, match="became shorter"):
            shards.read("w", 0, 4)
