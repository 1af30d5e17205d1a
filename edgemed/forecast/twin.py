"""Small models that compute as a large one would: what speed is measured with before anything is downloaded.

A twin has some of the other's layers, with matrices of the same shapes and types, and some of its experts. Its weights
are zeros, which take as long as any others and no room on the disk (the file has holes). Only embeddings and routers
are random, so that every expert is used alike.

Why: docs/decisions.md#twin.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.architectures import Architecture, Mapped
from edgemed.architectures.tensors import ALWAYS_F32, EMBEDDING, kind_of
from edgemed.errors import SetupError
from edgemed.forecast.compute_rates import DISTINCT_TOKENS, Twins
from edgemed.forecast.model_size import mixture_of
from edgemed.forecast.prediction import PROMPT_TOKENS
from edgemed.model_file import ModelFile, keys

SMALL_WEIGHTS = 512 << 20
"""A model of no more than this is its own twin."""
LAYERS = 3
"""Layers with experts of a larger one's twin: the last computes less of a prompt than the others."""


@dataclass(frozen=True, slots=True)
class Original:
    """What a twin is made after. `kinds`: for each a twin, whose experts are drawn from these triples of types
    [any number, projection]. `dense`: the types of the other matrices by name; of those not named, Q8_0."""

    hparams: Architecture
    kinds: Mapping[str, NDArray[np.int32]]
    dense: Mapping[str, Type] | None = None


def original_of_file(file: ModelFile) -> Original:
    """Its twin has experts of the model's own types, in about their proportions."""
    kinds = {mixture_of(file): file.experts.type.reshape(-1, 3)}
    return Original(file.hparams, kinds, {tensor.name: tensor.type for tensor in file.dense})


def original_of_types(hparams: Architecture, names: Collection[str]) -> Original:
    """A twin for each of these types."""
    return Original(hparams, {name: np.full((1, 3), int(Type[name]), np.int32) for name in sorted(names)})


@contextmanager
def twins(original: Original) -> Iterator[Twins]:
    """Files that exist until the end of the block. Raises SetupError where they cannot be written."""
    h = _scaled(original)
    long = min(PROMPT_TOKENS, h.n_ctx_train)
    short = max(1, long * h.n_expert // original.hparams.n_expert)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemed-twin-"))
            paths = {kind: Path(folder) / f"{number}.gguf" for number, kind in enumerate(original.kinds)}
            for kind, path in paths.items():
                _write(path, h, original.kinds[kind], original.dense)
        except OSError as error:
            raise SetupError(
                f"A small model to measure with cannot be written ({error.strerror}); set TMPDIR to a folder with room."
            ) from None
        yield Twins(paths, long, short)


def _scaled(original: Original) -> Architecture:
    """The twin's numbers: the original's, where that is small."""
    h = replace(original.hparams, n_nextn=0)
    layers = h.n_moe_layers
    weights = layers * h.n_expert * h.expert_weights + 2 * h.n_vocab * h.n_embd
    if weights <= SMALL_WEIGHTS:
        return h
    kept = min(layers, LAYERS)
    experts = min(h.n_expert, h.router.smallest(4 * h.n_expert_used, h.n_expert_used))
    vocabulary = max(DISTINCT_TOKENS, h.n_vocab * kept // layers // 32 * 32)
    return replace(h, n_layer=h.n_dense_lead + kept, n_expert=experts, n_vocab=vocabulary)


def _write(path: Path, h: Architecture, kinds: NDArray[np.int32], dense: Mapping[str, Type] | None) -> None:
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, h.GGUF_NAME)
    writer.add_custom_alignment(keys.ALIGNMENT)
    writer.add_tokenizer_model("none")
    h.write_metadata(writer)
    values: dict[int, NDArray[np.floating[Any]]] = {}
    at = 0
    for tensor, type_ in _tensors(h, kinds, dense, rng):
        block, block_bytes = GGML_QUANT_SIZES[type_]
        nbytes = prod(tensor.shape) // block * block_bytes
        writer.add_tensor_info(tensor.target, tensor.shape, np.dtype(np.float32), nbytes, raw_dtype=type_)
        if kind_of(tensor.target) == EMBEDDING:
            rows = min(DISTINCT_TOKENS, h.n_vocab)
            values[at] = rng.standard_normal((rows, h.n_embd), np.float32).astype(np.float16)
        elif tensor.target.endswith(h.router.weight):
            values[at] = rng.standard_normal(tensor.shape, np.float32) / np.sqrt(h.n_embd, dtype=np.float32)
        elif tensor.target.endswith("norm.weight"):
            values[at] = np.ones(tensor.shape, np.float32)
        at += -(-nbytes // keys.ALIGNMENT) * keys.ALIGNMENT
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        start = -(-path.stat().st_size // keys.ALIGNMENT) * keys.ALIGNMENT
        file.truncate(start + at)
        for place, value in values.items():
            file.seek(start + place)
            file.write(value.tobytes())


def _tensors(
    h: Architecture, kinds: NDArray[np.int32], dense: Mapping[str, Type] | None, rng: np.random.Generator
) -> Iterator[tuple[Mapped, Type]]:
    for tensor in h.dense_tensors():
        if kind_of(tensor.target) == EMBEDDING:
            yield tensor, Type.F16
        elif len(tensor.shape) == 1 or kind_of(tensor.target) in ALWAYS_F32:
            yield tensor, Type.F32
        else:
            yield tensor, _fitting((dense or {}).get(tensor.target, Type.Q8_0), tensor)
    for layer in h.moe_layers:
        for expert in range(h.n_expert):
            drawn = rng.choice(kinds)
            for tensor, number in zip(h.expert_tensors(layer, expert), drawn, strict=True):
                yield tensor, _fitting(Type(int(number)), tensor)


def _fitting(type_: Type, tensor: Mapped) -> Type:
    """`type_`, or what can be had where its blocks do not divide the rows."""
    columns = tensor.shape[-1]
    return next(t for t in (type_, Type.Q8_0, Type.F16) if columns % GGML_QUANT_SIZES[t][0] == 0)
