"""Machines that were never measured."""

from __future__ import annotations

from edgemed.engine.compute_rates import ComputeRates
from edgemed.engine.machine import Machine
from edgemed.engine.prediction import TYPES

GB = 10**9


def machine(disk: float = 2.4, product: float = 20.0, batch: float = 100.0) -> Machine:
    """Rates in GB/s (batch: weights times rows), the same for every type, and nothing for the small change."""
    rates, batches = dict.fromkeys(TYPES, product * GB), dict.fromkeys(TYPES, batch * GB)
    compute = ComputeRates(
        2, node_s=0.0, start_s=0.0, sample_s=0.0, tell_s=0.0, products=rates, few_rows=batches, batches=batches
    )
    return Machine(disk=disk * GB, memory=26.0 * GB, compute=compute, direct=True)
