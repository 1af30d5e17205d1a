"""GGUF files built byte by byte, so that a test can corrupt any one of the bytes.

    gguf = small_model("edgemed")
    gguf.set_key("bailingmoe2.block_count", Kind.U32, 1 << 30)
    path.write_bytes(gguf.encode())

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType


class Kind(IntEnum):
    """GGUF's number for each kind of value; `code` is the letter for struct."""

    U8 = 0
    I8 = 1
    U16 = 2
    I16 = 3
    U32 = 4
    I32 = 5
    F32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    U64 = 10
    I64 = 11
    F64 = 12

    @property
    def code(self) -> str:
        return {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[self]


@dataclass
class Tensor:
    """shape in ggml's order, fastest first. offset: the header's, from the start of the data; None = packed."""

    name: str
    shape: tuple[int, ...]
    data: bytes
    type: int = GGMLQuantizationType.F32
    offset: int | None = None


@dataclass
class Gguf:
    """The content of a file. The counts may be set wrong on purpose; encode() fills in `sections`."""

    keys: dict[str, tuple[Kind, Any]] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    alignment: int = 32
    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_keys: int | None = None
    sections: dict[str, int] = field(default_factory=dict)  # name -> offset of its first byte

    def set_key(self, key: str, kind: Kind, value: Any) -> None:
        """value: a number, a str, or for arrays (kind of the items, items)."""
        self.keys[key] = (kind, value)

    def tensor(self, name: str) -> Tensor:
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def encode(self) -> bytes:
        out = bytearray(self.magic)
        self.sections = {"magic": 0, "version": 4, "counts": 8}
        out += struct.pack("<I", self.version)
        out += struct.pack("<Q", len(self.tensors) if self.n_tensors is None else self.n_tensors)
        out += struct.pack("<Q", len(self.keys) if self.n_keys is None else self.n_keys)
        for key, (kind, value) in self.keys.items():
            self.sections[f"key {key}"] = len(out)
            out += _string(key.encode()) + struct.pack("<I", kind) + encode_value(kind, value)
        data = bytearray()
        for tensor in self.tensors:
            self.sections[f"tensor {tensor.name}"] = len(out)
            if tensor.offset is None:
                data += bytes(-len(data) % self.alignment)
            offset = len(data) if tensor.offset is None else tensor.offset
            out += _string(tensor.name.encode()) + struct.pack("<I", len(tensor.shape))
            out += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape) + struct.pack("<IQ", tensor.type, offset)
            data += tensor.data
        self.sections["padding"] = len(out)
        out += bytes(-len(out) % self.alignment)
        self.sections["data"] = len(out)
        return bytes(out + data)


def encode_value(kind: Kind, value: Any) -> bytes:
    if kind == Kind.STRING:
        return _string(value.encode() if isinstance(value, str) else value)
    if kind == Kind.ARRAY:
        item, items = value
        return struct.pack("<IQ", item, len(items)) + b"".join(encode_value(item, one) for one in items)
    return struct.pack(f"<{kind.code}", value)


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def small_model(layout: Literal["edgemed", "llama.cpp"], *, checksums: Sequence[int] | None = None) -> Gguf:
    """Build a bailingmoe2 file with all tensors (random F32), two blocks (one dense), 4 experts and no tokenizer."""
    gguf = Gguf(alignment=4096 if layout == "edgemed" else 32)
    gguf.set_key("general.architecture", Kind.STRING, "bailingmoe2")
    gguf.set_key("general.name", Kind.STRING, "small")
    if layout == "edgemed":
        gguf.set_key("general.alignment", Kind.U32, 4096)
        gguf.set_key("edgemed.format_version", Kind.U32, 1)
        gguf.set_key("edgemed.intended_use", Kind.STRING, "demonstration")
    if checksums is not None:
        gguf.set_key("edgemed.expert_checksums", Kind.ARRAY, (Kind.U64, checksums))
    for name, number in {
        "block_count": 2,
        "context_length": 64,
        "embedding_length": WIDE,
        "feed_forward_length": 64,
        "attention.head_count": 2,
        "attention.head_count_kv": 1,
        "attention.key_length": WIDE // 2,
        "rope.dimension_count": WIDE // 4,
        "expert_count": EXPERTS,
        "expert_used_count": 2,
        "expert_shared_count": 1,
        "expert_group_count": 2,
        "expert_group_used_count": 1,
        "expert_feed_forward_length": WIDE,
        "leading_dense_block_count": 1,
        "expert_gating_func": 2,
    }.items():
        gguf.set_key(f"bailingmoe2.{name}", Kind.U32, number)
    gguf.set_key("bailingmoe2.rope.freq_base", Kind.F32, 600000.0)
    gguf.set_key("bailingmoe2.attention.layer_norm_rms_epsilon", Kind.F32, 1e-6)
    gguf.set_key("bailingmoe2.expert_weights_scale", Kind.F32, 2.5)
    gguf.set_key("bailingmoe2.expert_weights_norm", Kind.BOOL, True)
    random = np.random.default_rng(0)
    for name, shape in _tensor_shapes(layout):
        gguf.tensors.append(Tensor(name, shape, random.standard_normal(shape).astype(np.float32).tobytes()))
    return gguf


