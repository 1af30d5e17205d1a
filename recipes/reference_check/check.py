"""Compare the reference forward pass with transformers' Glm4MoeForCausalLM, and store transformers' logits.

    python recipes/reference_check/check.py        from the checkout's root; the README beside it says what to install

GLM-4.5 and BailingMoeV2 have the same mathematics under different names, so every tensor of a tiny random checkpoint
has a place in a Glm4Moe model. transformers' logits go to tests/data/glm4_moe.{json,npz}; tests/test_reference.py
makes the same checkpoints again from their seeds and compares, without torch.
"""

import json
import re
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from transformers import Glm4MoeConfig, Glm4MoeForCausalLM
from transformers.modeling_layers import MtpLayer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from testing.checkpoints import Shape, make_checkpoint  # noqa: E402
from testing.reference import forward, forward_mtp, load_checkpoint  # noqa: E402

FIXTURE = ROOT / "tests" / "data" / "glm4_moe"
KEPT_POSITIONS = 6  # the last positions of each case are stored, so that the fixture stays small
CASES: list[dict[str, Any]] = [
    {"name": "groups", "shape": Shape(), "dtype": "bf16", "seed": 1, "tokens": 12},
    {
        "name": "no dense lead, two shared experts, narrow experts",
        "shape": Shape(first_k_dense_replace=0, num_hidden_layers=2, num_shared_experts=2, moe_intermediate_size=96),
        "dtype": "f16",
        "seed": 1,
        "tokens": 12,
    },
    {
        "name": "biased scores below zero",
        "shape": Shape(expert_bias_mean=-0.7, expert_bias_spread=0.3),
        "dtype": "f32",
        "seed": 1,
        "tokens": 12,
    },
    {"name": "yarn", "shape": Shape(yarn_factor=4, num_hidden_layers=2), "dtype": "bf16", "seed": 1, "tokens": 90},
    {
        "name": "fp8, rotary_dim",
        "shape": Shape(says_rotary_dim=True, rotary_fraction=0.25, moe_intermediate_size=192),
        "dtype": "fp8",
        "seed": 1,
        "tokens": 12,
    },
    {"name": "mtp", "shape": Shape(num_nextn_predict_layers=1), "dtype": "bf16", "seed": 2, "tokens": 12},
]

SAME_KEYS = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_experts_per_tok",
    "n_group",
    "topk_group",
    "first_k_dense_replace",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "routed_scaling_factor",
    "norm_topk_prob",
    "use_qk_norm",
    "rms_norm_eps",
    "vocab_size",
    "hidden_act",
)


def main() -> None:
    torch.manual_seed(0)
    kept: dict[str, np.ndarray] = {}
    cases = []
    for number, case in enumerate(CASES):
        ids = [(7 * i * i + 3 * i + 11) % 720 for i in range(case["tokens"])]
        with tempfile.TemporaryDirectory() as folder:
            path = make_checkpoint(Path(folder), case["shape"], dtype=case["dtype"], seed=case["seed"])
            theirs, theirs_mtp = run_glm(path, ids)
            model = load_checkpoint(path)
        ours = forward(model, ids)
        line = f"{case['name']}: {difference(ours.logits, theirs)}, router margin {ours.margin:.1e}"
        kept[f"logits_{number}"] = theirs[-KEPT_POSITIONS:].astype(np.float32)
        if theirs_mtp is not None:
            kept[f"mtp_{number}"] = theirs_mtp[-KEPT_POSITIONS:].astype(np.float32)
            line += f"; mtp {difference(forward_mtp(model, ids, ours.hidden), theirs_mtp)}"
        print(line)
        cases.append({**case, "shape": asdict(case["shape"]), "ids": ids})
    FIXTURE.parent.mkdir(exist_ok=True)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    FIXTURE.with_suffix(".json").write_text(json.dumps({**versions, "cases": cases}) + "\n")
    np.savez_compressed(FIXTURE.with_suffix(".npz"), **kept)


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    return f"largest difference {np.abs(ours - theirs).max():.1e} of logits up to {np.abs(theirs).max():.1f}"


