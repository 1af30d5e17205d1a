"""Model families, one file each: chosen by config.json's `architectures`, or by a GGUF's `general.architecture`.

`model_type` in config.json is ignored: the same published model has different ones on different pages.
docs/architectures.md says how to add a family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemed.architectures.architecture import Architecture, Mapped, TensorShapes, TokenizerRules
from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.architectures.hparams import HParams
from edgemed.architectures.sarvam_moe import SarvamMoe
from edgemed.errors import CheckpointError, ModelFileError

__all__ = [
    "FAMILIES",
    "Architecture",
    "HParams",
    "Mapped",
    "TensorShapes",
    "TokenizerRules",
    "find_architecture",
    "find_gguf_architecture",
]

FAMILIES: tuple[type[Architecture], ...] = (SarvamMoe, BailingMoeV2)
"""The first family that claims a GGUF gets it, so a family that claims everything comes last among those that share a
GGUF name."""


def find_architecture(config: Config) -> type[Architecture]:
    """The family of a checkpoint. Raises CheckpointError that names its architecture and the known ones."""
    names = config.get("architectures")
    names = names if isinstance(names, list) else []
    for family in FAMILIES:
        if any(name in family.CHECKPOINT_NAMES for name in names):
            return family
    found = ", ".join(map(str, names)) or "not named"
    known = sorted(family.CHECKPOINT_NAMES[0] for family in FAMILIES if family.CHECKPOINT_NAMES)
    raise CheckpointError(f"The checkpoint's architecture is {found:.200}, but edgemed converts {_listed(known)} only.")


def find_gguf_architecture(metadata: Mapping[str, Any], file_name: str) -> type[Architecture]:
    """The family of a GGUF, by its key-value pairs. Raises ModelFileError that names its architecture and the known
    ones."""
    name = metadata.get("general.architecture")
    for family in FAMILIES:
        if name == family.GGUF_NAME and family.claims(metadata):
            return family
    known = sorted({family.GGUF_NAME for family in FAMILIES})
    raise ModelFileError(
        f"{file_name} holds the architecture {name or '(none named)'}; edgemed runs {_listed(known)} only."
    )


def _listed(names: list[str]) -> str:
    """ "a", "a and b", "a, b and c" """
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
