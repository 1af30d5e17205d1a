"""Files that lie: every one is a ModelFileError with a sentence, in bounded time and memory."""

import itertools
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any, Literal

import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, open_model
from tests.support.gguf_bytes import EXPERTS, Gguf, Kind, Tensor, small_model

Layout = Literal["edgemed", "llama.cpp"]
LAYOUTS: tuple[Layout, ...] = ("edgemed", "llama.cpp")
HUGE = ((1 << 63) - 1, (1 << 64) - 1, 1 << 40)


def try_to_open(path: Path) -> ModelFile | str:
    """The opened file, or the sentence that refuses it. Any other exception, and any great use of memory, fails."""
    tracemalloc.start()
    try:
        return open_model(path)
    except ModelFileError as error:
        return str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


def refused(path: Path, content: bytes) -> str:
    """Write the content, insist that it is refused with a sentence, and return that."""
    path.write_bytes(content)
    message = try_to_open(path)
    assert isinstance(message, str)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_untouched_file_opens(layout: Layout, path: Path) -> None:
    """Otherwise every refusal below would prove nothing."""
    path.write_bytes(small_model(layout).encode())
    model = open_model(path)
    assert model.layout == layout
    assert model.experts.offset.shape == (1, EXPERTS, 3)
    assert model.hparams.moe_layers == range(1, 2)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("edgemed.expert_tokens", (Kind.U32, [1] * (EXPERTS + 1)), "5 counts for 1 x 4 experts"),
        ("edgemed.expert_tokens", (Kind.F32, [1.5] * EXPERTS), "edgemed.expert_tokens is no list of whole numbers"),
        ("edgemed.eog_token_ids", (Kind.STRING, ["</s>"]), "edgemed.eog_token_ids is no list of whole numbers"),
        ("edgemed.eog_token_ids", (Kind.I32, [-1]), "edgemed.eog_token_ids is no list of whole numbers"),
    ],
)
def test_lists_of_another_kind(path: Path, key: str, value: Any, words: str) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(key, Kind.ARRAY, value)
    assert words in refused(path, gguf.encode())


def test_lists_that_are_right(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("edgemed.expert_tokens", Kind.ARRAY, (Kind.U32, [7, 0, 3, 1]))
    gguf.set_key("edgemed.eog_token_ids", Kind.ARRAY, (Kind.U32, [3, 47]))
    path.write_bytes(gguf.encode())
    file = open_model(path)
    assert file.end_ids == (3, 47)
    assert file.expert_tokens is not None
    assert file.expert_tokens.tolist() == [[7, 0, 3, 1]]


@pytest.mark.parametrize("name", ["blk.1.ffn_norm.weight", "blk.1.exp_probs_b.bias"])
def test_a_vector_dressed_as_a_matrix(path: Path, name: str) -> None:
    gguf = small_model("edgemed")
    tensor = gguf.tensor(name)
    tensor.shape, tensor.type, tensor.data = (*tensor.shape, 1), Type.F16, tensor.data[: len(tensor.data) // 2]
    assert f"stores {name} as F16" in refused(path, gguf.encode())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_at_every_section(layout: Layout, path: Path) -> None:
    gguf = small_model(layout)
    content = gguf.encode()
    assert len(gguf.sections) > 40
    for first in gguf.sections.values():
        for cut in {first, first + 1, first + 9}:
            assert "cut short" in refused(path, content[:cut]) or cut < 4
    refused(path, content[: gguf.sections["data"]])
    refused(path, content[:-1])
    refused(path, b"")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"magic": b"GGML"}, "GGUF"),
        ({"magic": b"FUGG"}, "GGUF"),
        ({"version": 1}, "version 1"),
        ({"version": 0x03000000}, "version"),
        *(({"n_tensors": count}, "tensors") for count in HUGE),
        *(({"n_keys": count}, "keys") for count in HUGE),
        ({"n_keys": 5000}, "cut short|kind|UTF-8|bytes"),
    ],
)
def test_wrong_magic_version_and_counts(changes: dict[str, Any], words: str, path: Path) -> None:
    gguf = small_model("edgemed")
    for name, value in changes.items():
        setattr(gguf, name, value)
    message = refused(path, gguf.encode())
    assert any(word in message for word in words.split("|"))


