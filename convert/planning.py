"""A plan that meets a goal: so many bits a weight, or a file of so many bytes.

With calibration the bits go where the measured damage is (quant/allocation.py); without, all experts get the most
precise single type that meets the goal. Dense matrices are Q8_0, unless calibration measured what each group of them
wins by it over Q6_K (quant/dense.py). Then, for a size, they are weighed with the experts, byte against byte; for bits
of the experts, a dense byte must win as much as the experts' last one; and for memory, where bytes are time too, every
choice worth making is tried at the most bits that keep it usable, and the least damaging one is taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.architectures import Architecture, HParams, find_architecture
from edgemed.convert.header import Contents, build_header
from edgemed.convert.layout import LayoutName, make_layout
from edgemed.convert.shards import Shards
from edgemed.convert.source import Source
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import BudgetError
from edgemed.quant import types
from edgemed.quant.allocation import Allocation
from edgemed.quant.calibrated import PALETTES, Calibrated, Matrices
from edgemed.quant.dense import EMBEDDING, Dense
from edgemed.quant.plan import Plan
from edgemed.quant.planner import expert_bytes, plan_experts
from edgemed.quant.sensitivity import PRIOR_TOKENS
from edgemed.sizes import format_size

TRIES = 12


@dataclass(frozen=True, slots=True)
class Memory:
    """What memory allows. most_bits(saved, saved_embedding): the most bits for experts that give `usable` tokens a
    second or more, else the fastest there are, and the speed; where the dense matrices that every token reads, and
    the embedding, take so many bytes less than in Q8_0. Raises BudgetError."""

    most_bits: Callable[[int, int], tuple[float, float]]
    usable: float


@dataclass(frozen=True, slots=True)
class Goal:
    """One of the three. bits: of the experts' weights; size_bytes: of the whole file, never above."""

    bits: float | None = None
    size_bytes: int | None = None
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan, the calibration to convert with, and what the plan promises. speed: (bits, tokens a second) that
    `Memory` gave for it."""

    plan: Plan
    calibrated: Calibrated | None
    size_bytes: int
    notes: list[str]
    speed: tuple[float, float] | None = None


def hparams_of(source: Source) -> Architecture:
    """A checkpoint's shape. Raises CheckpointError."""
    with Shards(source.folder, source.fp8_block) as shards:
        shapes = {name: tensor.shape for name, tensor in shards.tensors.items()}
        return find_architecture(source.config).read_config(source.config, shapes)[0]


