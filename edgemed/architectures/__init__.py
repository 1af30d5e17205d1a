"""Which architectures convert, one module each, chosen by config.json's `architectures`.

`model_type` is not looked at: the same published model carries different ones on different pages.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from gguf import GGUFWriter

from edgemed.architectures.config import Config
from edgemed.architectures.hparams import HParams
from edgemed.errors import CheckpointError

SUPPORTED = {"BailingMoeV2ForCausalLM": "bailing_moe_v2"}

TensorShapes = Mapping[str, tuple[int, ...]]
"""Name -> shape (out, in) of every tensor in the checkpoint, FP8 scales left out."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """One tensor of the checkpoint and its name in the GGUF. `shape` is (out, in), or (length,) for a vector."""

    source: str
    target: str
    shape: tuple[int, ...]


class Architecture(Protocol):
    """What a module of this package offers."""

    GGUF_NAME: str

    @staticmethod
    def read_config(config: Config, shapes: TensorShapes) -> tuple[HParams, list[str]]:
        """The hyper-parameters, and a sentence for every assumption made. Raises CheckpointError."""

    @staticmethod
    def write_metadata(writer: GGUFWriter, hparams: HParams) -> None:
        """Add the architecture's keys as llama.cpp's own converter names them."""

    @staticmethod
    def dense_tensors(hparams: HParams, config: Config) -> Iterator[Mapped]:
        """Every tensor that is no routed expert, in the order of the file."""

    @staticmethod
    def expert_tensors(hparams: HParams, layer: int, expert: int) -> tuple[Mapped, Mapped, Mapped]:
        """Gate, up and down of one routed expert, named as in the edgemed layout."""


def find_architecture(config: Config) -> Architecture:
    """The module for this checkpoint. Raises CheckpointError that names the architecture and the supported ones."""
    names = config.get("architectures")
    names = names if isinstance(names, list) else []
    for name in names:
        if isinstance(name, str) and name in SUPPORTED:
            return cast(Architecture, importlib.import_module(f"{__name__}.{SUPPORTED[name]}"))
    found = ", ".join(map(str, names)) or "not named"
    raise CheckpointError(
        f"The checkpoint's architecture is {found:.200}, but edgemed converts {', '.join(SUPPORTED)} only."
    )