@pytest.mark.parametrize("length", HUGE)
@pytest.mark.parametrize("where", ["key", "string", "array of strings", "array of numbers", "string in array", "name"])
def test_absurd_lengths(where: str, length: int, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.keys = {
        "a": (Kind.STRING, "text"),
        "b": (Kind.ARRAY, (Kind.STRING, ["one", "two"])),
        "c": (Kind.ARRAY, (Kind.F64, [1.0])),
        **gguf.keys,
    }
    content = bytearray(gguf.encode())
    at = {
        "key": gguf.sections["key a"],
        "string": gguf.sections["key a"] + 8 + 1 + 4,
        "array of strings": gguf.sections["key b"] + 8 + 1 + 4 + 4,
        "string in array": gguf.sections["key b"] + 8 + 1 + 4 + 4 + 8,
        "array of numbers": gguf.sections["key c"] + 8 + 1 + 4 + 4,
        "name": gguf.sections["tensor token_embd.weight"],
    }[where]
    assert struct.unpack_from("<Q", content, at)[0] < 20  # a length really stands there
    struct.pack_into("<Q", content, at, length)
    refused(path, bytes(content))


@pytest.mark.parametrize("kind", [13, 255, 0xFFFFFFFF])
def test_unknown_kinds_of_values(kind: int, path: Path) -> None:
    gguf = small_model("edgemed")
    content = bytearray(gguf.encode())
    struct.pack_into("<I", content, gguf.sections["key general.name"] + 8 + len("general.name"), kind)
    assert "kind" in refused(path, bytes(content))


def test_arrays_of_arrays_are_refused(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("nested", Kind.ARRAY, (Kind.ARRAY, [(Kind.U8, [1])]))
    assert "array" in refused(path, gguf.encode())


@pytest.mark.parametrize(
    ("shape", "type_"),
    [
        ((0, 4), 0),
        ((32, 1 << 62), 0),
        ((1 << 33, 1 << 33), 0),
        ((32, 48, 1, 1, 1), 0),
        ((), 0),
        ((32, 48), 4),  # a type that was removed from ggml
        ((32, 48), 0xFFFFFFFF),
        ((32, 48), 12),  # Q4_K: 32 is no multiple of 256
    ],
)
def test_impossible_tensors(shape: tuple[int, ...], type_: int, path: Path) -> None:
    gguf = small_model("edgemed")
    tensor = gguf.tensor("token_embd.weight")
    tensor.shape, tensor.type = shape, type_
    assert "token_embd.weight" in refused(path, gguf.encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("output.weight", Type.F64),
        ("blk.0.attn_qkv.weight", Type.I32),
        ("blk.0.ffn_up.weight", Type.I8),
        ("blk.1.ffn_down.3.weight", Type.I16),
        ("blk.0.attn_norm.weight", Type.F16),
        ("blk.1.exp_probs_b.bias", Type.I32),
    ],
)
def test_types_that_nobody_can_multiply(name: str, kind: Type, path: Path) -> None:
    """With these llama.cpp aborts, or jumps to address zero."""
    gguf = small_model("edgemed")
    tensor = gguf.tensor(name)
    tensor.type = kind
    tensor.data = bytes(2 * len(tensor.data))
    message = refused(path, gguf.encode())
    assert name in message
    assert kind.name in message


@pytest.mark.parametrize("offset", [1, 4095, *HUGE, 1 << 30])
def test_offsets_outside_or_misaligned(offset: int, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.tensor("blk.1.ffn_up.2.weight").offset = offset
    assert "blk.1.ffn_up.2.weight" in refused(path, gguf.encode())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_overlapping_extents(layout: Layout, path: Path) -> None:
    gguf = small_model(layout)
    gguf.tensors[-1].offset = 0
    assert "overlap" in refused(path, gguf.encode())


def test_names_and_keys_that_occur_twice(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.tensors.append(gguf.tensors[0])
    assert "twice" in refused(path, gguf.encode())
    gguf = small_model("edgemed")
    gguf.keys["general.namf"] = (Kind.STRING, "x")
    content = gguf.encode().replace(b"general.namf", b"general.name")
    assert "twice" in refused(path, content)


@pytest.mark.parametrize("alignment", [0, 1, 24, 1 << 30])
def test_absurd_alignments(alignment: int, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("general.alignment", Kind.U32, alignment)
    assert "alignment" in refused(path, gguf.encode())


NUMBERS = [
    key
    for key, (kind, _) in small_model("edgemed").keys.items()
    if key.startswith("bailingmoe2.") and kind != Kind.BOOL
]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.U32, (1 << 31) - 1),
        (Kind.U64, 1 << 60),
        (Kind.I32, -1),
        (Kind.F32, float("nan")),
        (Kind.F32, 1.5),
        (Kind.STRING, "three"),
        (Kind.BOOL, True),
        (Kind.ARRAY, (Kind.U32, [1, 2])),
    ],
)
def test_absurd_hyperparameters(key: str, kind: Kind, value: Any, path: Path) -> None:
    """Some of these are merely odd (a huge context) and may open; nothing may crash or swallow memory."""
    gguf = small_model("edgemed")
    gguf.set_key(key, kind, value)
    path.write_bytes(gguf.encode())
    model = try_to_open(path)
    assert isinstance(model, str) or kind in (Kind.U32, Kind.F32)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_gating_func", 0),
        ("expert_gating_func", 1),
        ("rope.dimension_count", 0),
        ("rope.dimension_count", 7),
        ("rope.dimension_count", 18),
    ],
)
def test_numbers_on_which_llama_cpp_aborts_or_hangs(key: str, value: int, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(f"bailingmoe2.{key}", Kind.U32, value)
    refused(path, gguf.encode())


def test_a_router_that_does_not_normalise_its_weights(path: Path) -> None:
    """llama.cpp would open it and compute another model than BailingMoeV2."""
    gguf = small_model("edgemed")
    gguf.set_key("bailingmoe2.expert_weights_norm", Kind.BOOL, False)
    refused(path, gguf.encode())
    del gguf.keys["bailingmoe2.expert_weights_norm"]
    refused(path, gguf.encode())


@pytest.mark.parametrize("key", NUMBERS)
def test_missing_hyperparameters(key: str, path: Path) -> None:
    """Without the key the file is refused, or the default is the one llama.cpp has."""
    gguf = small_model("edgemed")
    del gguf.keys[key]
    path.write_bytes(gguf.encode())
    model = try_to_open(path)
    if isinstance(model, ModelFile):
        assert key.removeprefix("bailingmoe2.") in {
            "attention.key_length",
            "expert_group_count",
            "feed_forward_length",
            "rope.dimension_count",
        }
        assert model.hparams.head_dim == 16


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.U32, 7),
        (Kind.STRING, "not a list"),
        (Kind.ARRAY, (Kind.U64, [])),
        (Kind.ARRAY, (Kind.U64, [1] * (EXPERTS - 1))),
        (Kind.ARRAY, (Kind.STRING, ["x"] * EXPERTS)),
        (Kind.ARRAY, (Kind.F64, [float("nan")] * EXPERTS)),
        (Kind.ARRAY, (Kind.I64, [-1] * EXPERTS)),
    ],
)
@pytest.mark.parametrize("key", ["edgemed.expert_checksums", "edgemed.dense_checksums"])
def test_checksums_of_the_wrong_number_or_kind(key: str, kind: Kind, value: Any, path: Path) -> None:
    gguf = small_model("edgemed")
    dense = sum(1 for tensor in gguf.tensors if not tensor.name.split(".")[-2].isdigit())
    if kind == Kind.ARRAY and key == "edgemed.dense_checksums" and len(value[1]) == EXPERTS:
        value = (value[0], [value[1][0]] * dense)  # the right number of the wrong thing
    gguf.set_key(key, kind, value)
    assert "checksum" in refused(path, gguf.encode())


