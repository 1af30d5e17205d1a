"""The output's GGUF header, or one for each part.

It is built twice with the same length: before the weights are written, with zeros for their checksums and digest, and
again at the end with the real values. In a split output each part has a header; the first holds the model's key-value
pairs, and every other the few by which a reader recognises the part.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_VERSION, GGUFValueType, GGUFWriter
from gguf.gguf_writer import WriterState

from edgemed.architectures import Architecture
from edgemed.convert.layout import Layout
from edgemed.convert.opened import Source, Vocabulary
from edgemed.model_file import keys, parts
from edgemed.model_file.header import header_checksum
from edgemed.quant.blas import blas_kernels
from edgemed.quant.plan import Plan

NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class HeaderSpec:
    """Everything in the header that is known before the weights are converted."""

    hparams: Architecture
    tokenizer: Vocabulary
    source: Source
    source_digest: str
    plan: Plan
    layout: Layout
    calibration_digest: str | None = None
    expert_tokens: Sequence[int] = ()


def build_headers(
    spec: HeaderSpec, checksums: Sequence[int] | None = None, weights_digest: str = NO_DIGEST
) -> list[bytes]:
    """The header of each part, padded to the layout's alignment. `checksums` holds one xxh3-64 for each work unit.

    The lengths do not depend on `checksums` or `weights_digest`.
    """
    checksums = [0] * len(spec.layout.units) if checksums is None else checksums
    others = (_other_part(spec, number, weights_digest) for number in range(1, spec.layout.n_parts))
    return [_first_part(spec, checksums, weights_digest), *others]


def file_sizes(spec: HeaderSpec) -> list[int]:
    """Bytes of each part."""
    headers = build_headers(spec)
    return [len(header) + data for header, data in zip(headers, spec.layout.data_bytes, strict=True)]


def _first_part(spec: HeaderSpec, checksums: Sequence[int], weights_digest: str) -> bytes:
    layout = spec.layout
    writer = _MemoryWriter(spec.hparams.GGUF_NAME)
    writer.add_type("model")
    writer.add_name(spec.source.name)
    if layout.name == "edgemed":
        writer.add_custom_alignment(layout.alignment)  # llama.cpp's own files never have this key
    writer.add_quantization_version(GGML_QUANT_VERSION)
    spec.hparams.write_metadata(writer)
    spec.tokenizer.write(writer)
    _add_provenance(writer, spec, weights_digest)
    if layout.name == "edgemed":
        writer.add_uint32(keys.FORMAT_VERSION, keys.CURRENT_FORMAT)
        writer.add_uint64(keys.HEADER_CHECKSUM, 0)
        n_dense = len(layout.units) - layout.n_experts
        for key, part in ((keys.DENSE_CHECKSUMS, checksums[:n_dense]), (keys.EXPERT_CHECKSUMS, checksums[n_dense:])):
            _add_array(writer, key, part, GGUFValueType.UINT64)
    return _finished(writer, layout, 0)


def _other_part(spec: HeaderSpec, number: int, weights_digest: str) -> bytes:
    writer = _MemoryWriter(spec.hparams.GGUF_NAME)
    if spec.layout.name == "edgemed":
        writer.add_custom_alignment(spec.layout.alignment)
        writer.add_uint32(keys.FORMAT_VERSION, keys.CURRENT_FORMAT)
        writer.add_uint64(keys.HEADER_CHECKSUM, 0)
    writer.add_string(keys.WEIGHTS_DIGEST, weights_digest)  # a part of another conversion has another one
    return _finished(writer, spec.layout, number)


def _finished(writer: _MemoryWriter, layout: Layout, number: int) -> bytes:
    """The bytes of a part's header, once its pairs are added: the numbers of the split, tensors, checksum, padding."""
    if layout.n_parts > 1:
        writer.add_uint16(parts.NUMBER, number)
        writer.add_uint16(parts.COUNT, layout.n_parts)
        writer.add_int32(parts.TENSORS, len(layout.tensors))
    for tensor in layout.tensors:
        if tensor.file == number:
            kind = np.dtype(np.float32)
            writer.add_tensor_info(tensor.name, tensor.shape, kind, tensor.nbytes, raw_dtype=tensor.type)
    header = writer.header()
    if layout.name == "edgemed":
        header = _sealed(header)
    return header + bytes(-len(header) % layout.alignment)


def _add_provenance(writer: GGUFWriter, spec: HeaderSpec, weights_digest: str) -> None:
    writer.add_string(keys.SOURCE_REPOSITORY, spec.source.repository)
    writer.add_string(keys.SOURCE_REVISION, spec.source.revision)
    writer.add_string(keys.SOURCE_DIGEST, spec.source_digest)
    if spec.source.made_from:
        writer.add_string(keys.SOURCE_GGUF, spec.source.made_from)
    writer.add_string(keys.PLAN, spec.plan.text)
    writer.add_string(keys.PLAN_DIGEST, spec.plan.digest)
    if spec.calibration_digest:
        writer.add_string(keys.CALIBRATION_DIGEST, spec.calibration_digest)
        writer.add_string(keys.CALIBRATION_KERNELS, blas_kernels())
    if spec.expert_tokens:
        _add_array(writer, keys.EXPERT_TOKENS, spec.expert_tokens, GGUFValueType.UINT32)
    writer.add_string(keys.INTENDED_USE, spec.source.intended_use)
    writer.add_string(keys.WEIGHTS_DIGEST, weights_digest)


def _add_array(writer: GGUFWriter, key: str, numbers: Sequence[int], of: GGUFValueType) -> None:
    writer.add_key_value(key, list(numbers), GGUFValueType.ARRAY, sub_type=of)


def _sealed(header: bytes) -> bytes:
    """The header with its own checksum filled in. Searching from the end skips text that contains the same key."""
    key = keys.HEADER_CHECKSUM.encode()
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<I", GGUFValueType.UINT64)
    at = header.rindex(pair) + len(pair)
    return header[:at] + struct.pack("<Q", header_checksum(header, at)) + header[at + 8 :]


class _MemoryWriter(GGUFWriter):  # type: ignore[misc]
    """gguf's writer, with the header going to memory. The weights are written by writer.py, in any order."""

    def __init__(self, architecture: str) -> None:
        super().__init__(None, architecture)

    def open_output_file(self, path: Path | None = None) -> None:
        self.fout = [BytesIO()]
        self.state = WriterState.EMPTY

    def header(self) -> bytes:
        self.write_header_to_file()
        self.write_kv_data_to_file()
        self.write_ti_data_to_file()
        data: bytes = self.fout[0].getvalue()
        return data
