"""SarvamMoE (sarvam-30b) as llama.cpp's `bailingmoe2`: BailingMoeV2's graph, with whole heads rotated, and an expert
bias of mean zero.

Sources: llama.cpp's conversion/bailingmoe.py and src/llama-vocab.cpp; vLLM's vllm/model_executor/models/sarvam.py. The
published checkpoint itself was never tried: keys on whose defaults implementations disagree are required, and its
tokenizer is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgemed.architectures.architecture import Mapped, TensorShapes, TokenizerRules
from edgemed.architectures.bailing_moe_v2 import BailingMoeV2
from edgemed.architectures.config import Config
from edgemed.architectures.rope import stated_rotary_width
from edgemed.errors import CheckpointError

PRE_TOKENIZER = "sarvam-moe"  # llama.cpp's name for the published tokenizer
_SPACE = "\u2581"  # what SentencePiece writes for a space
_UNTRIED = (
    "it is the SentencePiece-style BPE that Sarvam publishes, which was never tested with edgemed; run the model with "
    "llama.cpp."
)


@dataclass(frozen=True, kw_only=True)
class SarvamMoe(BailingMoeV2):
    """The numbers are those of BailingMoeV2."""

    FAMILY: ClassVar = "SarvamMoE"
    CHECKPOINT_NAMES: ClassVar[tuple[str, ...]] = ("SarvamMoEForCausalLM", "modeling_sarvam_moe.SarvamMoEForCausalLM")
    UNGROUPED: ClassVar[int | None] = 1
    UNSCALED: ClassVar[float | None] = None  # implementations disagree about it
    TOKENIZER: ClassVar = TokenizerRules(
        BailingMoeV2.TOKENIZER.pre_tokenizers,
        refuse=lambda document: _UNTRIED if _is_sentencepiece(document) else None,
        refused_pre={PRE_TOKENIZER: _UNTRIED},
    )

    @classmethod
    def claims(cls, metadata: Mapping[str, Any]) -> bool:
        """By the published tokenizer. A GGUF with another one computes exactly as a BailingMoeV2 does."""
        return metadata.get("tokenizer.ggml.pre") == PRE_TOKENIZER

    @classmethod
    def read_config(cls, config: Config, shapes: TensorShapes) -> tuple[Self, list[str]]:
        config.require({"norm_topk_prob": True})  # published code obeys it; the engine always normalises
        return super().read_config(config, shapes)

    @classmethod
    def rotary_width(cls, config: Config, head_dim: int, notes: list[str]) -> int:
        width = stated_rotary_width(config, head_dim)
        if width not in (None, head_dim):
            raise CheckpointError(
                f"config.json rotates {width} of the {head_dim} dimensions of a head; SarvamMoE rotates all of them."
            )
        return head_dim

    def dense_tensors(self) -> Iterator[Mapped]:
        for mapped in super().dense_tensors():
            yield replace(mapped, change=_centred) if mapped.target.endswith("exp_probs_b.bias") else mapped


def _centred(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """The bias minus its mean, as the published code computes it on loading. It changes no choice of experts."""
    centred: NDArray[np.float32] = bias - bias.mean(dtype=np.float32)
    return centred


def _is_sentencepiece(document: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json writes spaces as SentencePiece does, or falls back to bytes."""
    model = document.get("model")
    steps = (document.get("normalizer"), document.get("pre_tokenizer"))
    return any(_SPACE in str(step) for step in steps) or (isinstance(model, dict) and bool(model.get("byte_fallback")))
