"""The layout of scales and codes in ggml's blocks, so that codes can be chosen under ggml's own scales.

ggml's quantisers choose scales and round each weight independently. Error compensation (compensate.py) keeps the scales
and chooses other codes. A weight is `scale * value(code) - offset`. K-quants code each weight as an integer, IQ4_XS as
one of 16 unequal steps. IQ3_S and the IQ2 types code 4 and 8 weights at once, as a point of a codebook and a sign for
each weight. Codebooks are read from the installed ggml by dequantising every code once, so no table is kept here.

Each class names the fields of its block in order, with their bytes in brackets; d is the F16 scale of the block, as in
the C structs of llama.cpp's ggml-common.h.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Bytes, Floats
from edgemed.ggml import ggml
from edgemed.native.compensate import BLOCK as WEIGHTS
from edgemed.native.compensate import Codebook
from edgemed.quant.bit_fields import Codes, f16_at, fields, pack, pack_halves, spread, without_offset


class Codec(Protocol):
    """One type's codes. `blocks` are [blocks, bytes], weights [blocks, 256], codes [blocks, 256 / group]."""

    @property
    def book(self) -> Codebook:
        """The values that codes stand for."""

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        """(scale, offset) of every weight, [blocks, 256] each."""

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        """Copies of the blocks with these codes and their own scales."""


def codec(type_: Type) -> Codec | None:
    """The codec of a type, or None if it has none, so that its codes cannot be compensated."""
    return _CODECS.get(type_)


class _Integers:
    """Types whose weight is scale * code - offset, with integer codes from low to high."""

    low: int
    high: int

    @property
    def book(self) -> Codebook:
        return Codebook(low=self.low, high=self.high)


class _Q2K(_Integers):
    """scales[16] (low nibble scale, high nibble minimum), codes[64], d, dmin."""

    low, high = 0, 3

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        nibbles = fields(blocks[:, :16], 4)
        return spread(f16_at(blocks, 80) * nibbles[:, 0]), spread(f16_at(blocks, 82) * nibbles[:, 1])

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        out[:, 16:80] = pack_halves(codes, 2)
        return out


class _Q3K(_Integers):
    """high bits[32], low bits[64], 16 scales of 6 bits in 12 bytes, d."""

    low, high = -4, 3

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        lower = fields(blocks[:, 96:104], 4).reshape(-1, 16)
        upper = fields(blocks[:, 104:108], 2).reshape(-1, 16)
        return without_offset(f16_at(blocks, 108) * ((lower | upper << 4).astype(np.float32) - 32))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        raised = codes + 4
        out[:, :32] = pack((raised >> 2).reshape(-1, 8, 32), 1)
        out[:, 32:96] = pack_halves(raised & 3, 2)
        return out


class _Q4K(_Integers):
    """d, dmin, 8 scales and 8 minima of 6 bits in 12 bytes, codes[128]."""

    low, high = 0, 15

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        first, second, third = (blocks[:, at : at + 4] for at in (4, 8, 12))
        scale = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
        minimum = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
        return spread(f16_at(blocks, 0) * scale), spread(f16_at(blocks, 2) * minimum)

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        out[:, 16:144] = pack(codes.reshape(-1, 2, 32), 4).reshape(len(codes), -1)
        return out


class _Q5K(_Q4K):
    """As Q4_K, with the codes' fifth bits[32] before their low nibbles[128]."""

    high = 31

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        out[:, 16:48] = pack((codes >> 4).reshape(-1, 8, 32), 1)
        out[:, 48:176] = pack((codes & 15).reshape(-1, 2, 32), 4).reshape(len(codes), -1)
        return out


class _Q6K(_Integers):
    """low nibbles[128], high pairs of bits[64], signed scales[16], d."""

    low, high = -32, 31

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        return without_offset(f16_at(blocks, 208) * np.ascontiguousarray(blocks[:, 192:208]).view(np.int8))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        raised = codes + 32
        out[:, :128] = pack((raised & 15).reshape(-1, 2, 64), 4).reshape(len(codes), -1)
        out[:, 128:192] = pack_halves(raised >> 4, 2)
        return out


class _IQ4XS:
    """d, high bits of 8 scales[2], their low nibbles[4], codes[128], each one of 16 unequal steps."""

    @property
    def book(self) -> Codebook:
        return Codebook(values=_steps_of_iq4_xs())

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        lower = fields(blocks[:, 4:8], 4).transpose(0, 2, 1).reshape(-1, 8)
        upper = fields(blocks[:, 2:4], 2).transpose(0, 2, 1).reshape(-1, 8)
        return without_offset(f16_at(blocks, 0) * ((lower | upper << 4).astype(np.float32) - 32))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        out[:, 8:136] = pack(codes.reshape(-1, 2, 16), 4).reshape(len(codes), -1)
        return out


@functools.cache
def _steps_of_iq4_xs() -> Floats:
    """The 16 values, read from ggml with every scale set to 1."""
    block = np.zeros((1, 136), np.uint8)
    block[:, :2] = np.array([1.0], np.float16).view(np.uint8)
    block[:, 2:4], block[:, 4:8] = 0xAA, 0x11  # stored scales are 33, which stands for 33 - 32 = 1
    codes = np.tile(np.arange(16, dtype=np.int32), 16)[None]
    return ggml().dequantise(Type.IQ4_XS, _IQ4XS().write(block, codes), WEIGHTS)[0, :16]


