"""The architecture's numbers, as llama.cpp names them in a GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgemed.errors import ModelFileError

ARCHITECTURE = "bailingmoe2"
MAX_LAYERS = 512  # llama.cpp's own limits
MAX_EXPERTS = 1024
MAX_INTEGER = 1 << 31
MAX_REAL = float(MAX_INTEGER - 128)  # the largest below that in GGUF's 32 bits, so that rounding leads to no larger one
REALS = ("rope_theta", "rms_eps", "weights_scale", "yarn_factor")
ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")  # what llama.cpp knows; it aborts on any other
_SIGMOID = 2  # llama.cpp's number for the router's score function


@dataclass(frozen=True, slots=True)
class HParams:
    """Hyper-parameters of a BailingMoeV2 model, from a checkpoint or a GGUF. Raises ModelFileError for numbers that no
    model has, and for those llama.cpp would abort on."""

    n_layer: int
    n_nextn: int
    n_embd: int
    n_ff: int
    n_ff_exp: int
    n_ff_shexp: int
    n_expert: int
    n_expert_used: int
    n_expert_shared: int
    n_group: int
    n_group_used: int
    n_dense_lead: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_rot: int
    rope_theta: float
    rms_eps: float
    weights_scale: float
    n_vocab: int
    n_ctx_train: int
    yarn_factor: float | None = None
    yarn_orig_ctx: int | None = None

    def __post_init__(self) -> None:
        if (self.yarn_factor or 0) * (self.yarn_orig_ctx or 0) >= MAX_INTEGER:  # before the context made of it
            raise ModelFileError(
                "This is not a usable BailingMoeV2 model: "
                f"its YaRN stretches {self.yarn_orig_ctx} tokens {self.yarn_factor:g} times."
            )
        for name in self.__slots__:
            value = getattr(self, name)
            possible = value is None or (0 < value <= MAX_REAL if name in REALS else 0 <= value < MAX_INTEGER)
            if not possible:
                raise ModelFileError(f"This is not a usable BailingMoeV2 model: its {name} is {value}.")
        for fault, wrong in {
            "it has no layer": self.n_layer < 1,
            f"it has more than {MAX_LAYERS} layers": self.n_layer + self.n_nextn > MAX_LAYERS,
            f"it has more than {MAX_EXPERTS} experts a layer": self.n_expert > MAX_EXPERTS,
            "its heads do not span the hidden size": self.n_head * self.head_dim != self.n_embd,
            "its key-value heads do not divide its heads": self.n_head_kv < 1 or self.n_head % self.n_head_kv != 0,
            "its experts do not divide into its groups": self.n_group < 1 or self.n_expert % self.n_group != 0,
            "it uses more experts than it has": not 0 < self.n_expert_used < self.n_expert,
            "it keeps all groups or none": self.n_group > 1 and not 0 < self.n_group_used < self.n_group,
            "its groups hold fewer than two experts": self.n_group > 1 and self.n_expert < 2 * self.n_group,
            "its groups kept hold fewer experts than a token uses": self.n_group > 1
            and self.n_group_used * (self.n_expert // self.n_group) < self.n_expert_used,
            "it does not rotate an even part of each head": self.n_rot % 2 or not 0 < self.n_rot <= self.head_dim,
            "all its layers are dense": self.n_dense_lead >= self.n_layer,
        }.items():
            if wrong:
                raise ModelFileError(f"This is not a usable BailingMoeV2 model: {fault}.")

    @property
    def moe_layers(self) -> range:
        """Block numbers with routed experts, the MTP layers of base models included."""
        return range(self.n_dense_lead, self.n_layer + self.n_nextn)

    @property
    def expert_shape(self) -> tuple[int, int]:
        """Blocks whose experts a token passes, the MTP layers left out, and experts of each."""
        return self.n_layer - self.n_dense_lead, self.n_expert

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, n_vocab: int) -> HParams:
        """Read the numbers from a GGUF's key-value pairs. Raises ModelFileError when one is missing or absurd."""

        def real(key: str, default: int | None = None) -> float:
            value = metadata.get(f"{ARCHITECTURE}.{key}", default)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ModelFileError(f"The model file lacks the number {ARCHITECTURE}.{key}; convert it again.")
            return value

        def number(key: str, default: int | None = None) -> int:
            value = real(key, default)
            if not isinstance(value, int):
                raise ModelFileError(f"The model file says {ARCHITECTURE}.{key} = {value}, which must be whole.")
            return value

        if number("expert_gating_func") != _SIGMOID:
            raise ModelFileError("The model file's router is not BailingMoeV2's sigmoid; convert the checkpoint again.")
        if metadata.get(f"{ARCHITECTURE}.expert_weights_norm") is not True:
            raise ModelFileError(
                "The model file's router does not normalise its weights, as BailingMoeV2's does; "
                "convert the checkpoint again."
            )
        n_nextn = number("nextn_predict_layers", 0)
        n_embd, n_head = number("embedding_length"), number("attention.head_count")
        head_dim = number("attention.key_length", n_embd // max(n_head, 1))
        n_ff_exp = number("expert_feed_forward_length")
        scaling = metadata.get(f"{ARCHITECTURE}.rope.scaling.type", "none")
        if scaling not in ROPE_SCALINGS:
            raise ModelFileError(
                f"The model file scales its RoPE in a way nobody knows ({scaling!r:.40}); convert the checkpoint again."
            )
        yarn = scaling == "yarn"
        return cls(
            n_layer=number("block_count") - n_nextn,
            n_nextn=n_nextn,
            n_embd=n_embd,
            n_ff=number("feed_forward_length", 0),
            n_ff_exp=n_ff_exp,
            n_ff_shexp=number("expert_shared_feed_forward_length", n_ff_exp),
            n_expert=number("expert_count"),
            n_expert_used=number("expert_used_count"),
            n_expert_shared=number("expert_shared_count"),
            n_group=number("expert_group_count", 1),
            n_group_used=number("expert_group_used_count", 0),
            n_dense_lead=number("leading_dense_block_count", 0),
            n_head=n_head,
            n_head_kv=number("attention.head_count_kv"),
            head_dim=head_dim,
            n_rot=number("rope.dimension_count", head_dim),
            rope_theta=real("rope.freq_base"),
            rms_eps=real("attention.layer_norm_rms_epsilon"),
            weights_scale=real("expert_weights_scale"),
            n_vocab=n_vocab,
            n_ctx_train=number("context_length"),
            yarn_factor=real("rope.scaling.factor") if yarn else None,
            yarn_orig_ctx=number("rope.scaling.original_context_length") if yarn else None,
        )
