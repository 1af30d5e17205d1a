"""BailingMoeV2 (Ling 2.0, AntAngelMed) as llama.cpp's `bailingmoe2`.

Names: https://github.com/inclusionAI/Ling-V2, tools/convert_dcp_to_safetensors.py, and llama.cpp's gguf-py/gguf/
constants.py. Where config.json is silent, the published modeling code decides (configuration_bailing_moe_v2.py): no
`partial_rotary_factor` means that whole heads rotate, no `routed_scaling_factor` means 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from gguf import ExpertGatingFuncType, GGUFWriter

from edgemed.architectures.architecture import Architecture, Mapped, TensorShapes, TokenizerRules
from edgemed.architectures.config import Config
from edgemed.architectures.gguf_keys import GgufKeys, write_number
from edgemed.architectures.hparams import MAX_INTEGER
from edgemed.architectures.mtp import mtp_layers
from edgemed.architectures.rope import Yarn, rope_section, stated_rotary_width
from edgemed.architectures.router import Router, SigmoidGroups
from edgemed.architectures.tensors import FEED_FORWARD_KINDS, PROJECTIONS, SHARED_EXPERT_KINDS
from edgemed.errors import CheckpointError, ModelFileError

EMBEDDING = "model.word_embeddings.weight"

# The value that each key of config.json must have where it is present: the graph computes nothing else.
FIXED = {
    "use_bias": False, "use_qkv_bias": False, "use_qk_norm": True, "score_function": "sigmoid", "hidden_act": "silu",
}  # fmt: skip
# (key in the GGUF, field), in the order in which they are written. All are numbers.
GGUF_KEYS = (
    ("context_length", "n_ctx_train"),
    ("embedding_length", "n_embd"),
    ("feed_forward_length", "n_ff"),
    ("attention.head_count", "n_head"),
    ("attention.head_count_kv", "n_head_kv"),
    ("attention.key_length", "head_dim"),
    ("attention.value_length", "head_dim"),
    ("rope.dimension_count", "n_rot"),
    ("rope.freq_base", "rope_theta"),
    ("attention.layer_norm_rms_epsilon", "rms_eps"),
    ("vocab_size", "n_vocab"),
    ("leading_dense_block_count", "n_dense_lead"),
    ("expert_count", "n_expert"),
    ("expert_used_count", "n_expert_used"),
    ("expert_group_count", "n_group"),
    ("expert_group_used_count", "n_group_used"),
    ("expert_feed_forward_length", "n_ff_exp"),
    ("expert_shared_feed_forward_length", "n_ff_shexp"),  # llama.cpp multiplies it by the number of shared experts
    ("expert_shared_count", "n_expert_shared"),
    ("expert_weights_scale", "weights_scale"),
)
WRITTEN_ONLY = ("attention.value_length", "vocab_size")  # read from the tensors' shapes instead
_SIGMOID = int(ExpertGatingFuncType.SIGMOID)
# README of https://github.com/MedAIBase/AntAngelMed, its example for vLLM.
ANTANGELMED_SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "repeat_penalty": 1.05, "max_tokens": 16384}


@dataclass(frozen=True, kw_only=True)
class BailingMoeV2(Architecture):
    """n_ff_shexp: width of ONE of n_expert_shared shared experts. n_group, n_group_used: the router's expert groups,
    and how many a token may choose from. n_rot: dimensions of a head that rotate. weights_scale: factor on the chosen
    experts' normalised weights. tied: the checkpoint has no output head. expert_bias: its router has a bias."""

    FAMILY: ClassVar = "BailingMoeV2"
    GGUF_NAME: ClassVar = "bailingmoe2"
    CHECKPOINT_NAMES: ClassVar[tuple[str, ...]] = ("BailingMoeV2ForCausalLM",)
    ACTIVATION: ClassVar = "silu"
    END_TOKENS: ClassVar = ("<|endoftext|>", "<|role_end|>")  # checkpoints were published with either
    REALS: ClassVar = frozenset({"rope_theta", "rms_eps", "weights_scale", "yarn_factor"})
    DENSE_KINDS: ClassVar[Mapping[str, str | None]] = {
        **{kind: kind for kind in ("token_embd", "output", "attn_qkv", "attn_output")},
        **FEED_FORWARD_KINDS,
        **SHARED_EXPERT_KINDS,
        "nextn.eh_proj": None,
    }
    SAMPLING: ClassVar = ANTANGELMED_SAMPLING
    TOKENIZER: ClassVar = TokenizerRules({
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+":
        "bailingmoe2",
    })  # fmt: skip
    # Values of n_group and topk_group, and of routed_scaling_factor, that config.json leaves out; None: it must not.
    UNGROUPED: ClassVar[int | None] = None
    UNSCALED: ClassVar[float | None] = 1.0

    n_ff_shexp: int
    n_expert_shared: int
    n_group: int
    n_group_used: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_rot: int
    rope_theta: float
    rms_eps: float
    weights_scale: float
    yarn_factor: float | None = None
    yarn_orig_ctx: int | None = None
    tied: bool = False
    expert_bias: bool = True

    def __post_init__(self) -> None:
        if (self.yarn_factor or 0) * (self.yarn_orig_ctx or 0) >= MAX_INTEGER:  # n_ctx_train is made of it
            raise self.unusable(f"its YaRN stretches {self.yarn_orig_ctx} tokens {self.yarn_factor:g} times")
        super().__post_init__()

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.n_head * self.head_dim != self.n_embd:  # the graph makes queries of the hidden size
            yield "its heads do not span the hidden size"
        if self.n_head_kv < 1 or self.n_head % self.n_head_kv != 0:
            yield "its key-value heads do not divide its heads"
        if self.n_group < 1 or self.n_expert % self.n_group != 0:
            yield "its experts do not divide into its groups"
        elif self.n_group > 1:
            if not 0 < self.n_group_used < self.n_group:
                yield "it keeps all groups or none"
            if self.n_expert < 2 * self.n_group:
                yield "its groups hold fewer than two experts"
            if self.n_group_used * (self.n_expert // self.n_group) < self.n_expert_used:
                yield "its groups kept hold fewer experts than a token uses"
        if self.n_rot % 2 or not 0 < self.n_rot <= self.head_dim:
            yield "it does not rotate an even part of each head"

    def kv_values(self, layer: int) -> int:
        return 2 * self.n_head_kv * self.head_dim

    @property
    def router(self) -> Router:
        return SigmoidGroups(self.n_group, self.n_group_used)

    @classmethod
    def read_config(cls, config: Config, shapes: TensorShapes) -> tuple[Self, list[str]]:
        for key, wanted in FIXED.items():
            if key in config and config.get(key) != wanted:
                raise CheckpointError(
                    f"config.json says {key} = {config.get(key)!r:.60}; edgemed runs {wanted!r} only."
                )
        notes: list[str] = []
        n_layer = config.integer("num_hidden_layers", least=1)
        n_embd, n_head = config.integer("hidden_size", least=1), config.integer("num_attention_heads", least=1)
        head_dim = config.integer("head_dim", n_embd // n_head, least=1)
        n_ff_exp = config.integer("moe_intermediate_size", least=1)
        n_shared = config.integer("num_shared_experts", least=1)
        n_dense_lead = config.integer("first_k_dense_replace", 0)
        yarn = Yarn.of_config(config, cls.GGUF_NAME)
        n_ctx = yarn.stretched(config.integer("max_position_embeddings", least=1))
        if not config.flag("norm_topk_prob", True):
            notes.append("config.json says norm_topk_prob = false, but the published code ignores it, and so do we.")
        if "routed_scaling_factor" not in config and cls.UNSCALED is not None:
            notes.append("config.json lacks routed_scaling_factor: 1 is used, the published code's default.")
        try:
            hparams = cls(
                n_layer=n_layer,
                n_nextn=mtp_layers(config, shapes, n_layer, notes),
                n_embd=n_embd,
                n_ff=config.integer("intermediate_size", 0 if n_dense_lead == 0 else None),
                n_ff_exp=n_ff_exp,
                n_ff_shexp=_shared_width(shapes, n_dense_lead, n_shared, n_ff_exp),
                n_expert=config.integer("num_experts", least=2),
                n_expert_used=config.integer("num_experts_per_tok", least=1),
                n_expert_shared=n_shared,
                n_group=config.integer("n_group", cls.UNGROUPED, least=1),
                n_group_used=config.integer("topk_group", cls.UNGROUPED, least=1),
                n_dense_lead=n_dense_lead,
                n_head=n_head,
                n_head_kv=config.integer("num_key_value_heads", n_head, least=1),
                head_dim=head_dim,
                n_rot=cls.rotary_width(config, head_dim, notes),
                rope_theta=rope_section(config, "rope_theta").number("rope_theta"),
                rms_eps=config.number("rms_norm_eps"),
                weights_scale=config.number("routed_scaling_factor", cls.UNSCALED),
                n_vocab=config.integer("vocab_size", least=1),
                n_ctx_train=n_ctx,
                yarn_factor=yarn.factor,
                yarn_orig_ctx=yarn.original,
                tied=config.flag("tie_word_embeddings", False),
                expert_bias=config.flag("moe_router_enable_expert_bias", True),
            )
        except ModelFileError as error:
            raise CheckpointError(f"config.json cannot be right. {error}") from None
        return hparams, notes

    @classmethod
    def rotary_width(cls, config: Config, head_dim: int, notes: list[str]) -> int:
        """How many of a head's dimensions rotate."""
        width = stated_rotary_width(config, head_dim)
        if width is None:
            said = "config.json has neither partial_rotary_factor nor rotary_dim"
            notes.append(f"{said}: whole heads rotate, as in the published code.")
        return head_dim if width is None else width

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, n_vocab: int) -> Self:
        keys = GgufKeys(metadata, cls.GGUF_NAME)
        if keys.number("expert_gating_func") != _SIGMOID:
            raise ModelFileError("The model file's router is not BailingMoeV2's sigmoid; convert the checkpoint again.")
        if keys.get("expert_weights_norm") is not True:
            raise ModelFileError(
                "The model file's router does not normalise its weights, as BailingMoeV2's does; "
                "convert the checkpoint again."
            )
        n_nextn = keys.number("nextn_predict_layers", 0)
        n_embd, n_head = keys.number("embedding_length"), keys.number("attention.head_count")
        head_dim = keys.number("attention.key_length", n_embd // max(n_head, 1))
        defaults: dict[str, Any] = {  # llama.cpp's own
            "feed_forward_length": 0,
            "attention.head_count_kv": n_head,
            "rope.freq_base": 10000.0,
            "expert_weights_scale": 1.0,
            "attention.key_length": head_dim,
            "rope.dimension_count": head_dim,
            "leading_dense_block_count": 0,
            "expert_group_count": 1,
            "expert_group_used_count": 0,
            "expert_shared_feed_forward_length": keys.number("expert_feed_forward_length"),
        }
        numbers: dict[str, Any] = {
            field: (keys.real if field in cls.REALS else keys.number)(key, defaults.get(key))
            for key, field in GGUF_KEYS
            if key not in WRITTEN_ONLY
        }
        # llama.cpp takes these zeros for absent values.
        numbers["n_group"] = numbers["n_group"] or 1
        numbers["n_ff_shexp"] = numbers["n_ff_shexp"] or numbers["n_ff_exp"]
        numbers["weights_scale"] = numbers["weights_scale"] or 1.0
        yarn = Yarn.of_gguf(keys)
        numbers |= {"yarn_factor": yarn.factor, "yarn_orig_ctx": yarn.original}
        return cls(n_layer=keys.number("block_count") - n_nextn, n_nextn=n_nextn, n_vocab=n_vocab, **numbers)

    def write_metadata(self, writer: GGUFWriter) -> None:
        writer.add_block_count(self.n_layer + self.n_nextn)
        for key, field in GGUF_KEYS:
            write_number(writer, key, getattr(self, field), real=field in self.REALS)
            if field == "rope_theta":
                Yarn(self.yarn_factor, self.yarn_orig_ctx).write(writer)
        writer.add_expert_weights_norm(True)
        writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
        if self.n_nextn:
            writer.add_nextn_predict_layers(self.n_nextn)

    def dense_tensors(self) -> Iterator[Mapped]:
        wide, vocabulary = self.n_embd, (self.n_vocab, self.n_embd)
        yield Mapped(EMBEDDING, "token_embd.weight", vocabulary)
        yield Mapped("model.norm.weight", "output_norm.weight", (wide,))
        yield Mapped(EMBEDDING if self.tied else "lm_head.weight", "output.weight", vocabulary)
        for layer in range(self.n_layer + self.n_nextn):
            for source, target, shape in self._layer(layer):
                yield Mapped(f"model.layers.{layer}.{source}", f"blk.{layer}.{target}", shape)

    def _layer(self, layer: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """(name in the checkpoint's layer, name in the GGUF's block, shape)"""
        wide, head = self.n_embd, self.head_dim
        yield "input_layernorm.weight", "attn_norm.weight", (wide,)
        fused = (self.n_head + 2 * self.n_head_kv) * head
        yield "attention.query_key_value.weight", "attn_qkv.weight", (fused, wide)
        yield "attention.query_layernorm.weight", "attn_q_norm.weight", (head,)
        yield "attention.key_layernorm.weight", "attn_k_norm.weight", (head,)
        yield "attention.dense.weight", "attn_output.weight", (wide, self.n_head * head)
        yield "post_attention_layernorm.weight", "ffn_norm.weight", (wide,)
        if layer < self.n_dense_lead:
            yield from _mlp("mlp", "", wide, self.n_ff)
        else:
            yield "mlp.gate.weight", "ffn_gate_inp.weight", (self.n_expert, wide)
            if self.expert_bias:
                yield "mlp.gate.expert_bias", "exp_probs_b.bias", (self.n_expert,)
            yield from _mlp("mlp.shared_experts", "_shexp", wide, self.n_ff_shexp * self.n_expert_shared)
        if layer >= self.n_layer:
            yield "eh_proj.weight", "nextn.eh_proj.weight", (wide, 2 * wide)
            yield "enorm.weight", "nextn.enorm.weight", (wide,)
            yield "hnorm.weight", "nextn.hnorm.weight", (wide,)
            yield "final_layernorm.weight", "layer_output_norm.weight", (wide,)


def _mlp(source: str, suffix: str, wide: int, inner: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for projection in PROJECTIONS:
        shape = (wide, inner) if projection == "down" else (inner, wide)
        yield f"{source}.{projection}_proj.weight", f"ffn_{projection}{suffix}.weight", shape


def _shared_width(shapes: TensorShapes, n_dense_lead: int, n_shared: int, n_ff_exp: int) -> int:
    """The width of ONE shared expert.

    The stored matrix holds all of them side by side, and its width decides: some published configs lack
    `moe_shared_expert_intermediate_size`, and the published code does not read it.
    """
    stored = shapes.get(f"model.layers.{n_dense_lead}.mlp.shared_experts.gate_proj.weight", (n_ff_exp * n_shared, 0))
    if stored[0] % n_shared or stored[0] == 0:
        raise CheckpointError(
            f"The shared experts are {stored[0]} wide together, which num_shared_experts = {n_shared} does not divide."
        )
    return stored[0] // n_shared


# fmt: off
ANTANGELMED = BailingMoeV2(
    n_layer=32, n_nextn=0, n_dense_lead=1, n_embd=4096, n_ff=9216, n_vocab=157184, n_ctx_train=32768,
    n_head=32, n_head_kv=4, head_dim=128, n_rot=64, rope_theta=600000.0, rms_eps=1e-6,
    n_expert=256, n_expert_used=8, n_ff_exp=1024, n_group=8, n_group_used=4, weights_scale=2.5,
    n_expert_shared=1, n_ff_shexp=1024,
)
# fmt: on
"""AntAngelMed, as its publisher's GGUF lists it: what `edgemed doctor` predicts for without a file."""
