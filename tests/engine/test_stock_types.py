"""Stock files as people have them: every type of ggml, fused gate and up, a tied head, and odd metadata, against stock
llama.cpp where stock runs them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.engine.virtual_gguf import virtual_gguf
from edgemed.errors import ModelFileError
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import quantize
from testing.checkpoints import Shape, make_checkpoint
from testing.engine_probe import Answer, Probe, run_probes
from testing.ggml_matmul import random_weights
from testing.gguf_bytes import Gguf, Kind, Tensor, load

pytestmark = pytest.mark.slow

# With two experts per token their sum does not depend on the order.
SHAPE = Shape(num_hidden_layers=1, first_k_dense_replace=0, num_experts=8, num_experts_per_tok=2)
KINDS = sorted(set(Type) - {Type.Q8_1, Type.Q8_K, Type.I8, Type.I16, Type.I32, Type.I64, Type.F64})
IDS = tuple(range(20, 36))
SLOW_TO_MAKE = {Type.IQ1_S, Type.IQ1_M, Type.IQ2_XXS, Type.IQ2_XS, Type.IQ2_S, Type.IQ3_XXS, Type.IQ3_S}
SINGLE = 4
ALMOST = 2e-5  # float32 rounding in another order


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock file with all weights in F32."""
    folder = tmp_path_factory.mktemp("plain")
    checkpoint = make_checkpoint(folder / "checkpoint", SHAPE)
    return convert(str(checkpoint), folder / "plain.gguf", Plan.uniform(Type.F32), layout="llama.cpp").path


def is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and "ffn_gate_inp" not in tensor.name


def in_type(gguf: Gguf, kind: Type) -> Gguf:
    """Every matrix but the routers in `kind`, dense ones included; random blocks where ggml quantises slowly."""
    for tensor in filter(is_matrix, gguf.tensors):
        values = np.frombuffer(tensor.data, np.float32).reshape(-1, tensor.shape[0])
        rows, columns = values.shape
        blocks = random_weights(kind, rows, columns, rows) if kind in SLOW_TO_MAKE else quantize(values, kind)
        tensor.data, tensor.type = blocks.tobytes(), int(kind)
    return gguf


def write(gguf: Gguf, path: Path) -> str:
    path.write_bytes(gguf.encode())
    return str(path)


def difference(one: Answer, other: Answer) -> float:
    return float(np.abs(one.logits - other.logits).max())


