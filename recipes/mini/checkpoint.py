"""Read and write checkpoint folders as published: safetensors shards with Ling's tensor names, config, tokenizer.

save(model, folder, tokenizer_folder) and load(folder) are inverses, except that weights are rounded to BF16.
"""

import json
import shutil
from pathlib import Path

import torch
from model import BailingMoeV2, Config
from safetensors.torch import load_file, save_file
from torch import Tensor

SHARD_BYTES = 40_000_000  # code hosts accept files of this size without special steps
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
EXPERT_PARTS = ("gate_proj", "up_proj", "down_proj")


def published_tensors(model: BailingMoeV2) -> dict[str, Tensor]:
    """Return every tensor under its published name, with stacked experts split."""
    tensors = {}
    for name, value in model.state_dict().items():
        stem, _, last = name.rpartition(".")
        if not stem.endswith(".experts"):
            tensors[name] = value
            continue
        for expert, matrix in enumerate(value):
            parts = matrix.chunk(2) if last == "gate_up" else (matrix,)
            names = EXPERT_PARTS[:2] if last == "gate_up" else EXPERT_PARTS[2:]
            for part, part_name in zip(parts, names, strict=True):
                tensors[f"{stem}.{expert}.{part_name}.weight"] = part
    return tensors


def stacked_tensors(published: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The inverse of published_tensors."""
    state = {name: value for name, value in published.items() if ".experts." not in name}
    for stem in sorted({name.split(".experts.")[0] + ".experts" for name in published if ".experts." in name}):
        gate, up, down = (
            torch.stack([published[f"{stem}.{e}.{part}.weight"] for e in range(config.num_experts)])
            for part in EXPERT_PARTS
        )
        state[f"{stem}.gate_up"], state[f"{stem}.down"] = torch.cat((gate, up), dim=1), down
    return state


def load(folder: Path, *, add_mtp: bool = False) -> BailingMoeV2:
    """Load a folder's model as float32. With add_mtp, a missing MTP layer is made from the last layer."""
    published: dict[str, Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        published |= load_file(shard)
    config = Config.read(folder)
    state = {name: value.float() for name, value in stacked_tensors(published, config).items()}
    grown = add_mtp and not config.num_nextn_predict_layers
    if grown:
        config.num_nextn_predict_layers = 1
        last, new = f"model.layers.{config.num_hidden_layers - 1}.", f"model.layers.{config.num_hidden_layers}."
        state |= {new + name.removeprefix(last): value.clone() for name, value in state.items() if last in name}
    model = BailingMoeV2(config)
    model.load_state_dict(state, strict=not grown)
    return model


def save(model: BailingMoeV2, folder: Path, tokenizer_folder: Path) -> None:
    """Write the model as BF16 shards (the balancing bias stays float32) with its config and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, value in published_tensors(model).items():
        tensor = value.detach().to(torch.float32 if name.endswith("expert_bias") else torch.bfloat16).contiguous()
        if size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    tokens = json.loads((tokenizer_folder / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in tokens}
    bos, eos, role_end = ids["<|startoftext|>"], ids["<|endoftext|>"], ids["<|role_end|>"]
    special = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": eos}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    write_json(folder / "config.json", model.config.published() | special)
    write_json(folder / "generation_config.json", special | {"eos_token_id": [eos, role_end]})
    for file in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / file, folder / file)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
