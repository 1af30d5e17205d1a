"""A model file as the engine sees it: its dense tensors and the location of each expert.

    model = open_model(Path("antangelmed.gguf"))
    model.hparams.n_expert, model.experts.type[0, 17]

Both the edgemed layout and stock GGUFs of a known family can be opened (docs/format.md), in one file or split. Stock
files have no checksums, so their weights are unverified.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType

from edgemed.architectures import Architecture, HParams, find_gguf_architecture
from edgemed.architectures.tensors import stacked_name
from edgemed.errors import ModelFileError
from edgemed.model_file import keys
from edgemed.model_file.experts import Experts, find_experts
from edgemed.model_file.header import TensorInfo
from edgemed.model_file.metadata import Metadata
from edgemed.model_file.parts import Part, model_stem, read_parts

__all__ = ["Experts", "IntendedUse", "ModelFile", "Part", "TensorInfo", "open_model"]

IntendedUse = Literal["demonstration", "unevaluated", "evaluated"]
_Type = GGMLQuantizationType
_NO_WEIGHTS = {_Type.F64, _Type.I8, _Type.I16, _Type.I32, _Type.I64, _Type.Q8_1, _Type.Q8_K}
"""Types for which ggml has no matmul. It does not check, and would call a null pointer."""
_SCALES = (".scale", ".input_scale")
_USES = ("demonstration", "unevaluated", "evaluated")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One opened model.

    parts: its files, by which tensors and experts are located.
    dense: all tensors except the routed experts, in file order.
    dense_checksums: xxh3-64 of each dense tensor, in the order of `dense`; None if the file has none.
    expert_tokens: f64 [MoE layer, expert], tokens that calibration routed to each expert, without MTP layers; or None.
    architecture: the file's name of its graph; hparams: its family and numbers.
    end_ids: token ids that end a turn, if the file names any.
    """

    parts: tuple[Part, ...]
    layout: Literal["edgemed", "llama.cpp"]
    architecture: str
    metadata: Metadata
    hparams: Architecture
    tensors: dict[str, TensorInfo]
    dense: list[TensorInfo]
    experts: Experts
    dense_checksums: list[int] | None
    expert_tokens: npt.NDArray[np.float64] | None
    end_ids: tuple[int, ...]
    intended_use: IntendedUse
    weights_digest: str | None

    @property
    def path(self) -> Path:
        """The model file, or its first part."""
        return self.parts[0].path

    @property
    def size_bytes(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def verified(self) -> bool:
        """True if the file has a checksum for every weight."""
        return self.experts.checksum is not None and self.dense_checksums is not None

    @property
    def header_verified(self) -> bool:
        """True if the header was compared with its checksum when the file was opened."""
        return keys.HEADER_CHECKSUM in self.metadata

    @property
    def name(self) -> str:
        return str(self.metadata.get("general.name") or model_stem(self.path))

    def read(self, tensor: TensorInfo) -> bytes:
        """The tensor's bytes, not verified. Raises ModelFileError if the file has become shorter."""
        return self._read(tensor.part, tensor.offset, tensor.nbytes, tensor.name)

    def read_expert(self, moe_layer: int, expert: int, projection: int) -> bytes:
        """The bytes of one expert's matrix, not verified. Raises ModelFileError if the file has become shorter."""
        at, place = (moe_layer, expert, projection), self.experts
        return self._read(int(place.part[at]), int(place.offset[at]), int(place.nbytes[at]), f"expert {expert}")

    def _read(self, part: int, offset: int, nbytes: int, what: str) -> bytes:
        path, data = self.parts[part].path, b""
        with path.open("rb") as file:
            while len(data) < nbytes:
                more = os.pread(file.fileno(), nbytes - len(data), offset + len(data))
                if not more:
                    raise ModelFileError(f"{path.name} ends before {what} does: it was cut short.")
                data += more
        return data


def open_model(path: Path | str) -> ModelFile:
    """Open a GGUF of a family in edgemed.architectures; of a split one, `path` may be any part.

    Raises ModelFileError with a sentence for anything else.
    """
    header = read_parts(Path(path))
    path, metadata = header.files[0].path, header.metadata
    architecture = find_gguf_architecture(metadata, path.name)
    version = metadata.get(keys.FORMAT_VERSION)
    if version not in (None, keys.FIRST_FORMAT, keys.CURRENT_FORMAT):
        raise ModelFileError(
            f"{path.name} has edgemed format {version}, but this edgemed reads formats up to {keys.CURRENT_FORMAT}; "
            "update edgemed."
        )
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelFileError(f"{path.name} has no token embedding; get a complete file of the model.")
    for key in keys.TEXTS:  # checked here, because `eval` reads them only after hours of computing
        metadata.text(key)
    for key in keys.DIGESTS:
        metadata.digest(key)
    _refuse_unusable_types(header.tensors)
    hparams = architecture.from_metadata(metadata, n_vocab=embedding.shape[1])
    experts, taken = find_experts(header.tensors, hparams, metadata.numbers(keys.EXPERT_CHECKSUMS))
    dense = sorted((t for name, t in header.tensors.items() if name not in taken), key=lambda t: (t.part, t.offset))
    dense_checksums = metadata.numbers(keys.DENSE_CHECKSUMS)
    if dense_checksums is not None and len(dense_checksums) != len(dense):
        raise ModelFileError(f"{path.name} has {len(dense_checksums)} checksums for {len(dense)} dense tensors.")
    use = metadata.get(keys.INTENDED_USE, "unevaluated")
    if use not in _USES:
        raise ModelFileError(f"{path.name} is marked for the unknown use {use!r}; known uses are {', '.join(_USES)}.")
    stock = stacked_name(hparams.moe_layers.start, "down") in header.tensors
    return ModelFile(
        parts=header.files,
        layout="llama.cpp" if stock else "edgemed",
        architecture=architecture.GGUF_NAME,
        metadata=metadata,
        hparams=hparams,
        tensors=header.tensors,
        dense=dense,
        experts=experts,
        dense_checksums=dense_checksums,
        expert_tokens=_expert_tokens(path, metadata, hparams),
        end_ids=tuple(metadata.numbers(keys.END_OF_GENERATION_IDS) or ()),
        intended_use=cast(IntendedUse, use),
        weights_digest=metadata.text(keys.WEIGHTS_DIGEST),
    )


def _expert_tokens(path: Path, metadata: Metadata, hparams: HParams) -> npt.NDArray[np.float64] | None:
    counts = metadata.numbers(keys.EXPERT_TOKENS)
    if counts is None:
        return None
    moe_layers, per_layer = hparams.expert_shape
    if len(counts) != moe_layers * per_layer:
        raise ModelFileError(f"{path.name} has {len(counts)} counts for {moe_layers} x {per_layer} experts.")
    return np.array(counts, np.float64).reshape(moe_layers, per_layer)


def _refuse_unusable_types(tensors: dict[str, TensorInfo]) -> None:
    for tensor in tensors.values():
        if tensor.name.endswith(_SCALES):
            raise ModelFileError(
                f"The model file has {tensor.name}, a second scale of its weights, which llama.cpp's graph of this "
                "architecture ignores: answers would be wrong; use another quantisation of the model."
            )
        is_vector = prod(tensor.shape[1:]) == 1  # whatever its number of dimensions
        if tensor.type in _NO_WEIGHTS or (is_vector and tensor.type != _Type.F32):
            raise ModelFileError(
                f"The model file stores {tensor.name} as {tensor.type.name}, which the engine cannot compute with; "
                "use another quantisation of the model."
            )
