"""Prompts on which rounding cannot change what a model does."""

from collections.abc import Iterator

import numpy as np

from testing.reference import Model, Result, forward

_CANDIDATES = 200


def unambiguous_prompt(
    model: Model, tokens: int, *, router_margin: float, rounding_margin: float = 0
) -> tuple[tuple[int, ...], Result]:
    """Return the first of a fixed list of random prompts that has at least these margins, and its forward pass.

    The margins are those of Result: of the experts' and groups' scores, and of 8-bit activation codes.
    """
    for ids in _prompts(tokens):
        result = forward(model, ids)
        if result.margin >= router_margin and result.rounding_margin.min() >= rounding_margin:
            return ids, result
    raise AssertionError(f"none of {_CANDIDATES} prompts has margins of {router_margin} and {rounding_margin}")


def _prompts(tokens: int) -> Iterator[tuple[int, ...]]:
    random = np.random.PCG64(tokens)  # numpy keeps its stream stable, so the prompts stay the same
    for _ in range(_CANDIDATES):
        yield tuple(int(raw % 700) for raw in random.random_raw(tokens))
