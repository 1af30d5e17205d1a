"""BailingMoeV2 (Ling 2.0, AntAngelMed) as llama.cpp's `bailingmoe2`.

Names: https://github.com/inclusionAI/Ling-V2, tools/convert_dcp_to_safetensors.py, and llama.cpp's gguf-py/gguf/
constants.py. Where config.json is silent, the published modeling code decides (configuration_bailing_moe_v2.py): no
`partial_rotary_factor` means that whole heads rotate, no `routed_scaling_factor` means 1.
"""

from __future__ import annotations

from collections.abc import Iterator

from gguf import ExpertGatingFuncType, GGUFWriter, RopeScalingType

from edgemed.architectures import Mapped, TensorShapes
from edgemed.architectures.config import Config
from edgemed.architectures.hparams import ARCHITECTURE, HParams
from edgemed.architectures.tensors import PROJECTIONS, tensor_name
from edgemed.errors import CheckpointError, ModelFileError

GGUF_NAME = ARCHITECTURE

EMBEDDING = "model.word_embeddings.weight"
YARN_BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}

# What this architecture's graph has no place for. (key, the value it must have if it is present)
FIXED = (
    ("use_bias", False),
    ("use_qkv_bias", False),
    ("use_qk_norm", True),
    ("score_function", "sigmoid"),
    ("hidden_act", "silu"),
)


