"""Names of tensors in a GGUF that hold for every family: llama.cpp's own, and those of the edgemed layout."""

from __future__ import annotations

PROJECTIONS = ("gate", "up", "down")
"""The three matrices of an expert, in the order of the file."""

DENSE_GROUPS = ("attn_qkv", "attn_output", "ffn", "shexp", "output", "token_embd")
"""Groups of dense matrices whose types are chosen together. A family says which of its kinds belong to which group
(`HParams.DENSE_KINDS`). Statistics store one number per group, in this order: append, never reorder."""

EMBEDDING = "token_embd"

ALWAYS_F32 = ("ffn_gate_inp", "exp_probs_b")
"""Kinds that no plan quantises: llama.cpp computes the router and its bias in F32 in every family."""

FEED_FORWARD_KINDS = dict.fromkeys(("ffn_gate", "ffn_up", "ffn_down"), "ffn")
SHARED_EXPERT_KINDS = dict.fromkeys(("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"), "shexp")
"""Kinds of dense layers and shared experts to their groups, for `HParams.DENSE_KINDS`."""


def tensor_name(layer: int, expert: int, projection: str) -> str:
    """The edgemed layout's name of one expert's matrix."""
    return f"blk.{layer}.ffn_{projection}.{expert}.weight"


def stacked_name(layer: int, projection: str) -> str:
    """The stock layout's name of all experts' matrices of one layer."""
    return f"blk.{layer}.ffn_{projection}_exps.weight"


def fused_name(layer: int) -> str:
    """The stock layout's name of one layer's gates and ups in one tensor, each expert's gate before its up."""
    return f"blk.{layer}.ffn_gate_up_exps.weight"


def kind_of(name: str) -> str:
    """The kind of a tensor, without block number and suffix: `attn_qkv` of `blk.3.attn_qkv.weight`; a name outside the
    blocks is its own kind."""
    stem = name.removesuffix(".weight").removesuffix(".bias")
    return stem.split(".", 2)[2] if stem.startswith("blk.") and stem.count(".") >= 2 else stem


def block_of(name: str) -> int | None:
    """The block number in a tensor's name; None outside the blocks."""
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if first == "blk" and number.isascii() and number.isdigit() else None
