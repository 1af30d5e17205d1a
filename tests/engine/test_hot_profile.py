"""The hot profile is stored beside the model, loaded at the start, and never trusted."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.engine.hot_profile import profile_path, read_profile, write_profile

SHAPE = (3, 8)


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "m.gguf"


def test_what_is_written_is_read(model: Path) -> None:
    scores = np.linspace(-9, 0, 24, dtype=np.float32).reshape(SHAPE)
    write_profile(model, scores)
    read = read_profile(model, SHAPE)
    assert read is not None
    assert (read == scores).all()
    assert [p.name for p in model.parent.iterdir()] == ["m.gguf.hot"]


def test_a_missing_profile_is_none(model: Path) -> None:
    assert read_profile(model, SHAPE) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"not numpy at all",
        np.zeros(3, np.float32).tobytes(),
        b"PK\x03\x04" + bytes(60),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8, }"),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 'a')}"),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 999)}"),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8)}") + bytes(1 << 20),
    ],
    ids=["empty", "cut", "foreign", "headless", "zip", "no Python", "no shape", "huge", "long"],
)
def test_a_damaged_profile_is_ignored(model: Path, content: bytes) -> None:
    profile_path(model).write_bytes(content)
    assert read_profile(model, SHAPE) is None


@pytest.mark.parametrize("scores", [np.zeros((2, 8), np.float32), np.zeros(SHAPE), np.full(SHAPE, np.nan, np.float32)])
def test_a_profile_of_another_model_is_ignored(model: Path, scores: np.ndarray) -> None:
    write_profile(model, scores)
    assert read_profile(model, SHAPE) is None


@pytest.mark.slow
@given(data=st.binary(min_size=1, max_size=8), at=st.integers(0, 200))
def test_a_damaged_profile_gives_plausible_scores_or_none(model: Path, data: bytes, at: int) -> None:
    write_profile(model, np.linspace(-9, 0, 24, dtype=np.float32).reshape(SHAPE))
    whole = bytearray(profile_path(model).read_bytes())
    whole[at : at + len(data)] = data
    profile_path(model).write_bytes(whole)
    read = read_profile(model, SHAPE)
    assert read is None or (read.shape == SHAPE and np.isfinite(read).all() and read.max() < 1e6)


def test_a_pipe_is_not_waited_for(model: Path) -> None:
    os.mkfifo(profile_path(model))
    assert read_profile(model, SHAPE) is None


def test_an_impossible_number_of_uses_is_ignored(model: Path) -> None:
    write_profile(model, np.full(SHAPE, 1100, np.float32))
    assert read_profile(model, SHAPE) is None


def test_objects_are_never_unpickled(model: Path) -> None:
    with profile_path(model).open("wb") as file:
        np.save(file, np.array([[print]], dtype=object), allow_pickle=True)
    assert read_profile(model, SHAPE) is None


def test_an_unwritable_folder_is_not_an_error(tmp_path: Path) -> None:
    write_profile(tmp_path / "gone" / "m.gguf", np.zeros(SHAPE, np.float32))


def test_an_incomplete_write_leaves_nothing_behind(model: Path) -> None:
    profile_path(model).mkdir()  # a folder cannot be replaced by a file
    write_profile(model, np.zeros(SHAPE, np.float32))
    assert [p.name for p in model.parent.iterdir()] == ["m.gguf.hot"]
