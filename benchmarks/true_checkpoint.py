"""Stream a safetensors checkpoint of AntAngelMed's true shapes to disk, to test `edgemed convert` at full size.

Each projection is one shared pool of random values, rotated by an offset of its own. FP8 pools rotate in blocks
of 128 rows, so that codes and block scales stay together.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.direct_writer import DirectWriter
from benchmarks.true_shape import write_folder
from edgemed.architectures import Mapped, find_architecture
from edgemed.architectures.config import Config
from testing.number_formats import FP8_BLOCK, encode_bf16, quantise_fp8_blocks

SHARD_BYTES = 4 << 30
Dtype = Literal["bf16", "fp8"]
Stored = tuple[str, str, tuple[int, ...], int]  # name, safetensors dtype, shape, bytes


def write_checkpoint(folder: Path, config: Mapping[str, Any], dtype: Dtype) -> int:
    """Write config, tokenizer, index and shards of about 4 GiB; return the bytes of all weights."""
    folder.mkdir(parents=True, exist_ok=True)
    if dtype == "fp8":
        block = [FP8_BLOCK, FP8_BLOCK]
        config = {**config, "quantization_config": {"quant_method": "fp8", "weight_block_size": block}}
    write_folder(folder, config)
    shards: list[list[Stored]] = [[]]
    for stored in _stored(Config(config), dtype):
        if sum(size for *_, size in shards[-1]) + stored[3] > SHARD_BYTES and shards[-1]:
            shards.append([])
        shards[-1].append(stored)
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / file, shard)
        weight_map |= {name: file for name, *_ in shard}
    total = sum(size for shard in shards for *_, size in shard)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def _stored(config: Config, dtype: Dtype) -> Iterator[Stored]:
    """List every tensor in the checkpoint's order, FP8 scales next to their codes."""
    hparams, _notes = find_architecture(config).read_config(config, {})
    tensors: list[Mapped] = list(hparams.dense_tensors())
    for layer in hparams.stored_moe_layers:
        for expert in range(hparams.n_expert):
            tensors += hparams.expert_tensors(layer, expert)
    for tensor in tensors:
        weights = int(np.prod(tensor.shape))
        if tensor.source.endswith("expert_bias"):
            yield tensor.source, "F32", tensor.shape, 4 * weights
        elif dtype == "fp8" and tensor.source.endswith(("_proj.weight", "query_key_value.weight", "dense.weight")):
            scale = (-(-tensor.shape[0] // FP8_BLOCK), -(-tensor.shape[1] // FP8_BLOCK))
            yield tensor.source, "F8_E4M3", tensor.shape, weights
            yield f"{tensor.source}_scale_inv", "F32", scale, 4 * scale[0] * scale[1]
        else:
            yield tensor.source, "BF16", tensor.shape, 2 * weights


def _write_shard(path: Path, shard: list[Stored]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape, size in shard:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with DirectWriter(path) as writer:
        writer.append(np.frombuffer(len(text).to_bytes(8, "little") + text, np.uint8))
        for name, dtype, shape, _size in shard:
            for piece in _pieces(name, dtype, shape):
                writer.append(np.ascontiguousarray(piece).reshape(-1).view(np.uint8))
        writer.close(len(text).to_bytes(8, "little") + text)


def _pieces(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Yield the tensor's values in consecutive pieces."""
    shift = zlib.crc32(name.removesuffix("_scale_inv").encode())
    if dtype == "F32" and name.endswith("expert_bias"):
        yield np.zeros(shape, np.float32)
    elif len(shape) == 1:
        yield encode_bf16(np.ones(shape, np.float32))
    elif dtype == "BF16":
        pool = _bf16_pool(shape[1])
        done = 0
        while done < shape[0]:
            first = (shift + done * 7) % len(pool)
            part = pool[first : first + shape[0] - done]
            done += len(part)
            yield part
    else:
        codes, scales = _fp8_pool(*((shape[0], shape[1]) if dtype == "F8_E4M3" else _weight_shape(shape)))
        block = shift % len(scales)
        yield np.roll(codes, block * FP8_BLOCK, 0) if dtype == "F8_E4M3" else np.roll(scales, block, 0)


def _weight_shape(scale: tuple[int, ...]) -> tuple[int, int]:
    """Return the shape of the matrix with these scales. All of AntAngelMed's dimensions are multiples of 128."""
    return scale[0] * FP8_BLOCK, scale[1] * FP8_BLOCK


@cache
def _bf16_pool(columns: int) -> NDArray[np.uint16]:
    return encode_bf16(_normal(4096, columns))


@cache
def _fp8_pool(rows: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return quantise_fp8_blocks(_normal(rows, columns))


def _normal(rows: int, columns: int) -> NDArray[np.float32]:
    values = np.random.default_rng(columns).standard_normal((rows, columns), np.float32)
    values /= np.sqrt(columns, dtype=np.float32)
    return values