@pytest.mark.parametrize("key", ["edgemed.intended_use", "edgemed.weights_digest", "edgemed.format_version"])
@pytest.mark.parametrize(("kind", "value"), [(Kind.U32, 7), (Kind.ARRAY, (Kind.STRING, ["a"])), (Kind.F32, 0.5)])
def test_our_keys_of_the_wrong_kind(key: str, kind: Kind, value: Any, path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(key, kind, value)
    refused(path, gguf.encode())


def test_another_architecture_and_another_format(path: Path) -> None:
    gguf = small_model("llama.cpp")
    gguf.set_key("general.architecture", Kind.STRING, "llama")
    assert "llama" in refused(path, gguf.encode())
    gguf.set_key("general.architecture", Kind.U32, 3)
    refused(path, gguf.encode())
    gguf = small_model("edgemed")
    gguf.set_key("edgemed.format_version", Kind.U32, 3)
    assert "format 3" in refused(path, gguf.encode())
    gguf.set_key("edgemed.format_version", Kind.U32, 2)  # which has a header checksum
    assert "damaged: its header" in refused(path, gguf.encode())


def test_missing_and_misshapen_experts(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.tensors = [tensor for tensor in gguf.tensors if tensor.name != "blk.1.ffn_down.3.weight"]
    assert "blk.1.ffn_down.3.weight" in refused(path, gguf.encode())
    gguf.tensors.append(Tensor("blk.1.ffn_down.3.weight", (32, 16), bytes(4 * 32 * 16)))
    assert "blk.1.ffn_down.3.weight" in refused(path, gguf.encode())


def test_checksummed_experts_must_lie_together_and_in_order(path: Path) -> None:
    gguf = small_model("edgemed", checksums=[0] * EXPERTS)
    gate, up = gguf.tensor("blk.1.ffn_gate.0.weight"), gguf.tensor("blk.1.ffn_up.0.weight")
    gate.name, up.name = up.name, gate.name
    assert "order" in refused(path, gguf.encode()) or "gate, up, down" in refused(path, gguf.encode())


def test_checksummed_experts_must_lie_in_one_piece(path: Path) -> None:
    """Two pages between matrices would be two reads, and the checksum is over one."""
    gguf = small_model("edgemed", checksums=[0] * EXPERTS)
    gguf.set_key("general.alignment", Kind.U32, 1 << 14)
    gguf.alignment = 1 << 14
    assert "scatters" in refused(path, gguf.encode())


def test_a_pipe_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path)
    assert "is not a file" in str(try_to_open(path))


FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.data())
def test_any_flipped_header_byte(path: Path, data: st.DataObject) -> None:
    """Whatever byte of the header changes, the file opens or is refused in words."""
    gguf: Gguf = small_model(data.draw(st.sampled_from(LAYOUTS)), checksums=[1] * EXPERTS)
    content = bytearray(gguf.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, gguf.sections["data"] - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    model = try_to_open(path)
    if isinstance(model, ModelFile):
        assert all(0 < tensor.end <= len(content) for tensor in model.tensors.values())
        assert (model.experts.offset + model.experts.nbytes <= len(content)).all()
        assert_no_overlap(model)


def assert_no_overlap(model: ModelFile) -> None:
    """No two matrices of experts, and no expert and dense tensor, share a byte."""
    experts = zip(model.experts.offset.ravel().tolist(), model.experts.nbytes.ravel().tolist(), strict=True)
    extents = sorted([*experts, *((tensor.offset, tensor.nbytes) for tensor in model.dense)])
    assert all(begin + length <= after for (begin, length), (after, _) in itertools.pairwise(extents))
    assert all(length > 0 for _, length in extents)


@FUZZ
@given(st.data())
def test_any_places_the_header_may_claim(path: Path, data: st.DataObject) -> None:
    """Tensors moved at random open only where none lies over another."""
    gguf: Gguf = small_model(
        data.draw(st.sampled_from(LAYOUTS)), checksums=data.draw(st.sampled_from([None, [1] * EXPERTS]))
    )
    size = len(gguf.encode())
    places = st.integers(0, size // 32).map(lambda unit: unit * 32) | st.sampled_from([0, *HUGE])
    for tensor in data.draw(st.lists(st.sampled_from(gguf.tensors), max_size=3)):
        tensor.offset = data.draw(places)
    path.write_bytes(gguf.encode())
    model = try_to_open(path)
    if isinstance(model, ModelFile):
        assert_no_overlap(model)
