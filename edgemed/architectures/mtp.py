"""Multi-token prediction (MTP): layers stored after the last one, which predict the token after the next."""

from __future__ import annotations

from edgemed.architectures.architecture import TensorShapes
from edgemed.architectures.config import Config
from edgemed.errors import CheckpointError


def mtp_layers(config: Config, shapes: TensorShapes, n_layer: int, notes: list[str]) -> int:
    """How many MTP layers the checkpoint holds: one for each `eh_proj` after the last layer. The stored tensors
    decide, because chat models often lack the key `num_nextn_predict_layers`."""
    stored = 0
    while f"model.layers.{n_layer + stored}.eh_proj.weight" in shapes:
        stored += 1
    said = config.integer("num_nextn_predict_layers", stored)
    if stored == 0 and said > 0:
        notes.append(
            f"config.json announces {said} MTP layers, but the checkpoint holds none, so the GGUF has none either."
        )
    elif said != stored:
        raise CheckpointError(f"config.json announces {said} MTP layers, but the checkpoint holds {stored}.")
    return stored