def read_config(config: Config, shapes: TensorShapes) -> tuple[HParams, list[str]]:
    """The hyper-parameters, and a sentence for every assumption made. Raises CheckpointError."""
    for key, wanted in FIXED:
        if key in config and config.get(key) != wanted:
            raise CheckpointError(f"config.json says {key} = {config.get(key)!r:.60}; edgemed runs {wanted!r} only.")
    notes: list[str] = []
    n_layer = config.integer("num_hidden_layers", least=1)
    n_embd, n_head = config.integer("hidden_size", least=1), config.integer("num_attention_heads", least=1)
    head_dim = config.integer("head_dim", n_embd // n_head, least=1)
    n_ff_exp = config.integer("moe_intermediate_size", least=1)
    n_shared = config.integer("num_shared_experts", least=1)
    n_dense_lead = config.integer("first_k_dense_replace", 0)
    yarn_factor, yarn_orig_ctx = _yarn(config)
    n_ctx = config.integer("max_position_embeddings", least=1)
    if yarn_factor is not None and yarn_orig_ctx is not None:
        n_ctx = max(n_ctx, int(yarn_factor * yarn_orig_ctx))
    if not config.flag("norm_topk_prob", True):
        notes.append(
            "config.json says norm_topk_prob = false; the published code normalises all the same, and so do we."
        )
    if "routed_scaling_factor" not in config:
        notes.append("config.json lacks routed_scaling_factor: 1 is used, the published code's default.")
    try:
        hparams = HParams(
            n_layer=n_layer,
            n_nextn=_nextn(config, shapes, n_layer, notes),
            n_embd=n_embd,
            n_ff=config.integer("intermediate_size", 0 if n_dense_lead == 0 else None),
            n_ff_exp=n_ff_exp,
            n_ff_shexp=_shared_width(shapes, n_dense_lead, n_shared, n_ff_exp),
            n_expert=config.integer("num_experts", least=2),
            n_expert_used=config.integer("num_experts_per_tok", least=1),
            n_expert_shared=n_shared,
            n_group=config.integer("n_group", least=1),
            n_group_used=config.integer("topk_group", least=1),
            n_dense_lead=n_dense_lead,
            n_head=n_head,
            n_head_kv=config.integer("num_key_value_heads", n_head, least=1),
            head_dim=head_dim,
            n_rot=_rotary_width(config, head_dim, notes),
            rope_theta=_rope(config, "rope_theta").number("rope_theta"),
            rms_eps=config.number("rms_norm_eps"),
            weights_scale=config.number("routed_scaling_factor", 1.0),
            n_vocab=config.integer("vocab_size", least=1),
            n_ctx_train=n_ctx,
            yarn_factor=yarn_factor,
            yarn_orig_ctx=yarn_orig_ctx,
        )
    except ModelFileError as error:
        raise CheckpointError(f"config.json cannot be right. {error}") from None
    return hparams, notes


def write_metadata(writer: GGUFWriter, hparams: HParams) -> None:
    """Add the architecture's keys as llama.cpp's own converter names them."""
    writer.add_block_count(hparams.n_layer + hparams.n_nextn)
    writer.add_context_length(hparams.n_ctx_train)
    writer.add_embedding_length(hparams.n_embd)
    writer.add_feed_forward_length(hparams.n_ff)
    writer.add_head_count(hparams.n_head)
    writer.add_head_count_kv(hparams.n_head_kv)
    writer.add_key_length(hparams.head_dim)
    writer.add_value_length(hparams.head_dim)
    writer.add_rope_dimension_count(hparams.n_rot)
    writer.add_rope_freq_base(hparams.rope_theta)
    if hparams.yarn_factor is not None and hparams.yarn_orig_ctx is not None:
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(hparams.yarn_factor)
        writer.add_rope_scaling_orig_ctx_len(hparams.yarn_orig_ctx)
    writer.add_layer_norm_rms_eps(hparams.rms_eps)
    writer.add_vocab_size(hparams.n_vocab)
    writer.add_leading_dense_block_count(hparams.n_dense_lead)
    writer.add_expert_count(hparams.n_expert)
    writer.add_expert_used_count(hparams.n_expert_used)
    writer.add_expert_group_count(hparams.n_group)
    writer.add_expert_group_used_count(hparams.n_group_used)
    writer.add_expert_feed_forward_length(hparams.n_ff_exp)
    # llama.cpp multiplies this by the number of shared experts: it is the width of one.
    writer.add_expert_shared_feed_forward_length(hparams.n_ff_shexp)
    writer.add_expert_shared_count(hparams.n_expert_shared)
    writer.add_expert_weights_scale(hparams.weights_scale)
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
    if hparams.n_nextn:
        writer.add_nextn_predict_layers(hparams.n_nextn)


def dense_tensors(hparams: HParams, config: Config) -> Iterator[Mapped]:
    """Every tensor that is no routed expert, in the order of the file."""
    wide, vocabulary = hparams.n_embd, (hparams.n_vocab, hparams.n_embd)
    yield Mapped(EMBEDDING, "token_embd.weight", vocabulary)
    yield Mapped("model.norm.weight", "output_norm.weight", (wide,))
    tied = config.flag("tie_word_embeddings", False)
    yield Mapped(EMBEDDING if tied else "lm_head.weight", "output.weight", vocabulary)
    for layer in range(hparams.n_layer + hparams.n_nextn):
        for source, target, shape in _layer(hparams, layer):
            if target == "exp_probs_b.bias" and not config.flag("moe_router_enable_expert_bias", True):
                continue
            yield Mapped(f"model.layers.{layer}.{source}", f"blk.{layer}.{target}", shape)


def expert_tensors(hparams: HParams, layer: int, expert: int) -> tuple[Mapped, Mapped, Mapped]:
    """Gate, up and down of one routed expert, named as in the edgemed layout."""
    inner, wide = hparams.n_ff_exp, hparams.n_embd
    gate, up, down = (
        Mapped(
            f"model.layers.{layer}.mlp.experts.{expert}.{projection}_proj.weight",
            tensor_name(layer, expert, projection),
            (wide, inner) if projection == "down" else (inner, wide),
        )
        for projection in PROJECTIONS
    )
    return gate, up, down


def _layer(hparams: HParams, layer: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(name in the checkpoint's layer, name in the GGUF's block, shape)"""
    wide, head = hparams.n_embd, hparams.head_dim
    yield "input_layernorm.weight", "attn_norm.weight", (wide,)
    fused = (hparams.n_head + 2 * hparams.n_head_kv) * head
    yield "attention.query_key_value.weight", "attn_qkv.weight", (fused, wide)
    yield "attention.query_layernorm.weight", "attn_q_norm.weight", (head,)
    yield "attention.key_layernorm.weight", "attn_k_norm.weight", (head,)
    yield "attention.dense.weight", "attn_output.weight", (wide, hparams.n_head * head)
    yield "post_attention_layernorm.weight", "ffn_norm.weight", (wide,)
    if layer < hparams.n_dense_lead:
        yield from _mlp("mlp", "", wide, hparams.n_ff)
    else:
        yield "mlp.gate.weight", "ffn_gate_inp.weight", (hparams.n_expert, wide)
        yield "mlp.gate.expert_bias", "exp_probs_b.bias", (hparams.n_expert,)
        yield from _mlp("mlp.shared_experts", "_shexp", wide, hparams.n_ff_shexp * hparams.n_expert_shared)
    if layer >= hparams.n_layer:
        yield "eh_proj.weight", "nextn.eh_proj.weight", (wide, 2 * wide)
        yield "enorm.weight", "nextn.enorm.weight", (wide,)
        yield "hnorm.weight", "nextn.hnorm.weight", (wide,)
        yield "final_layernorm.weight", "layer_output_norm.weight", (wide,)


def _mlp(source: str, suffix: str, wide: int, inner: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for projection in PROJECTIONS:
        shape = (wide, inner) if projection == "down" else (inner, wide)
        yield f"{source}.{projection}_proj.weight", f"ffn_{projection}{suffix}.weight", shape


def _rope(config: Config, key: str) -> Config:
    """Where `key` stands: at the top, or in the `rope_parameters` that newer tools write."""
    return config if key in config else config.section("rope_parameters")


def _rotary_width(config: Config, head_dim: int, notes: list[str]) -> int:
    """How many of a head's dimensions rotate."""
    widths = set()
    if "rotary_dim" in config:
        widths.add(config.integer("rotary_dim"))
    if "partial_rotary_factor" in (rope := _rope(config, "partial_rotary_factor")):
        widths.add(int(head_dim * rope.number("partial_rotary_factor")))
    if not widths:
        notes.append(
            "config.json has neither partial_rotary_factor nor rotary_dim: whole heads rotate, by the published code."
        )
        return head_dim
    if len(widths) > 1:
        raise CheckpointError("config.json's rotary_dim and partial_rotary_factor contradict each other.")
    (width,) = widths
    if not 0 < width <= head_dim or width % 2:
        raise CheckpointError(f"config.json lets {width} of {head_dim} dimensions of a head rotate, which cannot be.")
    return width


def _yarn(config: Config) -> tuple[float | None, int | None]:
    """(factor, original context) of YaRN, or None twice. Raises CheckpointError for any other scaling."""
    scaling = config.section("rope_scaling" if "rope_scaling" in config else "rope_parameters")
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return None, None
    if kind != "yarn":
        raise CheckpointError(f"config.json asks for RoPE scaling of type {kind!r:.40}; edgemed knows yarn only.")
    for key in ("attention_factor", "mscale", "mscale_all_dim"):
        if key in scaling:
            raise CheckpointError(f"config.json's YaRN sets {key}, which llama.cpp's bailingmoe2 does not read.")
    for key, usual in YARN_BETAS.items():
        if scaling.number(key, usual) != usual:
            raise CheckpointError(f"config.json's YaRN sets {key} to {scaling.get(key)}; edgemed knows {usual:g} only.")
    original = scaling.integer(
        "original_max_position_embeddings", config.integer("max_position_embeddings", least=1), least=1
    )
    return scaling.number("factor"), original


def _nextn(config: Config, shapes: TensorShapes, n_layer: int, notes: list[str]) -> int:
    """How many MTP layers the checkpoint holds; what is stored counts, since chat models often lack the key."""
    stored = 0
    while f"model.layers.{n_layer + stored}.eh_proj.weight" in shapes:
        stored += 1
    said = config.integer("num_nextn_predict_layers", stored)
    if stored == 0 and said > 0:
        notes.append(f"config.json announces {said} MTP layers, but the checkpoint holds none; nor will the GGUF.")
    elif said != stored:
        raise CheckpointError(f"config.json announces {said} MTP layers, but the checkpoint holds {stored}.")
    return stored


def _shared_width(shapes: TensorShapes, n_dense_lead: int, n_shared: int, n_ff_exp: int) -> int:
    """The width of ONE shared expert.

    The stored matrix holds all of them side by side. It decides, because `moe_shared_expert_intermediate_size` has been
    published both absent and unread.
    """
    stored = shapes.get(f"model.layers.{n_dense_lead}.mlp.shared_experts.gate_proj.weight", (n_ff_exp * n_shared, 0))
    if stored[0] % n_shared or stored[0] == 0:
        raise CheckpointError(
            f"The shared experts are {stored[0]} wide together, which num_shared_experts = {n_shared} does not divide."
        )
    return stored[0] // n_shared
