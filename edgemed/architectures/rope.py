"""Rotary position embedding: how much of a head rotates, and YaRN, in config.json and in a GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gguf import GGUFWriter, RopeScalingType

from edgemed.architectures.config import Config
from edgemed.architectures.gguf_keys import GgufKeys
from edgemed.errors import CheckpointError, ModelFileError

ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")  # what llama.cpp knows; it aborts on any other
_UNREAD = ("attention_factor", "mscale", "mscale_all_dim")
_BETAS: Mapping[str, float] = {"beta_fast": 32.0, "beta_slow": 1.0}


@dataclass(frozen=True, slots=True)
class Yarn:
    """Context stretched by `factor` from `original` tokens; both None without YaRN."""

    factor: float | None = None
    original: int | None = None

    def stretched(self, n_ctx: int) -> int:
        """Tokens of context: at least `n_ctx`."""
        if self.factor is None or self.original is None:
            return n_ctx
        return max(n_ctx, int(self.factor * self.original))

    def write(self, writer: GGUFWriter) -> None:
        if self.factor is not None and self.original is not None:
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            writer.add_rope_scaling_factor(self.factor)
            writer.add_rope_scaling_orig_ctx_len(self.original)

    @classmethod
    def of_config(cls, config: Config, gguf_name: str) -> Yarn:
        """Raises CheckpointError for any other scaling, and for a YaRN that llama.cpp's graph does not compute."""
        scaling = config.section("rope_scaling" if "rope_scaling" in config else "rope_parameters")
        kind = scaling.get("rope_type") or scaling.get("type") or "default"
        if kind == "default":
            return cls()
        if kind != "yarn":
            raise CheckpointError(f"config.json asks for RoPE scaling of type {kind!r:.40}; edgemed knows yarn only.")
        for key in _UNREAD:
            if key in scaling:
                raise CheckpointError(f"config.json's YaRN sets {key}, which llama.cpp's {gguf_name} does not read.")
        for key, usual in _BETAS.items():
            if scaling.number(key, usual) != usual:
                raise CheckpointError(
                    f"config.json's YaRN sets {key} to {scaling.get(key)}; edgemed knows {usual:g} only."
                )
        most = config.integer("max_position_embeddings", least=1)
        original = scaling.integer("original_max_position_embeddings", most, least=1)
        return cls(scaling.number("factor"), original)

    @classmethod
    def of_gguf(cls, keys: GgufKeys) -> Yarn:
        """Raises ModelFileError for a scaling that llama.cpp does not know."""
        scaling = keys.get("rope.scaling.type", "none")
        if scaling not in ROPE_SCALINGS:
            raise ModelFileError(
                f"The model file's RoPE scaling is of the unknown type {scaling!r:.40}; convert the checkpoint again."
            )
        if scaling != "yarn":
            return cls()
        trained = keys.number("context_length")
        return cls(keys.real("rope.scaling.factor"), keys.number("rope.scaling.original_context_length", trained))


def rope_section(config: Config, key: str) -> Config:
    """The part of config.json that holds `key`: the top level, or the `rope_parameters` that newer tools write."""
    return config if key in config else config.section("rope_parameters")


def stated_rotary_width(config: Config, head_dim: int) -> int | None:
    """How many of a head's dimensions rotate according to config.json; None where it does not say.

    Raises CheckpointError where its two ways of saying so contradict each other, or for an impossible width.
    """
    widths = set()
    if "rotary_dim" in config:
        widths.add(config.integer("rotary_dim"))
    if "partial_rotary_factor" in (rope := rope_section(config, "partial_rotary_factor")):
        widths.add(int(head_dim * rope.number("partial_rotary_factor")))
    if not widths:
        return None
    if len(widths) > 1:
        raise CheckpointError("config.json's rotary_dim and partial_rotary_factor contradict each other.")
    (width,) = widths
    if not 0 < width <= head_dim or width % 2:
        raise CheckpointError(
            f"config.json rotates {width} of the {head_dim} dimensions of a head; it must be an even number from 2 to "
            f"{head_dim}."
        )
    return width
