"""Types of ggml that the gguf package does not list yet, added to its enumeration and its table of block sizes."""

from __future__ import annotations

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

# Number: (name, weights per block, bytes per block), as in ggml-common.h of the bundled llama.cpp.
_MISSING = {42: ("Q2_0", 64, 18)}


def complete() -> None:
    """Add what is missing. May be called twice."""
    for number, (name, weights, size) in _MISSING.items():
        if number in GGMLQuantizationType._value2member_map_:
            continue
        member = int.__new__(GGMLQuantizationType, number)
        member._name_, member._value_ = name, number
        GGMLQuantizationType._member_map_[name] = member
        GGMLQuantizationType._value2member_map_[number] = member
        GGMLQuantizationType._member_names_.append(name)
        GGML_QUANT_SIZES[member] = weights, size
