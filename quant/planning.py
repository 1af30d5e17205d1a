"""From a goal to a plan: so many bits per weight, a file of so many bytes, or so much memory.

With calibration, bits go where the measured damage is (allocation.py); without it, all experts get the most precise
single type that meets the goal. Dense matrices are Q8_0, unless calibration measured what each group of them gains by
Q8_0 over Q6_K (dense.py). Then the goal decides how dense bytes compete with the experts' bytes:

    bits    a dense byte must gain as much as the last byte that the experts were given
    size    dense groups and experts share the file's bytes, whichever gain most
    memory  bytes cost time too, so every choice of dense types worth making is tried with the most expert bits that
            keep it usable, and the least damaging one is taken
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import floor

from gguf import GGMLQuantizationType as Type

from edgemed.architectures import Architecture, HParams
from edgemed.control_group import usable_processors
from edgemed.errors import BudgetError
from edgemed.quant import types
from edgemed.quant.allocation import Allocation
from edgemed.quant.calibrated import Calibrated, Damages, Matrices
from edgemed.quant.dense import EMBEDDING, Dense
from edgemed.quant.plan import Plan
from edgemed.quant.planner import expert_bytes, plan_experts
from edgemed.quant.sensitivity import PRIOR_TOKENS
from edgemed.sizes import format_size

TRIES = 12


@dataclass(frozen=True, slots=True)
class Bits:
    """At most `bits` per weight, over all experts."""

    bits: float


@dataclass(frozen=True, slots=True)
class FileSize:
    """At most `nbytes` for the whole file."""

    nbytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """A chat that is usable in so much memory.

    most_bits(saved, saved_embedding): the most expert bits that give `usable` tokens per second or more, else the
    fastest bits there are; and the tokens per second. The arguments are how many bytes fewer than in Q8_0 the dense
    matrices that every token reads take, and the embedding. Raises BudgetError if nothing fits.
    """

    most_bits: Callable[[int, int], tuple[float, float]]
    usable: float


Goal = Bits | FileSize | Memory


@dataclass(frozen=True, slots=True)
class Target:
    """The file that a plan is for.

    read: weights of a layer's expert, called from any thread. file_size: bytes of the file that a plan makes.
    whole_tensors: the format has one type for a projection of all experts of a layer.
    """

    hparams: Architecture
    read: Callable[[int, int], Matrices]
    file_size: Callable[[Plan], int]
    whole_tensors: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and sentences the user should read about it. speed: (bits, tokens per second) promised by `Memory`."""

    plan: Plan
    notes: list[str] = field(default_factory=list)
    speed: tuple[float, float] | None = None