@pytest.fixture(scope="module")
def answers(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Type, list[Answer]]:
    """For each type: ours and stock llama.cpp's logits, of four single tokens and a batch."""
    folder = tmp_path_factory.mktemp("types")
    probes = []
    for kind in KINDS:
        path = write(in_type(load(plain), kind), folder / f"{kind.name}.gguf")
        one = Probe(path, IDS, batches=(*(1,) * SINGLE, len(IDS) - SINGLE), repack=False)
        probes += [one, replace(one, stock=True)]
    found = run_probes(folder, *probes, timeout=300)
    return {kind: found[2 * at : 2 * at + 2] for at, kind in enumerate(KINDS)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_type_agrees_with_stock_llama_cpp(kind: Type, answers: dict[Type, list[Answer]]) -> None:
    ours, stock = (answer.logits for answer in answers[kind])
    assert stock.std() > 0.1
    assert np.abs(ours - stock)[:SINGLE].max() < ALMOST
    assert np.abs(ours - stock).max() < 0.1  # one code that is rounded the other way


def fused(gguf: Gguf) -> Gguf:
    """Gate and up of all experts in one tensor, as newer converters write them."""
    gate, up = (gguf.tensor(f"blk.0.ffn_{name}_exps.weight") for name in ("gate", "up"))
    columns, rows, experts = gate.shape
    each = len(gate.data) // experts
    pairs = (one.data[at * each : (at + 1) * each] for at in range(experts) for one in (gate, up))
    both = Tensor("blk.0.ffn_gate_up_exps.weight", (columns, 2 * rows, experts), b"".join(pairs), gate.type)
    gguf.tensors[gguf.tensors.index(gate)] = both
    gguf.tensors.remove(up)
    return gguf


@pytest.mark.parametrize("kind", [Type.Q4_K, Type.F32, Type.Q5_0], ids=lambda kind: kind.name)
def test_fused_gate_and_up_compute_the_same_bits(kind: Type, plain: Path, tmp_path: Path) -> None:
    """Stock llama.cpp's graph of this architecture does not read them."""
    apart = Probe(write(in_type(load(plain), kind), tmp_path / "apart.gguf"), IDS)
    path = tmp_path / "fused.gguf"
    probes = [apart, Probe(write(fused(in_type(load(plain), kind)), path), IDS)]
    for one, other in (probes, [replace(probe, batches=probe.one_by_one, small_cache=True) for probe in probes]):
        expected, found = run_probes(tmp_path, one, other)
        assert np.array_equal(expected.logits, found.logits)
    assert open_model(path).layout == "llama.cpp"


def test_a_misshapen_fused_tensor_is_named(plain: Path, tmp_path: Path) -> None:
    gguf = fused(load(plain))
    tensor = gguf.tensor("blk.0.ffn_gate_up_exps.weight")
    tensor.shape = (tensor.shape[0], tensor.shape[1] // 2, 2 * tensor.shape[2])
    with pytest.raises(ModelFileError, match=r"blk.0.ffn_gate_up_exps.weight has the shape \(256, 256, 16\), not"):
        open_model(write(gguf, tmp_path / "m.gguf"))


def test_a_tied_head_computes_as_an_untied_copy(plain: Path, tmp_path: Path) -> None:
    """Stock llama.cpp's graph of this architecture requires a head."""
    untied, tied = in_type(load(plain), Type.Q6_K), in_type(load(plain), Type.Q6_K)
    untied.tensor("output.weight").data = untied.tensor("token_embd.weight").data
    tied.tensors.remove(tied.tensor("output.weight"))
    paths = [write(untied, tmp_path / "untied.gguf"), write(tied, tmp_path / "tied.gguf")]
    stock, one, other = run_probes(tmp_path, Probe(paths[0], IDS, stock=True), *(Probe(path, IDS) for path in paths))
    assert np.array_equal(one.logits, other.logits)
    assert difference(stock, other) < 0.1
    made = [convert(path, tmp_path / f"{at}.gguf", Plan.uniform(Type.Q2_K)) for at, path in enumerate(paths)]
    assert made[0].weights_digest == made[1].weights_digest


@pytest.mark.parametrize("name", ["blk.0.ffn_down_exps.scale", "blk.0.attn_qkv.input_scale", "output.scale"])
def test_second_scales_are_refused_by_name(name: str, plain: Path, tmp_path: Path) -> None:
    """Stock llama.cpp ignores them in this graph."""
    gguf = in_type(load(plain), Type.NVFP4)
    gguf.tensors.append(Tensor(name, (1,), np.ones(1, np.float32).tobytes()))
    with pytest.raises(ModelFileError, match=f"has {name}, a second scale"):
        open_model(write(gguf, tmp_path / "m.gguf"))


def arrays(gguf: Gguf, *keys: str) -> None:
    for key in keys:
        kind, value = gguf.keys[f"bailingmoe2.{key}"]
        gguf.set_key(f"bailingmoe2.{key}", Kind.ARRAY, (kind, [value] * SHAPE.num_hidden_layers))


ABSENT = (
    ("rope.freq_base",),
    ("rope.dimension_count",),
    ("expert_weights_scale",),
    ("attention.key_length", "attention.value_length"),
    ("expert_group_count", "expert_group_used_count"),
    ("leading_dense_block_count", "feed_forward_length", "vocab_size", "expert_shared_feed_forward_length"),
)


def test_absent_and_repeated_numbers_are_inferred_as_by_llama_cpp(plain: Path, tmp_path: Path) -> None:
    files = []
    for number, absent in enumerate(ABSENT):
        gguf = load(plain)
        for key in absent:
            del gguf.keys[f"bailingmoe2.{key}"]
        files.append(write(gguf, tmp_path / f"{number}.gguf"))
    gguf = load(plain)
    arrays(gguf, "attention.head_count", "attention.head_count_kv", "expert_used_count", "expert_feed_forward_length")
    for key in ("expert_group_count", "expert_shared_feed_forward_length"):
        gguf.set_key(f"bailingmoe2.{key}", Kind.U32, 0)
    files.append(write(gguf, tmp_path / "arrays.gguf"))
    found = run_probes(tmp_path, *(Probe(path, IDS, stock=stock) for path in files for stock in (False, True)))
    for ours, stock in zip(found[::2], found[1::2], strict=True):
        assert difference(ours, stock) < ALMOST
    assert difference(found[0], found[2]) > 0.01, "the numbers matter"


def test_absent_token_numbers_are_inferred_and_an_absent_pre_tokenizer_is_refused(plain: Path, tmp_path: Path) -> None:
    """Without its name llama.cpp splits text by a rule that the model was not trained with, which changes answers."""
    gguf = load(plain)
    for key in ("token_type", "bos_token_id", "eos_token_id", "padding_token_id", "add_bos_token"):
        gguf.keys.pop(f"tokenizer.ggml.{key}", None)
    path = write(gguf, tmp_path / "m.gguf")
    ours, stock = run_probes(tmp_path, Probe(path, IDS), Probe(path, IDS, stock=True))
    assert difference(ours, stock) < ALMOST
    del gguf.keys["tokenizer.ggml.pre"]
    with pytest.raises(
        ModelFileError, match=r"m.gguf has no tokenizer.ggml.pre, the rule by which it splits text; use"
    ):
        virtual_gguf(open_model(write(gguf, tmp_path / "m.gguf")))


def test_layers_that_differ_are_refused(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", replace(SHAPE, num_hidden_layers=2))
    path = convert(str(checkpoint), tmp_path / "m.gguf", Plan.uniform(Type.F16), layout="llama.cpp").path
    gguf = load(path)
    gguf.set_key("bailingmoe2.expert_used_count", Kind.ARRAY, (Kind.U32, [2, 3]))
    with pytest.raises(ModelFileError, match=r"different values of bailingmoe2.expert_used_count"):
        open_model(write(gguf, path))


def test_a_file_in_another_runtimes_store(plain: Path, tmp_path: Path) -> None:
    """Named by its digest, without a suffix, beside a manifest and through a link."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    blob = blobs / ("sha256-" + "0a" * 32)
    blob.write_bytes(plain.read_bytes())
    (tmp_path / "model").symlink_to(blob)
    named, linked, expected = run_probes(
        tmp_path, *(Probe(str(path), IDS) for path in (blob, tmp_path / "model", plain))
    )
    assert np.array_equal(named.logits, expected.logits)
    assert np.array_equal(linked.logits, expected.logits)