class _Points:
    """Types that code `group` weights as a point of a codebook and their signs: code = point * 2^group + signs."""

    group: int
    type: Type
    even = False  # whether the eighth sign is not stored, but follows from an even number of negative signs

    @property
    def book(self) -> Codebook:
        return Codebook(group=self.group, values=_points(self.type), even=self.even)


@functools.cache
def _points(type_: Type) -> Floats:
    """Every point of the codebook at scale 1, [group, points], read from ggml: a block holds 256 / group of them."""
    chosen = _CODECS[type_]
    assert isinstance(chosen, _IQ2XXS | _IQ2XS | _IQ2S | _IQ3S)
    count = 1 << chosen.index_bits
    codes = (np.arange(count, dtype=np.int32) << chosen.group).reshape(-1, WEIGHTS // chosen.group)
    blocks = np.zeros((len(codes), chosen.bytes), np.uint8)
    blocks[:, :2] = np.array([1.0], np.float16).view(np.uint8)
    blocks = chosen.write(blocks, codes)
    weights = ggml().dequantise(type_, blocks, WEIGHTS)
    scale, _ = chosen.scales(blocks)
    return np.ascontiguousarray((weights / scale).reshape(count, chosen.group).T)


class _IQ2S(_Points):
    """d, low bytes of points[32], signs[32], two high bits of points[8], a nibble of scale for each 16 weights[8]."""

    group, index_bits, bytes, type = 8, 10, 82, Type.IQ2_S

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        nibbles = fields(blocks[:, 74:82], 4).transpose(0, 2, 1).reshape(-1, 16)
        return without_offset(f16_at(blocks, 0) * (nibbles.astype(np.float32) + np.float32(0.5)) * np.float32(0.25))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out, point = blocks.copy(), codes >> 8
        out[:, 2:34], out[:, 34:66] = point & 255, codes & 255
        out[:, 66:74] = pack((point >> 8).reshape(-1, 8, 4).transpose(0, 2, 1), 2)
        return out


class _IQ2XS(_Points):
    """d, 32 codes of 16 bits (9 of the point, 7 of the signs)[64], a nibble of scale for each 16 weights[8]."""

    group, index_bits, bytes, type, even = 8, 9, 74, Type.IQ2_XS, True

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        nibbles = fields(blocks[:, 66:74], 4).transpose(0, 2, 1).reshape(-1, 16)
        return without_offset(f16_at(blocks, 0) * (nibbles.astype(np.float32) + np.float32(0.5)) * np.float32(0.25))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        out[:, 2:66] = (codes >> 8 | (codes & 127) << 9).astype("<u2").view(np.uint8)
        return out


class _IQ2XXS(_Points):
    """d, then for each 32 weights 4 points[4] and 32 bits[4]: 7 signs for each point, and the scale in the top 4."""

    group, index_bits, bytes, type, even = 8, 8, 66, Type.IQ2_XXS, True

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        words = np.ascontiguousarray(blocks[:, 2:66]).view("<u4")[:, 1::2]
        return without_offset(
            spread(f16_at(blocks, 0) * ((words >> 28).astype(np.float32) + np.float32(0.5)) * np.float32(0.25))
        )

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out = blocks.copy()
        words = np.ascontiguousarray(blocks[:, 2:66]).view("<u4").copy()
        point, signs = (part.astype(np.uint32).reshape(-1, 8, 4) for part in (codes >> 8, codes & 127))
        words[:, ::2] = (point << np.arange(0, 32, 8, dtype=np.uint32)).sum(axis=2)
        words[:, 1::2] = words[:, 1::2] >> 28 << 28 | (signs << np.arange(0, 28, 7, dtype=np.uint32)).sum(axis=2)
        out[:, 2:66] = words.astype("<u4").view(np.uint8)
        return out


class _IQ3S(_Points):
    """d, low bytes of points[64], their ninth bits[8], signs[32], a nibble of scale for each 32 weights[4]."""

    group, index_bits, bytes, type = 4, 9, 110, Type.IQ3_S

    def scales(self, blocks: Bytes) -> tuple[Floats, Floats]:
        nibbles = fields(blocks[:, 106:110], 4).transpose(0, 2, 1).reshape(-1, 8)
        return without_offset(f16_at(blocks, 0) * (2 * nibbles.astype(np.float32) + 1))

    def write(self, blocks: Bytes, codes: Codes) -> Bytes:
        out, point = blocks.copy(), codes >> 4
        out[:, 2:66] = point & 255
        out[:, 66:74] = pack((point >> 8).reshape(-1, 8, 8).transpose(0, 2, 1), 1)
        out[:, 74:106] = pack((codes & 15).reshape(-1, 32, 2).transpose(0, 2, 1), 4)
        return out


_CODECS: dict[Type, Codec] = {
    Type.Q2_K: _Q2K(),
    Type.Q3_K: _Q3K(),
    Type.Q4_K: _Q4K(),
    Type.Q5_K: _Q5K(),
    Type.Q6_K: _Q6K(),
    Type.IQ4_XS: _IQ4XS(),
    Type.IQ3_S: _IQ3S(),
    Type.IQ2_S: _IQ2S(),
    Type.IQ2_XS: _IQ2XS(),
    Type.IQ2_XXS: _IQ2XXS(),
}
