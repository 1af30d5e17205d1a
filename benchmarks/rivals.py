"""What benchmarks.quality compares with: one type for all experts, and llama.cpp's own quantiser."""

from __future__ import annotations

import ctypes
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from edgemed.arrays import Floats
from edgemed.convert import convert
from edgemed.convert.safetensors import DTYPE_BYTES, read_header
from edgemed.model_file import ModelFile, open_model
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import dequantize, quantize
from edgemed.quant.statistics import Statistics
from testing import forward
from testing.checkpoints import write_safetensors

Experts = tuple[Floats, Floats, Floats]


def uniform(model: forward.Model, type_: Type) -> Experts:
    """Round all experts to one type with ggml's own code, without statistics."""
    made = [np.empty_like(weights) for weights in model.experts]
    for weights, out in zip(model.experts, made, strict=True):
        columns = weights.shape[-1]
        flat = weights.reshape(-1, columns)
        out[:] = dequantize(quantize(flat, type_), type_, columns).reshape(weights.shape)
    return made[0], made[1], made[2]


@dataclass(frozen=True)
class Recipe:
    """The result of a recipe: experts and their bytes, dense tensors by checkpoint name, the bytes of all tensors."""

    experts: Experts
    expert_bytes: int
    dense: dict[str, Floats]
    file_bytes: int


def without_mtp(checkpoint: Path, folder: Path) -> Path:
    """Copy the checkpoint without its MTP layers. They are never run, but llama.cpp would demand statistics for them
    and its recipes would count them as layers.
    """
    config = json.loads((checkpoint / "config.json").read_text())
    if not config.get("num_nextn_predict_layers"):
        return checkpoint
    kept: dict[str, tuple[str, NDArray[Any]]] = {}
    for shard in sorted(checkpoint.glob("*.safetensors")):
        data = np.memmap(shard, np.uint8, "r")
        for name, stored in read_header(shard).tensors.items():
            if name.startswith("model.layers.") and int(name.split(".")[2]) >= config["num_hidden_layers"]:
                continue
            codes = data[stored.offset : stored.offset + stored.nbytes].view(f"u{DTYPE_BYTES[stored.dtype]}")
            kept[name] = (stored.dtype, codes.reshape(stored.shape))
    plain = folder / "without_mtp"
    plain.mkdir()
    for file in checkpoint.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copy(file, plain)
    (plain / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 0}))
    write_safetensors(plain / "model.safetensors", kept)
    return plain


class LlamaCpp:
    """llama.cpp's `llama_model_quantize` on one checkpoint, with our statistics as its importance matrix."""

    def __init__(self, checkpoint: Path, folder: Path, statistics: Statistics) -> None:
        self.checkpoint, self.folder, self.statistics = without_mtp(checkpoint, folder), folder, statistics
        self.stock = folder / "stock.gguf"
        convert(str(self.checkpoint), self.stock, Plan.uniform(Type.F32), layout="llama.cpp")

    def recipe(self, ftype: int, *, as_shipped: bool = False) -> Recipe:
        """Quantise with this file type. as_shipped: llama.cpp chooses the embedding's and output's type, else Q8_0."""
        importance = self._importance()
        entries = (llama_cpp.llama_model_imatrix_data * (len(importance) + 1))()
        for entry, (name, values) in zip(entries, importance.items(), strict=False):
            entry.name, entry.size = name.encode(), values.size
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize = ftype, True
        if not as_shipped:
            params.output_tensor_type = params.token_embedding_type = int(Type.Q8_0)
        params.imatrix = ctypes.cast(entries, type(params.imatrix))
        target = self.folder / "recipe.gguf"
        if llama_cpp.llama_model_quantize(str(self.stock).encode(), str(target).encode(), ctypes.byref(params)) != 0:
            raise SystemExit("llama.cpp could not quantise the model; its log says why.")
        return self._read(open_model(target))

    def _importance(self) -> dict[str, Floats]:
        # No statistics of dense tensors were collected, but the low-bit recipes refuse to run without values for them.
        found = {t.name: np.ones(t.shape[0], np.float32) for t in open_model(self.stock).dense if len(t.shape) == 2}
        for moe_layer, layer in enumerate(self.statistics.layers):
            for name, squares in (("gate", "input"), ("up", "input"), ("down", "inner")):
                sums = getattr(self.statistics, f"{squares}_squares")[moe_layer]
                found[f"blk.{layer}.ffn_{name}_exps.weight"] = sums.astype(np.float32).ravel()
        return found

    def _read(self, file: ModelFile) -> Recipe:
        content = np.memmap(file.path, np.uint8, "r")
        h = file.hparams
        made = []
        for projection, (rows, columns) in enumerate(h.expert_matrix_shapes):
            slices = np.empty((*file.experts.offset.shape[:2], rows, columns), np.float32)
            for layer, expert in np.ndindex(*slices.shape[:2]):
                at, size = (int(part[layer, expert, projection]) for part in (file.experts.offset, file.experts.nbytes))
                type_ = Type(int(file.experts.type[layer, expert, projection]))
                slices[layer, expert] = dequantize(np.array(content[at : at + size]).reshape(rows, -1), type_, columns)
            made.append(slices)
        dense = {}
        for mapped in h.dense_tensors():
            tensor = file.tensors[mapped.target]
            rows = int(np.prod(tensor.shape[1:]))
            data = np.frombuffer(file.read(tensor), np.uint8).reshape(rows, -1)
            dense[mapped.source] = dequantize(data, tensor.type, tensor.shape[0]).reshape(mapped.shape)
        return Recipe(
            (made[0], made[1], made[2]),
            int(file.experts.nbytes.sum()),
            dense,
            sum(tensor.nbytes for tensor in file.tensors.values()),
        )


def with_recipe(model: forward.Model, made: Recipe) -> forward.Model:
    """Return the model with all tensors of the recipe's file, the dense ones included."""
    return replace(model, dense={**model.dense, **made.dense}, experts=made.experts)
