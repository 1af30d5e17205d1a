"""Invented machines with given rates."""

from __future__ import annotations

from math import inf

from edgemed.forecast.compute_rates import ComputeRates
from edgemed.forecast.machine import Machine
from edgemed.forecast.model_size import TYPES

GB = 10**9


def machine(disk: float = 2.4, product: float = 20.0, batch: float = 100.0, attention: float = inf) -> Machine:
    """Make a machine with these rates in GB/s (batch: weights times tokens), equal for every part and every type."""
    rates, batches = dict.fromkeys(TYPES, product * GB), dict.fromkeys(TYPES, batch * GB)
    compute = ComputeRates(2, product * GB, attention * GB, batch * GB, rates, batches)
    return Machine(disk=disk * GB, memory=26.0 * GB, compute=compute, direct=True)
