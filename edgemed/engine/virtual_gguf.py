"""The virtual file that libllama loads: stock layout, with virtual tensors for the experts.

We generate the header, and the dense tensors come from the model's files. The experts of each layer are declared as
stock 3-D tensors in the narrowest possible type. They are allocated in our device's buffer type, which reserves
addresses but no memory, so their bytes are never stored. libllama checks every shape as for any other file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from edgemed.architectures.tensors import PROJECTIONS, block_of, stacked_name
from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, TensorInfo
from edgemed.model_file.header import DEFAULT_ALIGNMENT, MAGIC, VERSION
from edgemed.model_file.keys import PREFIX
from edgemed.native.engine import StreamExtent

# (ggml type, weights per block, bytes per block): Q1_0, then Q8_0 and F16 for columns that Q1_0's blocks do not divide.
_NARROW_TYPES = ((41, 128, 18), (8, 32, 34), (1, 1, 2))
_U32 = 4
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
TOKENIZER, PRE_TOKENIZER, TOKENS = "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens"
BYTE_LEVEL_BPE, NO_TOKENIZER = "gpt2", "none"  # llama.cpp's names
# Limit of the sum of squared token lengths. libllama replaces each character of a token that is not in the byte-level
# alphabet by the whole token, so a token of one megabyte would take a terabyte. Ling's 157,000 tokens sum to about
# 10 million.
_MOST_SQUARED_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class VirtualGguf:
    """header: the first bytes of the file, before the tensors; size: of the whole virtual file; extents: the origin of
    each dense tensor."""

    header: bytes
    size: int
    extents: list[StreamExtent]


@dataclass(frozen=True, slots=True)
class _Declared:
    name: str
    shape: tuple[int, ...]
    type: int
    nbytes: int
    number: int | None  # in the model's list of dense tensors; None for virtual experts


def virtual_gguf(model: ModelFile) -> VirtualGguf:
    """Describe `model` to libllama. MTP layers are left out: its graph does not use them.

    Raises ModelFileError for a vocabulary at which libllama aborts or takes all memory, and for a tokenizer that the
    model's family refuses.
    """
    pre_tokenizer = model.metadata.get(PRE_TOKENIZER)
    if isinstance(pre_tokenizer, str) and (reason := model.hparams.TOKENIZER.refused_pre.get(pre_tokenizer)):
        raise ModelFileError(f"The tokenizer of {model.path.name} cannot be used: {reason}")
    if fault := _fault_of_vocabulary(model):
        raise ModelFileError(f"{model.path.name} has {fault}; use another file of the model.")
    tensors = list(_declared(model))
    pairs = list(_pairs(model))
    header = bytearray(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(pairs)))
    for pair in pairs:
        header += pair
    at = 0
    places = []
    for tensor in tensors:
        header += _text(tensor.name) + struct.pack(
            f"<I{len(tensor.shape)}QIQ", len(tensor.shape), *tensor.shape, tensor.type, at
        )
        places.append(at)
        at = _aligned(at + tensor.nbytes)
    start = _aligned(len(header))
    header += bytes(start - len(header))
    extents = [
        _extent(model, tensor.number, start + place)
        for tensor, place in zip(tensors, places, strict=True)
        if tensor.number is not None
    ]
    return VirtualGguf(bytes(header), start + at, extents)


def _fault_of_vocabulary(model: ModelFile) -> str | None:
    kind, tokens = model.metadata.get(TOKENIZER), model.metadata.get(TOKENS)
    if kind == NO_TOKENIZER:
        return None  # a twin, which only computes; `Vocabulary` refuses such a model for any other use
    if kind != BYTE_LEVEL_BPE:  # with several other kinds llama.cpp aborts, because it misses their special tokens
        return f"the tokenizer {kind!r:.40}, where models of this architecture have {BYTE_LEVEL_BPE!r}"
    if not isinstance(model.metadata.get(PRE_TOKENIZER), str):  # llama.cpp then splits text by another model's rule
        return f"no {PRE_TOKENIZER}, the rule by which it splits text"
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return "no list of tokens"
    read = {token.partition("\0")[0] or f"[EMPTY_{number}]" for number, token in enumerate(tokens)}  # as libllama does
    if len(read) < len(tokens):
        return "one token twice in its vocabulary"
    if sum(len(token.encode()) ** 2 for token in tokens) > _MOST_SQUARED_BYTES:
        return "tokens in its vocabulary that are too long"
    return None


def _declared(model: ModelFile) -> Iterator[_Declared]:
    hparams = model.hparams
    for number, info in enumerate(model.dense):
        if not _is_hidden(model, info):
            yield _Declared(info.name, info.shape, int(info.type), info.nbytes, number)
            if info.name == EMBEDDING and OUTPUT not in model.tensors:  # tied, but the graph has a head
                yield _Declared(OUTPUT, info.shape, int(info.type), info.nbytes, number)
    for layer in hparams.moe_layers:
        for projection in PROJECTIONS:
            rows, columns = hparams.expert_matrix_shape(projection)
            shape = (columns, rows, hparams.n_expert)
            kind, block, block_bytes = next(t for t in _NARROW_TYPES if columns % t[1] == 0)
            yield _Declared(stacked_name(layer, projection), shape, kind, prod(shape) // block * block_bytes, None)


def _is_hidden(model: ModelFile, info: TensorInfo) -> bool:
    block = block_of(info.name)
    return block is not None and block >= model.hparams.n_layer


def _pairs(model: ModelFile) -> Iterator[bytes]:
    block_count = f"{model.architecture}.block_count"
    hidden = {block_count, f"{model.architecture}.nextn_predict_layers", "general.alignment"}
    for key in model.metadata:
        if not key.startswith(PREFIX) and key not in hidden and not key.startswith("split."):
            yield model.metadata.raw(key)
    yield _text(block_count) + struct.pack("<II", _U32, model.hparams.n_layer)


def _extent(model: ModelFile, number: int, at: int) -> StreamExtent:
    info = model.dense[number]
    checksum = model.dense_checksums[number] if model.dense_checksums is not None else None
    return StreamExtent(at, info.nbytes, info.offset, checksum or 0, int(checksum is not None), number, info.part)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _aligned(at: int) -> int:
    return -(-at // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
