"""Stored weights become float32: every code of every format, and FP8's block scales exact to the last bit."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.convert.floats import E4M3, apply_block_scales, to_float32
from edgemed.convert.shards import Shards
from edgemed.errors import CheckpointError
from testing.checkpoints import Tensor, write_shards
from testing.number_formats import encode_bf16, quantise_fp8_blocks


def e4m3(code: int) -> float:
    """Return the value of one FP8 code from the format's definition, in Python arithmetic."""
    sign, exponent, mantissa = code >> 7, (code >> 3) & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return math.nan
    size = (8 + mantissa) * 2.0 ** (exponent - 10) if exponent else mantissa * 2.0**-9
    return -size if sign else size


def test_every_fp8_code() -> None:
    for code in range(256):
        value, wanted = float(E4M3[code]), e4m3(code)
        assert (math.isnan(value) and math.isnan(wanted)) or (
            value == wanted and math.copysign(1, value) == math.copysign(1, wanted)
        )


def test_every_bf16_and_f16_code() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    brain = to_float32(codes.view(np.uint8), "BF16")
    assert np.array_equal(brain.view(np.uint32), codes.astype(np.uint32) << 16)
    half = to_float32(codes.view(np.uint8), "F16")
    assert np.array_equal(half, codes.view(np.float16).astype(np.float32), equal_nan=True)


@settings(max_examples=30)
@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    first=st.integers(0, 299),
    count=st.integers(1, 300),
    seed=st.integers(0, 99),
)
def test_block_scales_equal_a_float64_computation(rows: int, columns: int, first: int, count: int, seed: int) -> None:
    """Any range of rows, aligned to blocks or not, is the float64 product rounded once."""
    first, count = first % rows, min(count, rows - first % rows)
    random = np.random.default_rng(seed)
    codes = random.choice(np.array([c for c in range(256) if c & 0x7F != 0x7F], np.uint8), (rows, columns))
    scales = random.lognormal(-5, 2, (-(-rows // 128), -(-columns // 128))).astype(np.float32)
    values = to_float32(codes[first : first + count].ravel(), "F8_E4M3").reshape(count, columns)
    apply_block_scales(values, scales, (128, 128), first)
    for row in range(count):
        for column in range(0, columns, 37):
            exact = e4m3(int(codes[first + row, column])) * float(scales[(first + row) // 128, column // 128])
            assert values[row, column] == np.float32(exact)


def checkpoint(folder: Path, tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    write_shards(folder, tensors, 1)
    return folder


def test_ranges_of_every_dtype(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((300, 130)).astype(np.float32)
    codes, scale = quantise_fp8_blocks(values)
    tensors: dict[str, Tensor] = {
        "f32": ("F32", values),
        "f16": ("F16", values.astype(np.float16)),
        "bf16": ("BF16", encode_bf16(values)),
        "fp8": ("F8_E4M3", codes),
        "fp8_scale_inv": ("F32", scale),
        "vector": ("F32", values[0]),
    }
    with Shards(checkpoint(tmp_path, tensors)) as shards:
        assert set(shards.tensors) == {"f32", "f16", "bf16", "fp8", "vector"}
        for name in ("f32", "f16", "bf16", "fp8"):
            whole = shards.read(name, 0, 300)
            assert np.array_equal(shards.read(name, 100, 60), whole[100:160])
            assert np.abs(whole - values).max() < {"f32": 1e-9, "f16": 3e-3, "bf16": 2e-2, "fp8": 0.3}[name]
        assert np.array_equal(shards.read("vector", 0, 1), values[:1])


@pytest.mark.parametrize(("dtype", "bad"), [("F32", np.nan), ("F32", -np.inf), ("F16", np.inf), ("BF16", np.nan)])
def test_nan_and_infinite_values_name_their_tensor(tmp_path: Path, dtype: str, bad: float) -> None:
    values = np.zeros((8, 8), np.float32)
    values[5, 3] = bad
    codes = {"F32": values, "F16": values.astype(np.float16), "BF16": (values.view(np.uint32) >> 16).astype(np.uint16)}
    with Shards(checkpoint(tmp_path, {"model.w": (dtype, codes[dtype])})) as shards:
        shards.read("model.w", 0, 5)
        with pytest.raises(CheckpointError, match=r"The tensor model\.w holds NaN or infinite values"):
            shards.read("model.w", 5, 1)


def test_fp8_that_overflows_or_is_nan_is_refused(tmp_path: Path) -> None:
    huge: dict[str, Tensor] = {
        "w": ("F8_E4M3", np.full((2, 2), 0x7E, np.uint8)),
        "w_scale_inv": ("F32", np.full((1, 1), 3e38, np.float32)),
    }
    with Shards(checkpoint(tmp_path / "huge", huge)) as shards, pytest.raises(CheckpointError, match="infinite"):
        shards.read("w", 0, 2)
    nan: dict[str, Tensor] = {
        "w": ("F8_E4M3", np.full((2, 2), 0xFF, np.uint8)),
        "w_scale_inv": ("F32", np.ones((1, 1), np.float32)),
    }
    with Shards(checkpoint(tmp_path / "nan", nan)) as shards, pytest.raises(CheckpointError, match="NaN"):
        shards.read("w", 0, 2)


@pytest.mark.parametrize("scale", [None, ("F32", np.ones((2, 1), np.float32)), ("F8_E4M3", np.ones((1, 1), np.uint8))])
def test_fp8_needs_its_scales(tmp_path: Path, scale: Tensor | None) -> None:
    tensors: dict[str, Tensor] = {"w": ("F8_E4M3", np.ones((128, 128), np.uint8))}
    if scale is not None:
        tensors["w_scale_inv"] = scale
    with pytest.raises(CheckpointError, match=r"w_scale_inv|scales of w"):
        Shards(checkpoint(tmp_path, tensors))