def plan_for(
    source: Source,
    goal: Goal,
    calibration: Path | None,
    *,
    palette: str = "fast",
    layout: LayoutName = "edgemed",
    compensated: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Planned:
    """Raises CheckpointError, CalibrationError, or BudgetError for a goal below what the palette can."""
    with Shards(source.folder, source.fp8_block) as shards:
        shapes = {name: tensor.shape for name, tensor in shards.tensors.items()}
        hparams, _ = find_architecture(source.config).read_config(source.config, shapes)
        # Any plan's layout refuses a checkpoint that is not whole: before names are made for its rows and weights read.
        make_layout(hparams, Plan.uniform(Type.F32), layout, shapes)
        tokenizer = read_tokenizer(source.folder, hparams)
        calibrated = Calibrated.load(calibration, hparams, compensated=compensated) if calibration else None
        source_digest = source.digest(shards.digest)

        def size(plan: Plan) -> int:
            """Bytes of the file that this plan makes."""
            made = make_layout(hparams, plan, layout, shapes)
            contents = Contents(hparams, tokenizer, source, source_digest, plan, made)
            return len(build_header(contents.calibrated_by(calibrated))) + made.data_bytes

        if calibrated is None:
            plan = _single(goal, palette, hparams, size)
            return Planned(plan, None, size(plan), [])

        def read(layer: int, expert: int) -> Matrices:
            gate, up, down = (
                shards.read(mapped.source, 0, mapped.shape[0]) for mapped in hparams.expert_tensors(layer, expert)
            )
            return gate, up, down

        chosen = PALETTES[palette]
        damage = calibrated.weigh_all(read, chosen, os.cpu_count() or 1, on_progress)

    shapes_of_dense = [(mapped.target, mapped.shape) for mapped in hparams.dense_tensors() if len(mapped.shape) == 2]
    seen = calibrated.statistics
    dense = (
        Dense.of(shapes_of_dense, seen.dense, hparams.DENSE_KINDS) if seen.effects.any() and seen.dense.any() else None
    )

    def planned(budget: int, dense: Dense | None = None) -> tuple[Plan, Allocation]:
        whole, rare = layout == "llama.cpp", seen.tokens.sum(axis=0) < PRIOR_TOKENS
        return plan_experts(hparams, seen.layers, damage, chosen, budget, rare=rare, whole_tensors=whole, dense=dense)

    speed = None
    if goal.memory is not None:
        plan, speed = _in_memory(goal.memory, hparams, planned, dense)
    elif goal.size_bytes is None:
        plan, allocation = planned(_expert_budget(hparams, goal.bits or 0))
        if dense is not None:
            plan = replace(plan, dense=dense.kinds_of(dense.at_price(allocation.price)))
    else:
        plan = _within(goal.size_bytes, hparams, chosen, lambda budget: planned(budget, dense)[0], size, dense)
    notes = []
    if not calibrated.sampled:
        notes.append(
            "The statistics are sums only, as llama.cpp collects them: types are chosen by relative error, and codes "
            "do not make up for one another. `edgemed calibrate` collects more."
        )
    elif not seen.effects.any():
        notes.append(
            "The statistics do not say what each layer weighs on the next token, so layers count by the size of what "
            "they add; `edgemed calibrate` without --effects 0 measures it."
        )
    return Planned(plan, calibrated, size(plan), notes, speed)


def _expert_budget(hparams: HParams, bits: float) -> int:
    """Bytes of all experts at so many bits a weight."""
    count = hparams.n_moe_layers * hparams.n_expert
    return floor(count * hparams.expert_weights * Fraction(bits) / 8)


def _in_memory(
    memory: Memory, hparams: HParams, planned: Callable[[int], tuple[Plan, Allocation]], dense: Dense | None
) -> tuple[Plan, tuple[float, float]]:
    """The least damaging of the plans that are usable, or the fastest where none is; and its bits and speed."""
    found: list[tuple[tuple[bool, float], Plan, tuple[float, float]]] = []
    refused: BudgetError | None = None
    for choice in dense.frontier() if dense else [None]:
        saved = dense.saved(choice) if dense is not None and choice is not None else np.zeros(EMBEDDING + 1, np.int64)
        try:
            bits, speed = memory.most_bits(int(saved.sum() - saved[EMBEDDING]), int(saved[EMBEDDING]))
        except BudgetError as error:  # smaller dense matrices may still fit
            refused = error
            continue
        plan, allocation = planned(_expert_budget(hparams, bits))
        lost = allocation.damage
        if dense is not None and choice is not None:
            plan, lost = replace(plan, dense=dense.kinds_of(choice)), lost + dense.lost(choice)
        slow = speed < memory.usable
        found.append(((slow, -speed if slow else lost), plan, (bits, speed)))
    if refused is not None and not found:
        raise refused
    _, plan, promised = min(found, key=lambda one: one[0])
    return plan, promised


def _within(
    size_bytes: int,
    hparams: HParams,
    chosen: tuple[Type, ...],
    planned: Callable[[int], Plan],
    size: Callable[[Plan], int],
    dense: Dense | None,
) -> Plan:
    """The plan for a file's size. Padding and header are known only with a plan, so it takes a few tries."""
    each = expert_bytes(hparams, chosen)
    count = hparams.n_moe_layers * hparams.n_expert
    least, most = int(each.min(axis=1).sum()) * count, int(each.max(axis=1).sum()) * count
    if dense is not None:
        least, most = (int(experts + part) for experts, part in zip((least, most), dense.size.sum(axis=0), strict=True))
    smallest = size(planned(least))
    if smallest > size_bytes:
        raise _too_small(size_bytes, smallest, chosen == PALETTES["small"])
    low, best = least, planned(least)
    budget = min(most, least + size_bytes - smallest)
    high = most + 1
    for _ in range(TRIES):
        plan = planned(budget)
        over = size(plan) - size_bytes
        if over <= 0:
            low, best = budget, plan
            if -over * 1000 <= size_bytes or budget == most:
                break
        else:
            high = budget
        budget = min(budget - over, most) if low < budget - over < high else (low + high) // 2
        if budget <= low:
            break
    return best


def _single(goal: Goal, palette: str, hparams: HParams, size: Callable[[Plan], int]) -> Plan:
    """One type for all experts: the nearest to the bits, or the most precise that fits the size."""
    if goal.size_bytes is None:
        return Plan.uniform(goal.bits or 0, palette)
    allowed = sorted(types.palette(palette), key=types.bits_per_weight)
    sizes = [size(Plan.uniform(type_, palette)) for type_ in allowed]
    fitting = [type_ for type_, made in zip(allowed, sizes, strict=True) if made <= goal.size_bytes]
    if not fitting:
        raise _too_small(goal.size_bytes, min(sizes), palette == "small")
    return Plan.uniform(fitting[-1], palette)


def _too_small(size_bytes: int, smallest: int, narrowest: bool) -> BudgetError:
    advice = "allow more." if narrowest else "allow more, or choose --palette small."
    return BudgetError(
        f"A file of {format_size(size_bytes)} is too small: with this palette the smallest has {smallest:,} bytes; "
        + advice
    )
