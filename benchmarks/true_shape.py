"""Write models with random weights in AntAngelMed's true layer shapes, at the disk's speed.

    python -m benchmarks.true_shape M.gguf --layers 5 --types Q4_K                      four MoE layers, 8 GB
    python -m benchmarks.true_shape M.gguf --layers 5 --types Q4_K --layout llama.cpp   the same weights, stock layout
    python -m benchmarks.true_shape M.gguf --types Q2_K:170,Q3_K:86 --routing zipf      all 103 billion weights
    python -m benchmarks.true_shape FOLDER --layers 2 --checkpoint bf16                 for `edgemed convert`

One pool of random rows is quantised for each type, and each expert's matrix is the pool rotated by a different offset.
No two experts are equal, both layouts hold the same bits, and making a model takes little longer than writing it. The
router's bias sets the routing: tokens and router weights are random, so without a bias all experts are equally likely.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from benchmarks import traces
from benchmarks.direct_writer import DirectWriter
from edgemed.architectures import find_architecture
from edgemed.arrays import Bytes, Floats
from edgemed.convert.checkpoint_folder import CheckpointFolder
from edgemed.convert.header import HeaderSpec, build_headers
from edgemed.convert.layout import LayoutName, Tensor, make_layout
from edgemed.convert.split import split_layout
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.model_file.parts import model_stem, part_name
from edgemed.native import Xxh3
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import quantize
from edgemed.quant.types import parse_type
from edgemed.sizes import parse_size
from testing import checkpoints, tokenizers_json

EXPERT = re.compile(r"blk\.(\d+)\.ffn_(gate|up|down)\.(\d+)\.weight")
STACK = re.compile(r"blk\.(\d+)\.ffn_(gate|up|down)_exps\.weight")
ROWS_AT_ONCE = 4096
CALIBRATION_TOKENS = 100_000
RANDOM_WEIGHTS = hashlib.sha256(b"random weights").hexdigest()
"""The digest of the source that the header names."""


def true_config(layers: int, vocab: int) -> dict[str, Any]:
    """config.json's content at AntAngelMed's shape (Ling-flash-2.0), with fewer layers or a smaller vocabulary."""
    shape = checkpoints.Shape(
        num_hidden_layers=layers,
        hidden_size=4096,
        intermediate_size=9216,
        moe_intermediate_size=1024,
        num_experts=256,
        num_experts_per_tok=8,
        n_group=8,
        topk_group=4,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=32768,
    )
    return shape.config() | {"vocab_size": vocab}


def write_folder(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the checkpoint's files other than the weights."""
    files = {
        "config.json": config,
        "tokenizer.json": tokenizers_json.tokenizer_json(),
        "tokenizer_config.json": tokenizers_json.tokenizer_config(),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def mixture(types: Mapping[Type, int], layers: range, experts: int = 256, seed: int = 0) -> Plan:
    """Make a plan that gives each layer's experts these types in proportion to the counts, in random order.

    All three matrices of an expert have one type. With a single type the plan is uniform.
    """
    chosen = list(types)
    if len(chosen) == 1:
        return Plan.uniform(chosen[0])
    shares = np.cumsum([0, *types.values()]) * experts / sum(types.values())
    pool = np.searchsorted(shares[1:], np.arange(experts), side="right")
    rng = np.random.default_rng(seed)
    plan: dict[tuple[int, int, int], Type] = {}
    for layer in layers:
        for expert, which in enumerate(rng.permutation(pool)):
            plan |= {(layer, expert, projection): chosen[which] for projection in range(3)}
    return Plan.of_types(plan)


def tokens(count: int, vocab: int, seed: int) -> list[int]:
    """The published tokens of that seed, without special tokens. numpy promises to keep PCG64's stream stable."""
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count)
    edge = 512 if vocab > 1024 else 0  # a test's vocabulary is too small to leave out special tokens
    return [int(r % (min(vocab, 32768) - 2 * edge)) + edge for r in raw]


