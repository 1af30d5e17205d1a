"""The output's GGUF header.

It is built twice with the same length: before the weights are written, with zeros for their checksums and digest, and
again at the end with the real values.
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
from edgemed.model_file import keys
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


def build_header(spec: HeaderSpec, checksums: Sequence[int] | None = None, weights_digest: str = NO_DIGEST) -> bytes:
    """The header, padded to the layout's alignment. `checksums` holds one xxh3-64 for each work unit of the layout.

    The length does not depend on `checksums` or `weights_digest`.
    """
    layout = spec.layout
    checksums = [0] * len(layout.units) if checksums is None else checksums
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
    for tensor in layout.tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=tensor.type)
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
