"""The model in one sentence. Its name comes from the file and is untrusted, so it is made visible."""

from __future__ import annotations

from edgemed.chat.visible import visible
from edgemed.engine.process.protocol import EngineInfo
from edgemed.sizes import format_size
from edgemed.tui.strings import Strings


def model_facts(info: EngineInfo, words: Strings) -> str:
    """The loaded model in one sentence, with its parts."""
    return words.model_facts.format(
        name=visible(info.model_name),
        layers=info.n_layers - info.n_dense_layers,
        experts=info.n_experts,
        bits=f"{info.bits_per_weight:.2f}",
        size=format_size(info.size_bytes),
        checked=words.checked if info.verified else words.unchecked,
    )


def model_line(info: EngineInfo, words: Strings) -> str:
    """The loaded model in one sentence for a clinician."""
    checked = words.checked if info.verified else words.unchecked
    return words.model.format(name=visible(info.model_name), size=format_size(info.size_bytes), checked=checked)
