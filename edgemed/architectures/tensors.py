"""Names of the routed experts' tensors in a GGUF, in both layouts."""

PROJECTIONS = ("gate", "up", "down")
"""The three matrices of an expert, in the order of the file."""


def tensor_name(layer: int, expert: int, projection: str) -> str:
    """The edgemed layout's name of one expert's matrix."""
    return f"blk.{layer}.ffn_{projection}.{expert}.weight"


def stacked_name(layer: int, projection: str) -> str:
    """The stock layout's name of all experts' matrices of one layer."""
    return f"blk.{layer}.ffn_{projection}_exps.weight"