@cache
def zipf_routing(exponent: float = 1.0) -> tuple[Floats, NDArray[np.float64]]:
    """Return a router bias that makes expert use follow Zipf's law, and the uses of each expert per token.

    This is the load-balancing rule of training with another target. The wanted frequencies come from `traces.draw`. The
    bias moves up or down in small steps until the router reaches them on normal logits, within 1 % of all choices on
    average.
    """
    rng = np.random.default_rng(0)
    one_layer = traces.Shape(layers=1)
    popularity = -exponent * np.log(np.arange(1, one_layer.experts + 1))[rng.permutation(one_layer.experts)]
    drawn = traces.draw(popularity[None], 4000, one_layer, rng)
    wanted = np.bincount(drawn.ravel(), minlength=one_layer.experts) / len(drawn)
    bias = np.zeros(one_layer.experts)
    for rate in np.geomspace(0.1, 0.002, 300):
        scores = traces.sigmoid(rng.normal(size=(1000, one_layer.experts))) + bias
        got = np.bincount(traces.route(scores, one_layer).ravel(), minlength=one_layer.experts) / 1000
        bias += rate * np.clip((wanted - got) / (wanted + 0.01), -1, 1)
    centred: Floats = (bias - bias.mean()).astype(np.float32)
    return centred, wanted


class Weights:
    """The random weights of every tensor as bytes, in consecutive pieces."""

    def __init__(self, routing: str, seed: int = 0) -> None:
        self._routing = routing
        self._seed = seed

    def pieces(self, tensor: Tensor) -> Iterator[Bytes]:
        """Yield the tensor's bytes in order."""
        if found := STACK.fullmatch(tensor.name):
            for expert in range(tensor.shape[0]):
                yield from self._expert(int(found[1]), expert, found[2], tensor.type, tensor.shape[1:])
        elif found := EXPERT.fullmatch(tensor.name):
            yield from self._expert(int(found[1]), int(found[3]), found[2], tensor.type, tensor.shape)
        elif len(tensor.shape) == 1:
            yield self._vector(tensor.name, tensor.shape[0]).view(np.uint8)
        else:
            yield from self._matrix(tensor)

    def _expert(self, layer: int, expert: int, projection: str, type_: Type, shape: tuple[int, ...]) -> Iterator[Bytes]:
        pool = self._pool(type_, shape[0], shape[1])
        shift = self._rng(f"{layer} {expert} {projection}").integers(1, len(pool))
        yield pool[shift:]
        yield pool[:shift]

    @cache  # noqa: B019 - there are few pools, and all are needed as long as the object lives
    def _pool(self, type_: Type, rows: int, columns: int) -> Bytes:
        return quantize(self._normal(f"pool {rows}", rows, columns), type_)

    def _matrix(self, tensor: Tensor) -> Iterator[Bytes]:
        rows, columns = tensor.shape
        for first in range(0, rows, ROWS_AT_ONCE):
            part = self._normal(f"{tensor.name} {first}", min(ROWS_AT_ONCE, rows - first), columns)
            if tensor.name == "token_embd.weight":
                part *= np.sqrt(columns, dtype=np.float32)  # unit variance, like what later layers add
            yield part.view(np.uint8) if tensor.type == Type.F32 else quantize(part, tensor.type)

    def _vector(self, name: str, length: int) -> Floats:
        if not name.endswith("exp_probs_b.bias"):
            return np.ones(length, np.float32)  # a norm's weights
        if self._routing == "uniform":
            return np.zeros(length, np.float32)
        return zipf_routing()[0][self._order(name, length)]

    def expert_tokens(self, layers: range, experts: int) -> list[int]:
        """Return the counts that a calibration with CALIBRATION_TOKENS would expect on average."""
        names = [f"blk.{layer}.exp_probs_b.bias" for layer in layers]
        uses = [zipf_routing()[1][self._order(name, experts)] for name in names]
        return [round(use * CALIBRATION_TOKENS) for use in np.concatenate(uses)]

    def _order(self, name: str, experts: int) -> NDArray[np.int64]:
        """Permute Zipf's ranks over a layer's experts, seeded by the name of the layer's bias."""
        return self._rng(name).permutation(experts)

    def _normal(self, key: str, rows: int, columns: int) -> Floats:
        values = self._rng(key).standard_normal((rows, columns), np.float32)
        values /= np.sqrt(columns, dtype=np.float32)
        return values

    def _rng(self, key: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._seed} {key}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def header_spec(folder: Path, plan: Plan, layout: LayoutName) -> HeaderSpec:
    """Read everything about the model except its weights from a checkpoint folder that has none."""
    source = CheckpointFolder.at(folder)
    hparams, _notes = find_architecture(source.config).read_config(source.config, {})
    made = make_layout(hparams, plan, layout)
    return HeaderSpec(hparams, read_tokenizer(folder, hparams), source, RANDOM_WEIGHTS, plan, made)