WIDE = 32
EXPERTS = 4


def _tensor_shapes(layout: str) -> list[tuple[str, tuple[int, ...]]]:
    shapes: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (WIDE, 48)),
        ("output_norm.weight", (WIDE,)),
        ("output.weight", (WIDE, 48)),
    ]
    for layer in range(2):
        block = {
            "attn_norm": (WIDE,),
            "attn_qkv": (WIDE, 2 * WIDE),
            "attn_q_norm": (WIDE // 2,),
            "attn_k_norm": (WIDE // 2,),
            "attn_output": (WIDE, WIDE),
            "ffn_norm": (WIDE,),
        }
        if layer == 0:
            block |= {"ffn_gate": (WIDE, 64), "ffn_up": (WIDE, 64), "ffn_down": (64, WIDE)}
        else:
            block |= {"ffn_gate_inp": (WIDE, EXPERTS)}
            block |= {f"ffn_{projection}_shexp": (WIDE, WIDE) for projection in ("gate", "up", "down")}
            shapes.append(("blk.1.exp_probs_b.bias", (EXPERTS,)))
        shapes += [(f"blk.{layer}.{name}.weight", shape) for name, shape in block.items()]
    projections = ("gate", "up", "down")
    if layout == "edgemed":
        shapes += [(f"blk.1.ffn_{p}.{expert}.weight", (WIDE, WIDE)) for expert in range(EXPERTS) for p in projections]
    else:
        shapes += [(f"blk.1.ffn_{p}_exps.weight", (WIDE, WIDE, EXPERTS)) for p in projections]
    return shapes


def load(path: Path) -> Gguf:
    """Read a well-formed file that a test can then change and encode again."""
    content = path.read_bytes()
    n_tensors, n_keys = struct.unpack_from("<QQ", content, 8)
    gguf, at = Gguf(), 24
    for _ in range(n_keys):
        key, at = _read_string(content, at)
        kind = Kind(struct.unpack_from("<I", content, at)[0])
        value, at = _read_value(content, kind, at + 4)
        gguf.keys[key] = (kind, value)
    gguf.alignment = gguf.keys.get("general.alignment", (Kind.U32, 32))[1]
    described = []
    for _ in range(n_tensors):
        name, at = _read_string(content, at)
        (n_dims,) = struct.unpack_from("<I", content, at)
        shape = struct.unpack_from(f"<{n_dims}Q", content, at + 4)
        type_, offset = struct.unpack_from("<IQ", content, at + 4 + 8 * n_dims)
        at += 4 + 8 * n_dims + 12
        described.append((name, shape, type_, offset))
    start = -(-at // gguf.alignment) * gguf.alignment
    for name, shape, type_, offset in described:
        weights, size = GGML_QUANT_SIZES[GGMLQuantizationType(type_)]
        begin = start + offset
        data = content[begin : begin + prod(shape) // weights * size]
        gguf.tensors.append(Tensor(name, shape, data, type_))
    return gguf


def _read_value(content: bytes, kind: Kind, at: int) -> tuple[Any, int]:
    if kind == Kind.STRING:
        return _read_string(content, at)
    if kind != Kind.ARRAY:
        return struct.unpack_from(f"<{kind.code}", content, at)[0], at + struct.calcsize(kind.code)
    item, count = struct.unpack_from("<IQ", content, at)
    items, at = [], at + 12
    for _ in range(count):
        one, at = _read_value(content, Kind(item), at)
        items.append(one)
    return (Kind(item), items), at


def _read_string(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", content, at)
    return content[at + 8 : at + 8 + length].decode(), at + 8 + length