def plan_for(
    goal: Goal,
    target: Target,
    calibrated: Calibrated | None = None,
    *,
    palette: str = "fast",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Planned:
    """The best plan for `goal`. Weighing the experts, with calibration, takes long: on_progress(done, total).

    Raises CheckpointError, CalibrationError, or BudgetError for a goal that the palette cannot meet.
    """
    if calibrated is None:
        return _plan_uniform(goal, target, palette)
    allowed = types.palette(palette).calibrated
    damage = calibrated.weigh_all(target.read, allowed, usable_processors(), on_progress)
    planner = _Planner(target, calibrated, palette, damage)
    speed = None
    match goal:
        case Bits():
            plan = planner.for_bits(goal.bits)
        case FileSize():
            plan = planner.for_size(goal.nbytes)
        case Memory():
            plan, speed = planner.for_memory(goal)
    return Planned(plan, _notes(calibrated), speed)


def _plan_uniform(goal: Goal, target: Target, palette: str) -> Planned:
    """One type for all experts: the nearest to the bits, or the largest that fits the size."""
    match goal:
        case Bits():
            return Planned(Plan.uniform(goal.bits, palette))
        case Memory():
            bits, tokens_per_s = goal.most_bits(0, 0)
            return Planned(Plan.uniform(bits, palette), speed=(bits, tokens_per_s))
        case FileSize():
            plans = [Plan.uniform(type_, palette) for type_ in types.palette(palette).plain]
            sizes = [target.file_size(plan) for plan in plans]
            fitting = [plan for plan, size in zip(plans, sizes, strict=True) if size <= goal.nbytes]
            if not fitting:
                raise _too_small(goal.nbytes, min(sizes), palette)
            return Planned(fitting[-1])


@dataclass(frozen=True)
class _Planner:
    """Makes plans of any budget from the same measured damages, [L, E, 3, types of the palette]."""

    target: Target
    calibrated: Calibrated
    palette: str
    damage: Damages

    @property
    def dense(self) -> Dense | None:
        """The groups of dense matrices, if calibration measured them and the layers in the same unit."""
        seen, hparams = self.calibrated.statistics, self.target.hparams
        if not (seen.effects.any() and seen.dense.any()):
            return None
        matrices = [(mapped.target, mapped.shape) for mapped in hparams.dense_tensors() if len(mapped.shape) == 2]
        return Dense.of(matrices, seen.dense, hparams.DENSE_KINDS)

    def plan(self, budget: int, dense: Dense | None = None) -> tuple[Plan, Allocation]:
        """The least damaging plan within `budget` bytes for all experts, or for them and the dense groups."""
        seen = self.calibrated.statistics
        return plan_experts(
            self.target.hparams,
            seen.layers,
            self.damage,
            types.palette(self.palette).calibrated,
            budget,
            rare=seen.tokens.sum(axis=0) < PRIOR_TOKENS,
            whole_tensors=self.target.whole_tensors,
            dense=dense,
        )

    def for_bits(self, bits: float) -> Plan:
        """The plan for so many bits per weight of the experts."""
        plan, allocation = self.plan(_expert_budget(self.target.hparams, bits))
        dense = self.dense
        return plan if dense is None else replace(plan, dense=dense.kinds_of(dense.at_price(allocation.price)))

    def for_memory(self, memory: Memory) -> tuple[Plan, tuple[float, float]]:
        """The least damaging of the usable plans, or the fastest if none is usable; and its bits and speed."""
        found: list[_Candidate] = []
        refused: BudgetError | None = None
        for choice in self._dense_choices():
            try:
                bits, speed = memory.most_bits(choice.saved, choice.saved_embedding)
            except BudgetError as error:  # smaller dense matrices may still fit
                refused = error
                continue
            plan, allocation = self.plan(_expert_budget(self.target.hparams, bits))
            found.append(_Candidate(replace(plan, dense=choice.kinds), bits, speed, allocation.damage + choice.damage))
        if refused is not None and not found:
            raise refused
        usable = [candidate for candidate in found if candidate.speed >= memory.usable]
        best = min(usable, key=lambda one: one.damage) if usable else max(found, key=lambda one: one.speed)
        return best.plan, (best.bits, best.speed)

    def for_size(self, size_bytes: int) -> Plan:
        """The plan for a file's size. Padding and header depend on the plan, so the budget takes a few tries."""
        dense, size = self.dense, self.target.file_size
        each = expert_bytes(self.target.hparams, types.palette(self.palette).calibrated)
        count = self.damage[..., 0, 0].size
        least, most = int(each.min(axis=1).sum()) * count, int(each.max(axis=1).sum()) * count
        if dense is not None:
            least, most = (
                int(experts + part) for experts, part in zip((least, most), dense.size.sum(axis=0), strict=True)
            )
        best, _ = self.plan(least, dense)
        smallest = size(best)
        if smallest > size_bytes:
            raise _too_small(size_bytes, smallest, self.palette)
        # `best` has the budget `low` and fits; a plan of `high` bytes does not.
        low, high = least, most + 1
        budget = min(most, least + size_bytes - smallest)
        for _ in range(TRIES):
            plan, _ = self.plan(budget, dense)
            over = size(plan) - size_bytes
            if over <= 0:
                low, best = budget, plan
                if -over * 1000 <= size_bytes or budget == most:
                    break
            else:
                high = budget
            # Correct the budget by the measured excess; bisect if that leaves the interval.
            budget = min(budget - over, most) if low < budget - over < high else (low + high) // 2
            if budget <= low:
                break
        return best

    def _dense_choices(self) -> Iterator[_DenseChoice]:
        """Every choice of dense types worth making; only Q8_0 if nothing was measured."""
        dense = self.dense
        if dense is None:
            yield _DenseChoice({}, 0, 0, 0.0)
            return
        for choice in dense.frontier():
            saved = dense.saved(choice)
            embedding = int(saved[EMBEDDING])
            yield _DenseChoice(dense.kinds_of(choice), int(saved.sum()) - embedding, embedding, dense.lost(choice))


@dataclass(frozen=True, slots=True)
class _DenseChoice:
    """Types of the dense matrices; bytes saved against Q8_0, outside the embedding and in it; and their damage."""

    kinds: dict[str, Type]
    saved: int
    saved_embedding: int
    damage: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plan with its expert bits, tokens per second, and damage."""

    plan: Plan
    bits: float
    speed: float
    damage: float


def _expert_budget(hparams: HParams, bits: float) -> int:
    """Bytes of all experts at so many bits per weight."""
    count = hparams.n_moe_layers * hparams.n_expert
    return floor(count * hparams.expert_weights * Fraction(bits) / 8)


def _notes(calibrated: Calibrated) -> list[str]:
    if not calibrated.sampled:
        return [
            "The statistics are sums only, as llama.cpp collects them: types are chosen by relative error, without "
            "error compensation. `edgemed calibrate` collects more."
        ]
    if not calibrated.statistics.effects.any():
        return [
            "The statistics lack the effect of each layer on the next token, so layers count by the size of their "
            "output; `edgemed calibrate` without --effects 0 measures it."
        ]
    return []


def _too_small(size_bytes: int, smallest: int, palette: str) -> BudgetError:
    advice = "allow more." if palette == "small" else "allow more, or choose --palette small."
    return BudgetError(
        f"A file of {format_size(size_bytes)} is too small: with this palette the smallest has {smallest:,} bytes; "
        + advice
    )
