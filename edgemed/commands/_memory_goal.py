"""`convert --ram`: the most bits per weight at which a chat is predicted to be usable on this machine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import BudgetError
from edgemed.sizes import format_size

if TYPE_CHECKING:
    from edgemed.architectures import Architecture
    from edgemed.forecast.machine import Machine
    from edgemed.forecast.model_size import ModelSize
    from edgemed.quant.planning import Memory

USABLE = 3.0  # tokens per second: about the pace of reading aloud
CONTEXT = 8192
STEP = 0.05  # bits per weight between the candidates
READ_BITS = 3.0


def memory_goal(hparams: Architecture, ram_bytes: int, folder: Path, palette: str) -> Memory:
    """Measure this machine's memory, compute and the disk of `folder`, and print the assumptions to standard error.

    Raises SetupError if nothing can be measured.
    """
    from edgemed.forecast.model_size import TYPES, size_of
    from edgemed.forecast.survey import survey_machine
    from edgemed.forecast.twin import original_of_types, twins
    from edgemed.quant.planning import Memory

    with twins(original_of_types(hparams, TYPES)) as made:
        machine = survey_machine(made, int(size_of(hparams, READ_BITS).expert_bytes), folder)
    print(
        f"edgemed: assumptions for {format_size(ram_bytes)} of memory: disk {machine.disk / 1e9:.2f} GB/s, memory "
        f"{machine.memory / 1e9:.1f} GB/s (both just measured), a context of {CONTEXT} tokens, topics that drift.",
        file=sys.stderr,
    )
    return Memory(lambda *saved: most_bits(hparams, ram_bytes, machine, palette, *saved), USABLE)


def say_chosen(bits: float, speed: float) -> None:
    """Print the chosen bits per weight and the predicted speed to standard error."""
    usable = "" if speed >= USABLE else f", below the {USABLE:g} that count as usable"
    print(
        f"edgemed: chose {bits:.2f} bits per weight for the experts; {speed:.1f} tokens/s predicted{usable}.",
        file=sys.stderr,
    )


def most_bits(
    hparams: Architecture, ram_bytes: int, machine: Machine, palette: str, saved: int = 0, saved_embedding: int = 0
) -> tuple[float, float]:
    """(bits per weight, predicted tokens per second): the most bits that are usable, or else the fastest.

    saved, saved_embedding: bytes that the dense matrices (read by every token) and the embedding take less than in
    Q8_0. Raises BudgetError if the model does not fit at any precision.
    """
    import numpy as np

    from edgemed.forecast.model_size import size_of
    from edgemed.forecast.prediction import predict, smallest_ram
    from edgemed.quant.types import PALETTES, bits_per_weight

    def size(bits: float) -> ModelSize:
        whole = size_of(hparams, bits)
        dense = replace(whole.dense, nbytes=whole.dense.nbytes - saved)
        return replace(whole, dense=dense, other_bytes=whole.other_bytes - saved_embedding)

    known = [float(bits_per_weight(type_)) for type_ in PALETTES[palette].calibrated]
    speeds = {
        float(bits): found[-1].tokens_per_s
        for bits in np.arange(max(known), min(known) - 1e-9, -STEP)
        if (found := predict(size(float(bits)), machine, ram_bytes, CONTEXT))
    }
    if not speeds:
        least = smallest_ram(size(min(known)), CONTEXT)
        raise BudgetError(
            f"{format_size(ram_bytes)} of memory is too little for this model at any precision of the palette "
            f"{palette}; it needs at least {format_size(least)}."
        )
    usable = [bits for bits, speed in speeds.items() if speed >= USABLE]
    bits = max(usable) if usable else max(speeds, key=lambda bits: speeds[bits])
    return bits, speeds[bits]
