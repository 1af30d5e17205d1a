"""What a model family's file provides: its numbers (`HParams`), and its names for them in checkpoints and GGUFs.

docs/architectures.md says how to add a family.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray

from edgemed.architectures.config import Config
from edgemed.architectures.hparams import HParams
from edgemed.architectures.tensors import PROJECTIONS, tensor_name

TensorShapes = Mapping[str, tuple[int, ...]]
"""Name -> shape (out, in) of every tensor in the checkpoint, FP8 scales left out."""

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Mapped:
    """One tensor of the checkpoint and its name in the GGUF. `shape` is (out, in), or (length,) for a vector.

    change: applied to a vector's values on conversion; None copies them unchanged.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    change: Change | None = None

    def from_gguf(self) -> Mapped:
        """The same tensor when it is read from a GGUF, which has its final name and values already."""
        return Mapped(self.target, self.target, self.shape)


@dataclass(frozen=True, slots=True)
class TokenizerRules:
    """Which tokenizers a family's models may have: those whose splitting llama.cpp reproduces exactly.

    pre_tokenizers: regular expression in tokenizer.json -> llama.cpp's name for it (src/llama-vocab.cpp). refuse:
    given a whole tokenizer.json, says why it cannot be used, or None. refused_pre: llama.cpp's names of pre-tokenizers
    in GGUFs that are not run -> why. Both are parts of a sentence, after "The tokenizer cannot be used: ".
    """

    pre_tokenizers: Mapping[str, str]
    refuse: Callable[[Mapping[str, Any]], str | None] = lambda document: None
    refused_pre: Mapping[str, str] = field(default_factory=dict)


class Architecture(HParams):
    """A model of some family: a frozen dataclass of its numbers.

    A family that edgemed runs but does not convert has no CHECKPOINT_NAMES and no `read_config`, and leaves
    `Mapped.source` empty.
    """

    CHECKPOINT_NAMES: ClassVar[tuple[str, ...]] = ()
    """What config.json's `architectures` calls it."""
    TOKENIZER: ClassVar[TokenizerRules]
    EXPERT_SOURCE: ClassVar = "model.layers.{layer}.mlp.experts.{expert}.{projection}_proj.weight"
    """The checkpoint's name of one expert's matrix."""

    @classmethod
    def claims(cls, metadata: Mapping[str, Any]) -> bool:
        """Whether a GGUF whose `general.architecture` is this family's GGUF_NAME belongs to this family."""
        return True

    @classmethod
    def read_config(cls, config: Config, shapes: TensorShapes) -> tuple[Self, list[str]]:
        """The model of a checkpoint, and a sentence for every assumption made. Raises CheckpointError."""
        raise NotImplementedError

    @classmethod
    @abstractmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, n_vocab: int) -> Self:
        """The model of a GGUF, by its key-value pairs. Raises ModelFileError when one is missing or absurd."""

    @abstractmethod
    def write_metadata(self, writer: GGUFWriter) -> None:
        """Add the architecture's keys as llama.cpp's own converter names them."""

    @abstractmethod
    def dense_tensors(self) -> Iterator[Mapped]:
        """Every tensor that is no routed expert, in the order of the file."""

    def expert_tensors(self, layer: int, expert: int) -> tuple[Mapped, Mapped, Mapped]:
        """Gate, up and down of one routed expert, named as in the edgemed layout."""
        gate, up, down = (
            Mapped(
                self.EXPERT_SOURCE.format(layer=layer, expert=expert, projection=projection),
                tensor_name(layer, expert, projection),
                self.expert_matrix_shape(projection),
            )
            for projection in PROJECTIONS
        )
        return gate, up, down
