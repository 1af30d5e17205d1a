"""The model in one sentence, for people."""

from __future__ import annotations

from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import EngineInfo
from edgemed.sizes import format_size
from edgemed.tui.strings import Strings


def model_facts(info: EngineInfo, words: Strings) -> str:
    """What was loaded. The name comes from the file, which may hold anything."""
    return words.model_facts.format(
        name=visible(info.model_name),
        layers=info.n_layers - info.n_dense_layers,
        experts=info.n_experts,
        bits=f"{info.bits_per_weight:.2f}",
        size=format_size(info.size_bytes),
        checked=words.checked if info.verified else words.unchecked,
    )
