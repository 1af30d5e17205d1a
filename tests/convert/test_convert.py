"""Complete conversions of a checkpoint to a GGUF: every weight, every checksum, both layouts."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import Conversion, Progress, convert
from edgemed.errors import CheckpointError, EdgemedError, PlanError, SetupError
from edgemed.model_file import ModelFile, keys, open_model
from edgemed.model_file.integrity import check
from edgemed.native import xxh3_64
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import quantize
from testing.checkpoints import Dtype, Shape, make_checkpoint, write_safetensors
from testing.gguf_weights import load_gguf
from testing.reference import load_checkpoint
from tests.convert.conftest import TINY

MIXED = Plan.parse(
    json.dumps(
        {
            "edgemed_plan": 1,
            "dense": {"output": "Q6_K", "blk.1.attn_qkv": "F16"},
            "experts": {
                "default": {"gate": "Q3_K", "up": "Q2_K", "down": "Q4_K"},
                "layers": {"2": {"gate": {"Q6_K": "0-3,7"}, "down": {"Q8_0": "5"}}},
            },
        }
    )
)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["edgemed", "llama.cpp"])
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("bf16", replace(TINY, num_nextn_predict_layers=1)),
        ("f16", replace(TINY, first_k_dense_replace=0)),
        ("f32", replace(TINY, num_shared_experts=2)),
        ("fp8", replace(TINY, moe_intermediate_size=192)),
    ],
)
def test_every_weight_is_converted(tmp_path: Path, dtype: Dtype, shape: Shape, layout: str) -> None:
    """With a float32 plan the file holds the checkpoint's values, computed in float64 and rounded once."""
    folder = make_checkpoint(tmp_path / "checkpoint", shape, dtype=dtype)
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(Type.F32), layout=layout)  # type: ignore[arg-type]
    wanted = load_checkpoint(folder)
    written = load_gguf(tmp_path / "out.gguf", wanted.config)
    assert written.weights.keys() == wanted.weights.keys()
    for name, values in wanted.weights.items():
        assert np.array_equal(written.weights[name], values.astype(np.float32)), name