def run_glm(folder: Path, ids: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return transformers' logits [tokens, vocabulary], and those of the MTP layer if the checkpoint has one.

    They are computed in float64 as far as possible: transformers always uses float32 for norms, softmax, router and
    rotary angles.
    """
    config = json.loads((folder / "config.json").read_text())
    weights = read_weights(folder)
    model = Glm4MoeForCausalLM(glm_config(config)).double().eval()
    layers = config["num_hidden_layers"]
    main_weights = {name: value for name, value in weights.items() if f"model.layers.{layers}." not in name}
    assign(model, glm_weights(main_weights, config))
    tokens = torch.tensor([ids])
    with torch.no_grad():
        hidden = model.model(input_ids=tokens).last_hidden_state
        logits = model.lm_head(hidden)[0].numpy()
        if not config.get("num_nextn_predict_layers"):
            return logits, None
        return logits, run_mtp(model, config, weights, tokens, hidden)


def run_mtp(model: Any, config: dict[str, Any], weights: dict[str, Any], ids: Any, hidden: Any) -> np.ndarray:
    """Run transformers' own MtpLayer around a Glm4Moe block, on the ids shifted left with a 0 at the end."""
    layers = config["num_hidden_layers"]
    block, norm = type(model.model.layers[-1]), type(model.model.norm)
    layer = MtpLayer(model.config, block, norm, layers).double().eval()
    prefix = f"model.layers.{layers}."
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    outer = {name: own.pop(f"{name}.weight") for name in ("enorm", "hnorm", "eh_proj")}
    outer["post_norm"] = own.pop("final_layernorm.weight")
    inner = glm_weights({f"model.layers.0.{name}": value for name, value in own.items()}, config)
    state = {f"{name}.weight": value for name, value in outer.items()}
    state |= {name.replace("model.layers.0.", "mtp_block."): value for name, value in inner.items()}
    assign(layer, state)
    shifted = torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :1])], dim=1)
    positions = torch.arange(ids.shape[1])[None]
    mask = torch.full((1, 1, ids.shape[1], ids.shape[1]), -torch.inf, dtype=torch.float64).triu(1)
    rotary = model.model.rotary_emb(hidden, positions)
    out = layer(model.model.embed_tokens(shifted), hidden, rotary, mask, positions, None)
    return model.lm_head(out)[0].numpy()


def glm_config(config: dict[str, Any]) -> Glm4MoeConfig:
    rotary = config.get("partial_rotary_factor", config.get("rotary_dim", 0) / config["head_dim"])
    rope = {"rope_type": "default", "rope_theta": float(config["rope_theta"]), "partial_rotary_factor": rotary}
    if config["rope_scaling"]:
        rope |= {"rope_type": "yarn", **{key: value for key, value in config["rope_scaling"].items() if key != "type"}}
    return Glm4MoeConfig(
        **{key: config[key] for key in SAME_KEYS},
        n_routed_experts=config["num_experts"],
        n_shared_experts=config["num_shared_experts"],
        attention_bias=False,
        rope_parameters=rope,
        partial_rotary_factor=rotary,
        attn_implementation="eager",
        experts_implementation="eager",
        num_mtp_layers=0,
    )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read every tensor in float64 with the safetensors library; FP8 is multiplied by its 128 x 128 block scales."""
    stored: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        stored |= load_file(path)
    weights = {name: value.double() for name, value in stored.items() if not name.endswith("_scale_inv")}
    for name, scale in stored.items():
        if name.endswith("_scale_inv"):
            weight = weights[name.removesuffix("_scale_inv")]
            for row, column in np.ndindex(*scale.shape):
                weight[128 * row : 128 * (row + 1), 128 * column : 128 * (column + 1)] *= scale[row, column].item()
    return weights


def glm_weights(weights: dict[str, torch.Tensor], config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights under transformers' names: attention split, experts stacked, gate and up side by side."""
    heads, kv_heads, head_dim = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    renamed: dict[str, torch.Tensor] = {}
    experts: dict[str, dict[tuple[int, str], torch.Tensor]] = {}
    for name, value in weights.items():
        if match := re.fullmatch(r"(.*\.mlp\.experts)\.(\d+)\.(\w+)_proj\.weight", name):
            experts.setdefault(match[1], {})[int(match[2]), match[3]] = value
        elif name.endswith("query_key_value.weight"):
            parts = value.split([heads * head_dim, kv_heads * head_dim, kv_heads * head_dim])
            for letter, part in zip("qkv", parts, strict=True):
                renamed[name.replace("attention.query_key_value", f"self_attn.{letter}_proj")] = part
        else:
            for old, new in (
                ("attention.dense", "self_attn.o_proj"),
                ("attention.query_layernorm", "self_attn.q_norm"),
                ("attention.key_layernorm", "self_attn.k_norm"),
                ("gate.expert_bias", "gate.e_score_correction_bias"),
                ("word_embeddings", "embed_tokens"),
            ):
                name = name.replace(old, new)
            renamed[name] = value
    for prefix, parts in experts.items():
        numbers = range(config["num_experts"])
        pairs = [torch.cat([parts[number, "gate"], parts[number, "up"]]) for number in numbers]
        renamed[f"{prefix}.gate_up_proj"] = torch.stack(pairs)
        renamed[f"{prefix}.down_proj"] = torch.stack([parts[number, "down"] for number in numbers])
    return renamed


def assign(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load every weight. Raises SystemExit if any is missing or left over."""
    missing, unexpected = module.load_state_dict(weights, strict=False)
    buffers = {name for name, _ in module.named_buffers()} - set(weights)
    if set(missing) - buffers or unexpected:
        raise SystemExit(f"The mapping is incomplete: {missing} missing, {unexpected} left over.")


if __name__ == "__main__":
    main()
