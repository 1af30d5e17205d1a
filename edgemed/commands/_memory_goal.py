"""`convert --ram`: the most bits whose chat is still usable on this machine, by measurement and arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.errors import BudgetError
from edgemed.sizes import format_size

if TYPE_CHECKING:
    from edgemed.engine.machine import Machine
    from edgemed.model_file import HParams

USABLE = 3.0  # tokens a second: about the pace of reading aloud
CONTEXT = 8192
STEP = 0.05  # bits
READ_BITS = 3.0


def bits_for_memory(hparams: HParams, ram_bytes: int, folder: Path, palette: str) -> float:
    """Measure memory and the disk of `folder`, choose, and say on standard error what was assumed.

    Raises BudgetError where the palette's fewest bits do not fit, SetupError where nothing can be measured.
    """
    from edgemed.engine.model_size import TYPES, size_of
    from edgemed.engine.survey import survey_machine
    from edgemed.twin import original_of_types, twins

    with twins(original_of_types(hparams, TYPES)) as made:
        machine = survey_machine(made, int(size_of(hparams, READ_BITS).expert_bytes), folder)
    bits, speed = most_bits(hparams, ram_bytes, machine, palette)
    usable = "" if speed >= USABLE else f", below the {USABLE:g} that are called usable here"
    print(
        f"edgemed: {format_size(ram_bytes)} of memory: {bits:.2f} bits a weight for the experts; {speed:.1f} tokens/s "
        f"are predicted{usable}. Assumed: a disk of {machine.disk / 1e9:.2f} GB/s and memory of "
        f"{machine.memory / 1e9:.1f} GB/s, as measured now, a context of {CONTEXT} tokens, topics that drift.",
        file=sys.stderr,
    )
    return bits


def most_bits(hparams: HParams, ram_bytes: int, machine: Machine, palette: str) -> tuple[float, float]:
    """(bits, predicted tokens a second): the most bits that are usable, or the fastest where none is.

    Raises BudgetError.
    """
    import numpy as np

    from edgemed.engine.model_size import size_of
    from edgemed.engine.prediction import predict, smallest_ram
    from edgemed.quant.calibrated import PALETTES
    from edgemed.quant.types import bits_per_weight

    known = [float(bits_per_weight(type_)) for type_ in PALETTES[palette]]
    speeds = {
        float(bits): found[-1].tokens_per_s
        for bits in np.arange(max(known), min(known) - 1e-9, -STEP)
        if (found := predict(size_of(hparams, float(bits)), machine, ram_bytes, CONTEXT))
    }
    if not speeds:
        least = smallest_ram(size_of(hparams, min(known)), CONTEXT)
        raise BudgetError(
            f"{format_size(ram_bytes)} of memory hold this model at no precision of the palette {palette}; it takes "
            f"{format_size(least)} at least."
        )
    usable = [bits for bits, speed in speeds.items() if speed >= USABLE]
    bits = max(usable) if usable else max(speeds, key=lambda bits: speeds[bits])
    return bits, speeds[bits]
