"""Importance matrices in llama.cpp's older format are read, and nothing else is taken for one."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.errors import CalibrationError
from edgemed.quant.imatrix_dat import read_dat
from testing.imatrix_dat import Entries, encode_dat

LAYERS, EXPERTS, EMBD, FF = (1, 2), 3, 8, 4
SHAPE = (LAYERS, EXPERTS, EMBD, FF, "d")


def entries(calls: int = 5) -> Entries:
    random = np.random.default_rng(0)
    found: Entries = {"blk.0.ffn_up.weight": (calls, random.random(EMBD))}
    for layer in LAYERS:
        for name, width in (("gate", EMBD), ("up", EMBD), ("down", FF)):
            found[f"blk.{layer}.ffn_{name}_exps.weight"] = (calls, random.random((EXPERTS, width)))
    return found


@pytest.mark.parametrize("ending", [b"", struct.pack("<ii", 100, 9) + b"texts.txt", struct.pack("<i", 100)])
def test_sums_are_read(tmp_path: Path, ending: bytes) -> None:
    made = entries()
    (tmp_path / "i.dat").write_bytes(encode_dat(made, ending))
    found = read_dat(tmp_path / "i.dat", *SHAPE)
    assert (found.tokens == 5).all()
    assert (found.share == found.tokens).all()
    for moe_layer, layer in enumerate(LAYERS):
        gate, down = (made[f"blk.{layer}.ffn_{name}_exps.weight"][1] for name in ("gate", "down"))
        assert found.input_squares[moe_layer] == pytest.approx(gate.astype(np.float32))
        assert found.inner_squares[moe_layer] == pytest.approx(down.astype(np.float32))


@pytest.mark.parametrize("filler", [0.0, 7.0])
def test_experts_without_data_have_no_tokens(tmp_path: Path, filler: float) -> None:
    made = entries(calls=7)
    for name, (_, values) in made.items():
        if "_exps" in name:
            values[1] = filler
    (tmp_path / "i.dat").write_bytes(encode_dat(made))
    found = read_dat(tmp_path / "i.dat", *SHAPE)
    assert (found.tokens[0] == [7, 0, 7]).all()
    assert not found.input_squares[:, 1].any()


def broken(name: str, calls: int = 5, width: int = EMBD, value: float = 1.5) -> bytes:
    made = entries()
    made[name] = (calls, np.full((EXPERTS, width), value))
    return encode_dat(made)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (broken("blk.2.ffn_gate_exps.weight", width=EMBD + 1), "has no blk.2.ffn_gate_exps.weight of 3 x 8 numbers"),
        (broken("blk.1.ffn_down_exps.weight"), "has no blk.1.ffn_down_exps.weight of 3 x 4 numbers"),
        (encode_dat({"blk.1.attn.weight": (1, np.ones(3))}), "has no blk.1.ffn_gate_exps.weight"),
        (broken("blk.1.ffn_gate_exps.weight", value=-1.0), "cannot be sums of squares"),
        (broken("blk.1.ffn_gate_exps.weight", value=np.nan), "cannot be sums of squares"),
        (broken("blk.1.ffn_gate_exps.weight", value=np.inf), "cannot be sums of squares"),
        (broken("blk.1.ffn_gate_exps.weight", calls=0), "is neither statistics of `edgemed calibrate` nor"),
        (encode_dat(entries())[:-1], "is neither statistics"),
        (b"", "is neither statistics"),
        (b"{}", "is neither statistics"),
        (struct.pack("<ii", 1, 1 << 30), "is neither statistics"),
        (struct.pack("<i", -1), "is neither statistics"),
        (struct.pack("<ii4sii", 1, 4, b"name", 1, (1 << 31) - 1), "is neither statistics"),
        (struct.pack("<ii4sii", 1, 4, b"\xff\xfe\xfd\xfc", 1, 1) + bytes(4), "is neither statistics"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "i.dat").write_bytes(content)
    with pytest.raises(CalibrationError) as caught:
        read_dat(tmp_path / "i.dat", *SHAPE)
    assert words in str(caught.value)


@settings(max_examples=100)
@given(at=st.integers(0, 200), byte=st.integers(0, 255), cut=st.integers(0, 100))
def test_damaged_files_are_read_or_refused(tmp_path: Path, at: int, byte: int, cut: int) -> None:
    content = bytearray(encode_dat(entries()))
    content[at] = byte
    (tmp_path / "i.dat").write_bytes(content[: len(content) - cut])
    try:
        found = read_dat(tmp_path / "i.dat", *SHAPE)
    except CalibrationError:
        return
    assert np.isfinite(found.input_squares).all()
