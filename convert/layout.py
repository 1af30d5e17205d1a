"""The layout of the output: type and offset of every tensor, known before the first weight is read.

There are two layouts (docs/format.md). "edgemed" has the dense tensors first, then gate, up and down of each expert of
each layer side by side. Every tensor starts on a page boundary, so that an expert is one read. "llama.cpp" is the
layout of llama.cpp's own files: the experts of a layer are stacked in three 3-D tensors, each of one type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from gguf import GGMLQuantizationType as Type

from edgemed.architectures import Architecture, HParams, Mapped
from edgemed.architectures.architecture import Change
from edgemed.architectures.tensors import PROJECTIONS, stacked_name
from edgemed.errors import PlanError
from edgemed.model_file import keys
from edgemed.model_file.header import DEFAULT_ALIGNMENT
from edgemed.quant import types
from edgemed.quant.plan import Plan

LayoutName = Literal["edgemed", "llama.cpp"]
LAYOUTS: tuple[LayoutName, ...] = ("edgemed", "llama.cpp")

MappedExpert = tuple[int, int, tuple[Mapped, Mapped, Mapped]]
"""Layer, expert, and its gate, up and down."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the output. `shape` is (…, out, in); `offset` counts from the start of its part's data section."""

    name: str
    shape: tuple[int, ...]
    type: Type
    offset: int
    nbytes: int
    file: int = 0  # the part that holds it


@dataclass(frozen=True, slots=True)
class Slice:
    """One matrix or vector of the checkpoint, and the bytes from `offset` in its part's data section that it becomes.

    A slice is a whole tensor of the output or, in the llama.cpp layout, one expert's part of a stacked tensor.
    lead: zero bytes of padding before the slice that count for the unit's checksum. change: a function applied to a
    vector's values.
    """

    source: str
    rows: int
    columns: int
    type: Type
    offset: int
    nbytes: int
    lead: int = 0
    change: Change | None = None
    file: int = 0  # the part that holds it


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """What is converted, checksummed and journalled as a whole: a dense tensor, or the matrices of one expert."""

    slices: tuple[Slice, ...]
    expert: tuple[int, int] | None = None  # layer and expert

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.slices)


@dataclass(frozen=True, slots=True)
class Layout:
    """The output's tensors in file order, and the work units that fill them: dense tensors first, then experts.

    data_bytes: length of each part's data section.
    """

    name: LayoutName
    alignment: int
    tensors: list[Tensor]
    units: list[WorkUnit]
    data_bytes: tuple[int, ...]

    @property
    def n_parts(self) -> int:
        return len(self.data_bytes)

    @property
    def n_experts(self) -> int:
        return sum(unit.expert is not None for unit in self.units)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors, without padding."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors)


def map_experts(hparams: Architecture) -> list[MappedExpert]:
    """Every routed expert in the order of the file."""
    return [
        (layer, expert, hparams.expert_tensors(layer, expert))
        for layer in hparams.stored_moe_layers
        for expert in range(hparams.n_expert)
    ]


def make_layout(hparams: Architecture, plan: Plan, name: LayoutName, *, from_gguf: bool = False) -> Layout:
    """Place every tensor. Raises PlanError if the plan does not fit the model or the layout.

    from_gguf: the weights come from a GGUF, so they have its names and need no change.
    """
    plan.validate(hparams)
    experts, dense = map_experts(hparams), list(hparams.dense_tensors())
    if from_gguf:
        experts = [(layer, expert, _from_gguf(matrices)) for layer, expert, matrices in experts]
        dense = [mapped.from_gguf() for mapped in dense]
    place = _Placer(keys.ALIGNMENT if name == "edgemed" else DEFAULT_ALIGNMENT)
    units = []
    for mapped in dense:
        tensor = place.tensor(mapped.target, mapped.shape, plan.dense_type(mapped.target, mapped.shape[::-1]))
        units.append(WorkUnit((_slice(mapped, tensor.type, tensor.offset, tensor.nbytes),)))
    units += _own_tensors(plan, experts, place) if name == "edgemed" else _stacked(plan, hparams, experts, place)
    return Layout(name, place.alignment, place.tensors, units, (place.end,))


def _own_tensors(plan: Plan, experts: list[MappedExpert], place: _Placer) -> Iterator[WorkUnit]:
    """The experts of the edgemed layout: every matrix is a tensor, and the padding between them is checksummed too."""
    for layer, expert, matrices in experts:
        slices = []
        for projection, mapped in enumerate(matrices):
            end = place.tensors[-1].offset + place.tensors[-1].nbytes
            chosen = types.storable(plan.expert_type(layer, expert, projection), mapped.shape[1])
            tensor = place.tensor(mapped.target, mapped.shape, chosen)
            lead = tensor.offset - end if projection else 0
            slices.append(_slice(mapped, chosen, tensor.offset, tensor.nbytes, lead))
        yield WorkUnit(tuple(slices), (layer, expert))


def _stacked(plan: Plan, hparams: HParams, experts: list[MappedExpert], place: _Placer) -> Iterator[WorkUnit]:
    """The experts of the llama.cpp layout. Raises PlanError if the plan gives one stack several types."""
    stacks: dict[tuple[int, int], Tensor] = {}
    for layer in hparams.stored_moe_layers:
        for projection, name in enumerate(PROJECTIONS):
            chosen = {plan.expert_type(layer, expert, projection) for expert in range(hparams.n_expert)}
            if len(chosen) > 1:
                raise PlanError(
                    f"The plan stores {name} of layer {layer} in {len(chosen)} types, but the llama.cpp layout has one "
                    "type for all experts of a layer: use --layout edgemed, or a plan without exceptions for experts."
                )
            shape = hparams.expert_matrix_shape(name)
            stored_type = types.storable(chosen.pop(), shape[1])
            stacks[layer, projection] = place.tensor(stacked_name(layer, name), (hparams.n_expert, *shape), stored_type)
    for layer, expert, matrices in experts:
        slices = []
        for projection, mapped in enumerate(matrices):
            stack = stacks[layer, projection]
            each = stack.nbytes // hparams.n_expert
            slices.append(_slice(mapped, stack.type, stack.offset + expert * each, each))
        yield WorkUnit(tuple(slices), (layer, expert))


def _from_gguf(matrices: tuple[Mapped, Mapped, Mapped]) -> tuple[Mapped, Mapped, Mapped]:
    gate, up, down = (mapped.from_gguf() for mapped in matrices)
    return gate, up, down


class _Placer:
    """Assigns offsets in the data section, in order, each a multiple of the alignment."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.tensors: list[Tensor] = []
        self.end = 0

    def tensor(self, name: str, shape: tuple[int, ...], type_: Type) -> Tensor:
        nbytes = prod(shape[:-1]) * types.row_bytes(type_, shape[-1])
        placed = Tensor(name, shape, type_, self.end, nbytes)
        self.tensors.append(placed)
        self.end += -(-nbytes // self.alignment) * self.alignment
        return placed


def _slice(mapped: Mapped, type_: Type, offset: int, nbytes: int, lead: int = 0) -> Slice:
    rows, columns = mapped.shape if len(mapped.shape) == 2 else (1, mapped.shape[0])
    return Slice(mapped.source, rows, columns, type_, offset, nbytes, lead, mapped.change)