@pytest.mark.slow
def test_mtp_layer_is_kept(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", replace(TINY, num_nextn_predict_layers=1))
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    model = open_model(tmp_path / "out.gguf")
    assert model.hparams.n_nextn == 1
    assert model.experts.layers == (1, 2)
    for name in ("nextn.eh_proj", "nextn.enorm", "nextn.hnorm", "layer_output_norm"):
        assert f"blk.2.{name}.weight" in model.tensors


@pytest.fixture(scope="module")
def mixed(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Conversion, ModelFile]:
    path = tmp_path_factory.mktemp("mixed") / "out.gguf"
    return convert(str(small), path, MIXED), open_model(path)


@pytest.mark.slow
def test_every_expert_has_its_planned_type_and_bytes(small: Path, mixed: tuple[Conversion, ModelFile]) -> None:
    _, model = mixed
    weights = load_checkpoint(small).weights
    for moe_layer, layer in enumerate(model.experts.layers):
        for expert in range(16):
            for projection, name in enumerate(("gate", "up", "down")):
                planned = MIXED.expert_type(layer, expert, projection)
                assert model.experts.type[moe_layer, expert, projection] == planned
                values = weights[f"model.layers.{layer}.mlp.experts.{expert}.{name}_proj.weight"].astype(np.float32)
                tensor = model.tensors[f"blk.{layer}.ffn_{name}.{expert}.weight"]
                assert model.read(tensor) == quantize(values, planned).tobytes()
    assert model.tensors["output.weight"].type == Type.Q6_K
    assert model.tensors["blk.1.attn_qkv.weight"].type == Type.F16
    assert model.tensors["blk.1.ffn_gate_inp.weight"].type == Type.F32


def test_each_expert_is_one_read(mixed: tuple[Conversion, ModelFile]) -> None:
    """Dense tensors first, then experts in execution order as gate, up, down; each expert starts on a page."""
    _, model = mixed
    names = list(model.tensors)
    wanted = [f"blk.{layer}.ffn_{p}.{e}.weight" for layer in (1, 2) for e in range(16) for p in ("gate", "up", "down")]
    assert names[-len(wanted) :] == wanted
    offsets = [tensor.offset for tensor in model.tensors.values()]
    assert offsets == sorted(offsets)
    assert all(offset % keys.ALIGNMENT == 0 for offset in offsets)
    starts, ends = model.experts.offset[..., 0], model.experts.offset[..., 2] + model.experts.nbytes[..., 2]
    padding = ends - starts - model.experts.nbytes.sum(-1)
    assert (padding < 2 * keys.ALIGNMENT).all()
    assert model.metadata["general.alignment"] == keys.ALIGNMENT


def test_checksums_and_digests_match_the_bytes(mixed: tuple[Conversion, ModelFile]) -> None:
    done, model = mixed
    content = model.path.read_bytes()
    assert model.experts.checksum is not None
    for moe_layer, expert in np.ndindex(model.experts.checksum.shape):
        start = int(model.experts.offset[moe_layer, expert, 0])
        end = int(model.experts.offset[moe_layer, expert, 2] + model.experts.nbytes[moe_layer, expert, 2])
        assert model.experts.checksum[moe_layer, expert] == xxh3_64(content[start:end])
    assert model.dense_checksums == [xxh3_64(content[t.offset : t.end]) for t in model.dense]
    weights = hashlib.sha256()
    for tensor in model.tensors.values():
        weights.update(content[tensor.offset : tensor.end])
    assert done.weights_digest == model.weights_digest == weights.hexdigest()
    assert model.metadata[keys.PLAN] == MIXED.text
    assert model.metadata[keys.PLAN_DIGEST] == hashlib.sha256(MIXED.text.encode()).hexdigest() == done.plan_digest
    assert check(model).damaged == []


def test_result_describes_the_file(small: Path, mixed: tuple[Conversion, ModelFile]) -> None:
    done, model = mixed
    parameters = sum(values.size for values in load_checkpoint(small).weights.values())
    assert done.parameters == parameters
    assert done.bits_per_weight == 8 * sum(t.nbytes for t in model.tensors.values()) / parameters
    assert (done.experts, done.size_bytes, done.intended_use) == (32, model.path.stat().st_size, "unevaluated")


@pytest.mark.slow
def test_bytes_do_not_depend_on_threads_or_file_names(
    small: Path, mixed: tuple[Conversion, ModelFile], tmp_path: Path
) -> None:
    for threads in (1, 5):
        convert(str(small), tmp_path / f"{threads}.gguf", MIXED, threads=threads)
        assert (tmp_path / f"{threads}.gguf").read_bytes() == mixed[1].path.read_bytes()


@pytest.mark.slow
def test_chunks_of_rows_give_the_same_bytes(
    small: Path, mixed: tuple[Conversion, ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemed.convert.writer.CHUNK_WEIGHTS", 7 * 256)
    convert(str(small), tmp_path / "out.gguf", MIXED)
    assert (tmp_path / "out.gguf").read_bytes() == mixed[1].path.read_bytes()


@pytest.mark.slow
def test_both_layouts_hold_the_same_weights(small: Path, tmp_path: Path) -> None:
    plan = Plan.uniform(3.4)
    convert(str(small), tmp_path / "own.gguf", plan)
    convert(str(small), tmp_path / "stock.gguf", plan, layout="llama.cpp")
    own, stock = open_model(tmp_path / "own.gguf"), open_model(tmp_path / "stock.gguf")
    assert (own.layout, stock.layout) == ("edgemed", "llama.cpp")
    assert (own.verified, stock.verified) == (True, False)
    assert "general.alignment" not in stock.metadata
    assert keys.FORMAT_VERSION not in stock.metadata
    one, other = own.path.read_bytes(), stock.path.read_bytes()
    for place in np.ndindex(own.experts.offset.shape):
        length, a, b = (int(x[place]) for x in (own.experts.nbytes, own.experts.offset, stock.experts.offset))
        assert one[a : a + length] == other[b : b + length]
    assert check(stock).damaged == []


def test_stock_layout_has_one_type_per_tensor(small: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"gate of layer 2 in 2 types, but the llama\.cpp layout has one"):
        convert(str(small), tmp_path / "out.gguf", MIXED, layout="llama.cpp")
    assert left_in(tmp_path) == []
    by_layer = Plan.parse(
        '{"edgemed_plan": 1, "experts": {"default": "Q3_K", "layers": {"2": {"gate": "Q6_K", "up": {"Q2_K": "0-15"}}}}}'
    )
    convert(str(small), tmp_path / "out.gguf", by_layer, layout="llama.cpp")
    tensors = open_model(tmp_path / "out.gguf").tensors
    assert tensors["blk.2.ffn_gate_exps.weight"].type == Type.Q6_K
    assert tensors["blk.2.ffn_up_exps.weight"].type == Type.Q2_K
    assert tensors["blk.1.ffn_gate_exps.weight"].type == Type.Q3_K


@pytest.mark.slow
def test_intended_use_is_copied_from_the_folder(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(small, folder)
    marking = {"intended_use": "demonstration", "name": "Demo", "repository": "them/demo", "revision": "r1"}
    (folder / "edgemed.json").write_text(json.dumps(marking))
    for layout in ("edgemed", "llama.cpp"):
        convert(str(folder), tmp_path / f"{layout}.gguf", Plan.uniform(4.5), layout=layout)  # type: ignore[arg-type]
        model = open_model(tmp_path / f"{layout}.gguf")
        assert (model.intended_use, model.name) == ("demonstration", "Demo")
        assert model.metadata[keys.SOURCE_REPOSITORY] == "them/demo"
        assert model.metadata[keys.SOURCE_REVISION] == "r1"
    (folder / "edgemed.json").write_text('{"intended_use": "evaluated"}')
    with pytest.raises(CheckpointError, match="intended_use"):
        convert(str(folder), tmp_path / "again.gguf", Plan.uniform(4.5))


@pytest.mark.slow
def test_progress_reaches_its_total(small: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    convert(str(small), tmp_path / "out.gguf", Plan.uniform(4.5), on_progress=seen.append)
    converting = [progress for progress in seen if progress.stage == "converting"]
    assert converting[-1].experts_done == converting[-1].experts == 32
    assert converting[-1].bytes_done == converting[-1].bytes == seen[-1].bytes_done
    assert seen[-1].stage == "reading back"
    assert [p.bytes_done for p in converting] == sorted(p.bytes_done for p in converting)


def broken(small: Path, folder: Path, name: str, *, shape: tuple[int, ...] | None = None, value: float = 0.0) -> Path:
    """Copy `small` into one F32 shard, with the tensor `name` missing, of another shape, or with a bad value."""
    tensors = {n: ("F32", v.astype(np.float32)) for n, v in load_checkpoint(small).weights.items()}
    shutil.copytree(small, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    if shape is None and value == 0.0:
        del tensors[name]
    elif shape is not None:
        tensors[name] = ("F32", np.ones(shape, np.float32))
    else:
        tensors[name][1].flat[-1] = value
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


UP = "model.layers.2.mlp.experts.7.up_proj.weight"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": UP}, CheckpointError, f"lacks the tensor {UP}"),
        ({"name": "model.norm.weight"}, CheckpointError, "lacks the tensor model.norm.weight"),
        (
            {"name": UP, "shape": (256, 128)},
            CheckpointError,
            rf"{UP} has the shape \[256, 128\], but config.json implies",
        ),
        ({"name": "model.norm.weight", "shape": (256, 1)}, CheckpointError, "model.norm.weight has the shape"),
        ({"name": "model.layers.0.attention.dense.bias", "shape": (256,)}, CheckpointError, "does not account for"),
        ({"name": UP, "value": np.nan}, CheckpointError, f"The tensor {UP} holds NaN or infinite"),
        ({"name": "model.layers.1.mlp.gate.expert_bias", "value": np.inf}, CheckpointError, "expert_bias holds NaN"),
        ({"name": UP, "value": 1e5}, PlanError, f"{UP} holds values beyond 65504"),
    ],
)
def test_broken_checkpoint_leaves_no_file(
    small: Path, tmp_path: Path, change: dict[str, object], error: type[EdgemedError], message: str
) -> None:
    folder = broken(small, tmp_path / "checkpoint", **change)  # type: ignore[arg-type]
    with pytest.raises(error, match=message) as caught:
        convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == ["checkpoint"]


def test_values_beyond_half_precision_are_accepted_in_f32(small: Path, tmp_path: Path) -> None:
    folder = broken(small, tmp_path / "checkpoint", UP, value=1e5)
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(Type.F32))
    model = open_model(tmp_path / "out.gguf")
    assert np.frombuffer(model.read(model.tensors["blk.2.ffn_up.7.weight"]), np.float32)[-1] == np.float32(1e5)


def test_plan_with_an_unknown_expert_is_refused(small: Path, tmp_path: Path) -> None:
    plan = Plan.parse('{"edgemed_plan": 1, "experts": {"default": "Q4_K", "layers": {"1": {"gate": {"Q6_K": "16"}}}}}')
    with pytest.raises(PlanError, match="expert 16 of layer 1"):
        convert(str(small), tmp_path / "out.gguf", plan)
    assert left_in(tmp_path) == []


@pytest.mark.slow
def test_unwritable_output_is_refused(small: Path, tmp_path: Path) -> None:
    plan = Plan.uniform(4.5)
    with pytest.raises(SetupError, match="is a folder"):
        convert(str(small), tmp_path, plan)
    with pytest.raises(SetupError, match="No such file or directory"):
        convert(str(small), tmp_path / "nowhere" / "out.gguf", plan)
    (tmp_path / "out.gguf").write_text("mine")
    with pytest.raises(SetupError, match="exists already"):
        convert(str(small), tmp_path / "out.gguf", plan)
    assert (tmp_path / "out.gguf").read_text() == "mine"
    convert(str(small), tmp_path / "out.gguf", plan, overwrite=True)
    assert open_model(tmp_path / "out.gguf").verified
    assert left_in(tmp_path) == ["out.gguf"]


def test_error_names_unsupported_quantisation(tmp_path: Path) -> None:
    for settings in (
        {"quant_method": "compressed-tensors"},
        {"quant_method": "fp8"},
        {"quant_method": "gptq", "bits": 4},
    ):
        folder = make_checkpoint(
            tmp_path / settings["quant_method"], TINY, config_changes={"quantization_config": settings}
        )
        with pytest.raises(CheckpointError, match=f"is quantised by '{settings['quant_method']}'"):
            convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
