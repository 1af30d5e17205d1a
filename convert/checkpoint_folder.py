"""A checkpoint as a folder of safetensors shards, config.json and a tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

from edgemed.architectures import Mapped, find_architecture
from edgemed.architectures.config import Config
from edgemed.convert.json_files import read_json, read_optional_json
from edgemed.convert.known_digests import check_downloads
from edgemed.convert.layout import map_experts
from edgemed.convert.opened import Opened
from edgemed.convert.safetensors import CONVERTED, StoredTensor
from edgemed.convert.shards import FP8_BLOCK, INDEX, Shards
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import CheckpointError

MARKING = "edgemed.json"
NAMED = (
    MARKING,
    INDEX,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
)
SHARDS = "*.safetensors"
NO_WEIGHTS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")
USES = ("demonstration", "unevaluated")


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A checkpoint folder and where it came from: a `Source`."""

    folder: Path
    name: str
    repository: str
    revision: str
    intended_use: str
    config: Config
    made_from: str = ""

    @classmethod
    def at(cls, folder: Path, repository: str = "", revision: str = "") -> CheckpointFolder:
        """The checkpoint in `folder`, downloaded from `repository` if that is named. Raises CheckpointError."""
        check_downloads(folder / name for name in NAMED)
        marking = read_optional_json(folder / MARKING)
        use = marking.get("intended_use", "unevaluated")
        if use not in USES:
            raise CheckpointError(f"{MARKING} says intended_use = {use!r:.40}; it must be one of {', '.join(USES)}.")
        return cls(
            folder=folder,
            name=_text(marking, "name")
            or repository.rpartition("/")[2]
            or folder.resolve().name.encode(errors="replace").decode(),
            repository=_text(marking, "repository") or repository,
            revision=_text(marking, "revision") or revision,
            intended_use=use,
            config=Config(read_json(folder / "config.json")),
        )

    @property
    def files(self) -> list[Path]:
        """Every file that the conversion reads, or would read if it existed."""
        return [*(self.folder / name for name in NAMED), *self.folder.glob(SHARDS)]

    @property
    def fp8_block(self) -> tuple[int, int]:
        """Height and width of the blocks that share an FP8 scale. Raises CheckpointError for any other quantisation."""
        settings = self.config.section("quantization_config")
        if (method := settings.get("quant_method")) is None:
            return FP8_BLOCK
        size = settings.get("weight_block_size")
        if method != "fp8" or not isinstance(size, list) or len(size) != 2 or not all(_positive(side) for side in size):
            raise CheckpointError(
                f"The checkpoint is quantised by {method!r:.60}; edgemed converts BF16, F16, F32 and "
                "blockwise FP8; use a checkpoint in one of these."
            )
        return size[0], size[1]

    def open(self) -> Opened:
        """Read and check everything but the weights. Raises CheckpointError."""
        shards = Shards(self.folder, self.fp8_block)
        stored = {name: tensor.shape for name, tensor in shards.tensors.items()}
        hparams, notes = find_architecture(self.config).read_config(self.config, stored)
        experts = chain.from_iterable(matrices for _, _, matrices in map_experts(hparams))
        left_out = _check_tensors([*hparams.dense_tensors(), *experts], shards.tensors)
        # After that check: the tokenizer makes a name for every row of the embedding, and a damaged config.json may
        # claim any number of rows.
        tokenizer = read_tokenizer(self.folder, hparams)
        return Opened(
            shards, hparams, tokenizer, self.digest(shards.digest), notes=[*notes, *left_out, *tokenizer.notes]
        )

    def digest(self, shards_digest: str) -> str:
        """SHA-256 over the shards' digest (names, sizes, headers), config.json and tokenizer.json."""
        state = hashlib.sha256(shards_digest.encode())
        for name in ("config.json", "tokenizer.json"):
            state.update(hashlib.sha256((self.folder / name).read_bytes()).digest())
        return state.hexdigest()


def _check_tensors(wanted: list[Mapped], stored: Mapping[str, StoredTensor]) -> list[str]:
    """Notes on tensors that are left out, which hold no weights. Raises CheckpointError unless the others are exactly
    the architecture's, each in its shape and of a dtype that can be converted."""
    for mapped in wanted:
        tensor = stored.get(mapped.source)
        if tensor is None:
            raise CheckpointError(
                f"The checkpoint lacks the tensor {mapped.source}; download the whole checkpoint again."
            )
        if tensor.shape != mapped.shape:
            raise CheckpointError(
                f"The tensor {mapped.source} has the shape {list(tensor.shape)}, but config.json implies "
                f"{list(mapped.shape)}; download the checkpoint again."
            )
        if tensor.dtype not in CONVERTED:
            raise CheckpointError(
                f"The tensor {mapped.source} is stored as {tensor.dtype:.40}, but edgemed converts only "
                f"{', '.join(CONVERTED)}; use a checkpoint in one of these."
            )
    others = sorted(set(stored) - {mapped.source for mapped in wanted})
    unknown = [name for name in others if _may_be_weights(stored[name])]
    if unknown:
        raise CheckpointError(
            f"The checkpoint has {len(unknown)} tensors that config.json does not account for, such as {unknown[0]}; "
            "download a config.json that belongs to these weights."
        )
    if others:
        return [f"Tensors that hold no weights are left out: {len(others)}, such as {others[0]:.80}."]
    return []


def _may_be_weights(tensor: StoredTensor) -> bool:
    """False for counters, masks, empty tensors and the buffers of rotary embeddings, which some tools save too."""
    values = prod(tensor.shape) if tensor.shape else 0
    return values > 0 and tensor.dtype not in NO_WEIGHTS and not tensor.name.endswith(".inv_freq")


def _text(marking: dict[str, object], key: str) -> str:
    value = marking.get(key, "")
    if not isinstance(value, str):
        raise CheckpointError(f"{MARKING} says {key} = {value!r:.40}, but it must be text.")
    return value


def _positive(side: object) -> bool:
    return type(side) is int and side > 0
