"""A checkpoint opened for conversion: everything that can be known, and refused, before a weight is read.

    with Checkpoint(find_source("path/to/checkpoint")) as checkpoint:
        size = checkpoint.file_size(Plan.uniform(4.5))

A command opens its checkpoint once. Shard headers, config.json and the tokenizer are read once, even if many plans are
tried before one is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from math import prod
from types import TracebackType

from edgemed.architectures import Mapped, find_architecture
from edgemed.convert.header import HeaderSpec, build_headers, file_sizes
from edgemed.convert.known_digests import check_downloads
from edgemed.convert.layout import Layout, LayoutName, make_layout, map_experts
from edgemed.convert.safetensors import CONVERTED, StoredTensor
from edgemed.convert.shards import Shards
from edgemed.convert.source import Source
from edgemed.convert.split import split_layout
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import CheckpointError
from edgemed.quant.calibrated import Calibrated, Matrices
from edgemed.quant.plan import Plan
from edgemed.quant.planning import Target

NO_WEIGHTS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


class Checkpoint:
    """Hyper-parameters, tokenizer, tensors and weights of `source`. `notes` are sentences the user should read.

    A context manager. Raises CheckpointError for a checkpoint that is damaged, incomplete or of another architecture.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        try:
            self._read()
        except CheckpointError:
            # A download that is damaged on the disk must be deleted: downloading it again finds it in the cache.
            check_downloads(source.files)
            raise

    def _read(self) -> None:
        source = self.source
        self.shards = Shards(source.folder, source.fp8_block)
        stored = {name: tensor.shape for name, tensor in self.shards.tensors.items()}
        self.hparams, self.notes = find_architecture(source.config).read_config(source.config, stored)
        experts = chain.from_iterable(matrices for _, _, matrices in map_experts(self.hparams))
        self.notes += _check_tensors([*self.hparams.dense_tensors(), *experts], self.shards.tensors)
        # After that check: the tokenizer makes a name for every row of the embedding, and a damaged config.json may
        # claim any number of rows.
        self.tokenizer = read_tokenizer(source.folder, self.hparams)
        self.notes += self.tokenizer.notes
        if self.tokenizer.chat_template is None:
            self.notes.append("The checkpoint has no chat template, so the chat cannot format a conversation.")
        self.digest = source.digest(self.shards.digest)

    def layout(self, plan: Plan, name: LayoutName = "edgemed") -> Layout:
        """Where every tensor lies in the file that `plan` makes. Raises PlanError."""
        return make_layout(self.hparams, plan, name)

    def header_spec(
        self,
        plan: Plan,
        name: LayoutName = "edgemed",
        calibrated: Calibrated | None = None,
        split: int | None = None,
    ) -> HeaderSpec:
        """What the header of that file will hold. split: the largest size of a part, if it is to have parts.

        Raises PlanError, and UsageError for impossible parts.
        """
        spec = HeaderSpec(
            hparams=self.hparams,
            tokenizer=self.tokenizer,
            source=self.source,
            source_digest=self.digest,
            plan=plan,
            layout=self.layout(plan, name),
            calibration_digest=calibrated.digest if calibrated else None,
            expert_tokens=calibrated.expert_tokens if calibrated else (),
        )
        if split is None:
            return spec
        (header,) = build_headers(spec)
        return replace(spec, layout=split_layout(spec.layout, split, len(header)))

    def file_size(
        self,
        plan: Plan,
        name: LayoutName = "edgemed",
        calibrated: Calibrated | None = None,
        split: int | None = None,
    ) -> int:
        """Size of that file in bytes, or of all its parts. Raises what `header_spec` raises."""
        return sum(file_sizes(self.header_spec(plan, name, calibrated, split)))

    def read_expert(self, layer: int, expert: int) -> Matrices:
        """Gate, up and down of one expert in float32, each [out, in]. Thread-safe."""
        gate, up, down = (
            self.shards.read(mapped.source, 0, mapped.shape[0]) for mapped in self.hparams.expert_tensors(layer, expert)
        )
        return gate, up, down

    def target(
        self, name: LayoutName = "edgemed", calibrated: Calibrated | None = None, split: int | None = None
    ) -> Target:
        """The file to make, in the form that `plan_for` takes."""
        return Target(
            hparams=self.hparams,
            read=self.read_expert,
            file_size=lambda plan: self.file_size(plan, name, calibrated, split),
            whole_tensors=name == "llama.cpp",
        )

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shards.close()


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