def write_gguf(
    path: Path,
    plan: Plan,
    config: Mapping[str, Any],
    *,
    layout: LayoutName = "edgemed",
    routing: str = "uniform",
    calibrated: bool = False,
    split: int | None = None,
) -> int:
    """Write the model described by this config.json; return its size in bytes. Its checksums and digest are valid.

    calibrated: the header also says how often each expert is used, which needs routing by Zipf's law. split: write
    parts of at most this many bytes, with the same weights.
    """
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "random weights"  # its name becomes the model's
        folder.mkdir()
        write_folder(folder, config)
        spec = header_spec(folder, plan, layout)
    if split is not None:
        spec = dataclasses.replace(spec, layout=split_layout(spec.layout, split, len(build_headers(spec)[0])))
    made = spec.layout
    names = [part_name(model_stem(path), number, made.n_parts) for number in range(made.n_parts)]
    paths = [path.with_name(name) for name in names] if made.n_parts > 1 else [path]
    n_dense = len(made.units) - made.n_experts
    weights = Weights(routing)
    if calibrated:
        seen = weights.expert_tokens(spec.hparams.moe_layers, spec.hparams.n_expert)
        spec = dataclasses.replace(spec, expert_tokens=seen)
    checksums: list[int] = []
    running = Xxh3()
    digest = hashlib.sha256()
    with ExitStack() as stack:
        writers = [stack.enter_context(DirectWriter(part, digest.update)) for part in paths]
        for writer, blank in zip(writers, build_headers(spec), strict=True):
            writer.append(np.frombuffer(blank, np.uint8), digested=False)
        for number, tensor in enumerate(made.tensors):
            writer = writers[tensor.file]
            if number and made.tensors[number - 1].file != tensor.file:
                writers[tensor.file - 1].pad(made.alignment)
                writers[tensor.file - 1].settle()  # the digest goes on in the next part
            # A work unit is one dense tensor, or one expert's three matrices with the padding between them. (The stock
            # layout has no checksums; there the count is wrong and the result is not written.)
            inside = number > n_dense and (number - n_dense) % 3
            padding = writer.pad(made.alignment)
            if inside:
                running.update(np.zeros(padding, np.uint8))
            else:
                running = Xxh3()
            for piece in weights.pieces(tensor):
                flat = np.ascontiguousarray(piece).reshape(-1)
                writer.append(flat)
                running.update(flat)
            if number < n_dense or (number - n_dense) % 3 == 2:
                checksums.append(running.digest())
        writers[-1].pad(made.alignment)
        writers[-1].settle()
        headers = build_headers(spec, checksums, digest.hexdigest())
        for writer, header in zip(writers, headers, strict=True):
            writer.close(header)
    return sum(writer.position for writer in writers)


def parse_types(text: str) -> dict[Type, int]:
    """Parse `Q4_K`, or a mixture with counts: `Q2_K:44,Q4_K:122`."""
    parts = (part.partition(":") for part in text.split(","))
    return {parse_type(name): int(count or 1) for name, _, count in parts}


def main(argv: list[str] | None = None) -> int:
    """Write one model or checkpoint and print the speed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.true_shape", description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, help="the GGUF to write, or the folder with --checkpoint")
    parser.add_argument("--layers", type=int, default=32, help="all layers, the dense first one included (default 32)")
    parser.add_argument("--vocab", type=int, default=157184, help="rows of the embedding (default 157184)")
    parser.add_argument("--types", type=parse_types, default={Type.Q4_K: 1}, help="Q4_K, or Q2_K:170,Q3_K:86")
    parser.add_argument("--layout", choices=("edgemed", "llama.cpp"), default="edgemed")
    parser.add_argument("--routing", choices=("uniform", "zipf"), default="uniform")
    parser.add_argument(
        "--calibrated", action="store_true", help="with zipf: store in the header how often each expert is used"
    )
    parser.add_argument("--split", metavar="SIZE", type=parse_size, help="write parts of at most this size")
    parser.add_argument("--checkpoint", choices=("bf16", "fp8"), help="write safetensors shards instead of a GGUF")
    args = parser.parse_args(argv)
    if args.calibrated and args.routing != "zipf":
        parser.error("--calibrated needs --routing zipf")
    start = time.monotonic()
    config = true_config(args.layers, args.vocab)
    if args.checkpoint:
        from benchmarks.true_checkpoint import write_checkpoint

        size = write_checkpoint(args.output, config, args.checkpoint)
    else:
        plan = mixture(args.types, range(1, args.layers))
        chosen = {"layout": args.layout, "routing": args.routing, "calibrated": args.calibrated, "split": args.split}
        size = write_gguf(args.output, plan, config, **chosen)
    seconds = time.monotonic() - start
    print(f"{args.output}: {size / 1e9:.2f} GB in {seconds:.0f} s ({size / 1e9 / seconds:.2f} GB/s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
