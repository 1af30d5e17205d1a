"""BailingMoeV2 in PyTorch: the architecture of Ling 2.0 and AntAngelMed, at any size.

Notable features: one fused query-key-value projection with grouped-query attention; RMSNorm on every query and key head
before a partial rotary embedding; leading dense layers, then MoE layers with sigmoid scores, group-limited top-k
routing and an additive balancing bias that never changes the routing weights; one shared expert; an untied head; and a
multi-token-prediction (MTP) layer stored as one more layer.

Experts are stored stacked, (expert, out, in), so that one grouped matmul serves all tokens sorted by expert;
checkpoint.py splits them into the published names. The formulas are those of inclusionAI/Ling-V2,
modeling_bailing_moe_v2.py.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (the customary name)
from torch import Tensor, nn


@dataclass
class Config:
    """The keys of config.json that affect the computation, with the published names."""

    num_hidden_layers: int = 6
    hidden_size: int = 256
    intermediate_size: int = 768
    moe_intermediate_size: int = 256
    num_experts: int = 16
    num_experts_per_tok: int = 2
    num_shared_experts: int = 1
    n_group: int = 4
    topk_group: int = 2
    first_k_dense_replace: int = 1
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    partial_rotary_factor: float = 0.5
    rope_theta: float = 600000.0
    max_position_embeddings: int = 2048
    routed_scaling_factor: float = 2.5
    rms_norm_eps: float = 1e-6
    vocab_size: int = 4096
    num_nextn_predict_layers: int = 1

    def __post_init__(self) -> None:
        if self.num_attention_heads * self.head_dim != self.hidden_size:
            raise ValueError("llama.cpp expects num_attention_heads * head_dim == hidden_size")
        if self.num_experts % self.n_group or self.num_experts // self.n_group < 2:
            raise ValueError("every group needs the same number of experts, two or more")
        if not self.topk_group < self.n_group < self.num_experts:
            raise ValueError("topk_group < n_group < num_experts is required")
        if self.num_nextn_predict_layers not in (0, 1):
            raise ValueError("at most one MTP layer is defined")

    @classmethod
    def read(cls, folder: Path) -> "Config":
        """Read a checkpoint folder's config.json; a missing MTP key means no MTP layer."""
        values = {"num_nextn_predict_layers": 0, **json.loads((folder / "config.json").read_text())}
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})

    def published(self) -> dict[str, object]:
        """Return config.json as the base models publish it."""
        return {
            "architectures": ["BailingMoeV2ForCausalLM"],
            "model_type": "bailing_moe_v2",
            **asdict(self),
            "moe_shared_expert_intermediate_size": self.moe_intermediate_size,
            "rope_scaling": None,
            "score_function": "sigmoid",
            "moe_router_enable_expert_bias": True,
            "norm_topk_prob": True,
            "use_qk_norm": True,
            "use_bias": False,
            "use_qkv_bias": False,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "router_dtype": "fp32",
            "torch_dtype": "bfloat16",
        }


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class Linear(nn.Linear):
    """A linear layer without bias that computes in its input's dtype, so the master weights can stay float32."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__(size_in, size_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def rotary_tables(config: Config, length: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin of every position, (T, rotary dims); pairs are (i, i + dims/2)."""
    dims = int(config.head_dim * config.partial_rotary_factor)
    frequencies = config.rope_theta ** (-torch.arange(0, dims, 2, dtype=torch.float32) / dims)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first dims of each head, (B, heads, T, head_dim); the others are unchanged."""
    turned, kept = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], dim=-1)
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
    return torch.cat((turned, kept), dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with q (B, heads, T, D) to k, v (B, kv heads, past + T, D). The query heads of a KV head share one matmul:
    for rows this short that is three times as fast on a CPU as the fused kernel.
    """
    b, heads, t, d = q.shape
    kv_heads, seen = k.shape[1], k.shape[2]
    k, v = k.reshape(-1, seen, d), v.reshape(-1, seen, d)
    scores = torch.bmm(q.reshape(b * kv_heads, -1, d) * d**-0.5, k.mT).view(-1, heads // kv_heads, t, seen)
    future = torch.full((t, seen), float("-inf"), dtype=q.dtype).triu(seen - t + 1)
    attention = torch.softmax(scores + future, dim=-1).view(b * kv_heads, -1, seen)
    return torch.bmm(attention, v).view(b, heads, t, d)


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.query_key_value = Linear(c.hidden_size, (self.heads + 2 * self.kv_heads) * c.head_dim)
        self.dense = Linear(self.heads * c.head_dim, c.hidden_size)
        self.query_layernorm = RMSNorm(c.head_dim, c.rms_norm_eps)
        self.key_layernorm = RMSNorm(c.head_dim, c.rms_norm_eps)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], cache: list[Tensor] | None = None) -> Tensor:
        b, t, _ = x.shape
        qkv = self.query_key_value(x).view(b, t, -1, self.head_dim).transpose(1, 2)  # (B, heads, T, head_dim)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        q, k = rotate(self.query_layernorm(q), *rope), rotate(self.key_layernorm(k), *rope)
        if cache is not None:  # the keys and values of the past, oldest first
            cache[:] = [k, v] if not cache else [torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)]
            k, v = cache
        return self.dense(attend(q, k, v).transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = Linear(size, inner), Linear(size, inner), Linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    """The router: chooses each token's experts and their routing weights, all in float32."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.weight = nn.Parameter(torch.randn(c.num_experts, c.hidden_size) * c.hidden_size**-0.5)
        self.register_buffer("expert_bias", torch.zeros(c.num_experts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, hidden) -> chosen experts (N, k) and their routing weights (N, k)."""
        c = self.c
        scores = torch.sigmoid(F.linear(x.float(), self.weight))
        with torch.no_grad():
            biased = (scores + self.expert_bias).view(len(x), c.n_group, -1)  # (N, group, expert in group)
            groups = biased.topk(2, dim=-1).values.sum(-1).topk(c.topk_group, dim=-1).indices
            dropped = torch.ones(len(x), c.n_group, dtype=torch.bool).scatter_(1, groups, False)
            # -inf, not 0: a biased score may be negative and still be the best that is left
            biased = biased.masked_fill(dropped[:, :, None], float("-inf")).view(len(x), -1)
            chosen = biased.topk(c.num_experts_per_tok, dim=-1).indices
        weights = scores.gather(1, chosen)
        return chosen, weights / (weights.sum(-1, keepdim=True) + 1e-20) * c.routed_scaling_factor


class Experts(nn.Module):
    """Every routed expert's SwiGLU, stacked: gate and up as (E, 2 * inner, hidden), down as (E, hidden, inner)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(c.num_experts, 2 * c.moe_intermediate_size, c.hidden_size))
        self.down = nn.Parameter(torch.empty(c.num_experts, c.hidden_size, c.moe_intermediate_size))

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        """x (N * k, hidden) is sorted by expert; ends[e] is the index after expert e's last row."""
        h = F.grouped_mm(x, self.gate_up.to(x.dtype).transpose(1, 2), offs=ends)
        gate, up = h.chunk(2, dim=-1)
        return F.grouped_mm(F.silu(gate) * up, self.down.to(x.dtype).transpose(1, 2), offs=ends)


class MoE(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate, self.experts = Gate(c), Experts(c)
        self.shared_experts = MLP(c.hidden_size, c.moe_intermediate_size * c.num_shared_experts)

    def forward(self, x: Tensor, routes: list[Tensor] | None = None) -> Tensor:
        """x (B, T, hidden). If `routes` is given, the chosen experts (B * T, k) are appended to it."""
        flat = x.reshape(-1, x.shape[-1])
        chosen, weights = self.gate(flat)
        if routes is not None:
            routes.append(chosen)
        k = chosen.shape[1]
        order = chosen.flatten().argsort(stable=True)  # assignments sorted by expert
        ends = torch.bincount(chosen.flatten(), minlength=self.gate.c.num_experts).cumsum(0).int()
        y = self.experts(flat[order // k], ends) * weights.flatten()[order, None].to(x.dtype)
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        routed = y[back].view(-1, k, x.shape[-1]).sum(1)
        return routed.view_as(x) + self.shared_experts(x)


class Block(nn.Module):
    def __init__(self, c: Config, dense: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.attention = Attention(c)
        self.mlp = MLP(c.hidden_size, c.intermediate_size) if dense else MoE(c)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        cache: list[Tensor] | None = None,
        routes: list[Tensor] | None = None,
    ) -> Tensor:
        x = x + self.attention(self.input_layernorm(x), rope, cache)
        h = self.post_attention_layernorm(x)
        return x + (self.mlp(h, routes) if isinstance(self.mlp, MoE) else self.mlp(h))


class MTPBlock(Block):
    """Predicts the token after the next from the final state and the next token's embedding (embedding first)."""

    def __init__(self, c: Config) -> None:
        super().__init__(c, dense=False)
        self.enorm, self.hnorm, self.final_layernorm = (RMSNorm(c.hidden_size, c.rms_norm_eps) for _ in range(3))
        self.eh_proj = Linear(2 * c.hidden_size, c.hidden_size)

    def draft(self, embedding: Tensor, state: Tensor, rope: tuple[Tensor, Tensor], routes: list[Tensor]) -> Tensor:
        u = self.eh_proj(torch.cat((self.enorm(embedding), self.hnorm(state)), dim=-1))
        return self.final_layernorm(self(u, rope, routes=routes))


class Backbone(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        blocks = [Block(c, dense=layer < c.first_k_dense_replace) for layer in range(c.num_hidden_layers)]
        self.layers = nn.ModuleList(blocks + [MTPBlock(c) for _ in range(c.num_nextn_predict_layers)])
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class BailingMoeV2(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        for name, p in self.named_parameters():
            if p.ndim >= 2 and "gate.weight" not in name:
                nn.init.normal_(p, std=0.02 if "word_embeddings" in name else p.shape[-1] ** -0.5 / 2)

    def forward(
        self,
        ids: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        caches: list[list[Tensor]] | None = None,
        routes: list[Tensor] | None = None,
    ) -> Tensor:
        """ids (B, T) -> the states after the final norm, (B, T, hidden); the caller applies the head.

        caches holds one list per layer (empty at first) and grows; routes collects each MoE layer's choices.
        """
        past = caches[0][0].shape[2] if caches and caches[0] else 0
        rope = self.rope(past + ids.shape[1], past, dtype)
        x = self.model.word_embeddings(ids).to(dtype)
        for i in range(self.config.num_hidden_layers):
            x = self.model.layers[i](x, rope, caches[i] if caches is not None else None, routes)
        return self.model.norm(x)

    def draft(self, states: Tensor, next_ids: Tensor, routes: list[Tensor]) -> Tensor:
        """Return MTP states (B, T, hidden) that predict the token after next_ids (B, T)."""
        rope = self.rope(states.shape[1], 0, states.dtype)
        embedding = self.model.word_embeddings(next_ids).to(states.dtype)
        return self.model.layers[-1].draft(embedding, states, rope, routes)

    def rope(self, length: int, past: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        cos, sin = rotary_tables(self.config, length)
        return cos[past:].to(dtype), sin[past:].to(dtype)

    def moe_layers(self) -> list[MoE]:
        """The MoE layers; the MTP layer's is last."""
        return [layer.mlp for layer in self.model.layers if isinstance(layer.mlp, MoE)]
