"""Malformed headers: each raises a ModelFileError with a sentence, in bounded time and memory."""

import itertools
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, open_model
from testing.gguf_bytes import EXPERTS, Gguf, Kind, small_model
from testing.hostile import LAYOUTS, Layout, refused, try_to_open

HUGE = ((1 << 63) - 1, (1 << 64) - 1, 1 << 40)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_untouched_file_opens(layout: Layout, path: Path) -> None:
    """Without this, the refusals below would prove nothing."""
    path.write_bytes(small_model(layout).encode())
    model = open_model(path)
    assert model.layout == layout
    assert model.experts.offset.shape == (1, EXPERTS, 3)
    assert model.hparams.moe_layers == range(1, 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_truncated_at_every_section(layout: Layout, path: Path) -> None:
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
        ({"n_keys": 5000}, "cut short|unknown type|UTF-8|bytes"),
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
    assert struct.unpack_from("<Q", content, at)[0] < 20  # this really is the place of a length
    struct.pack_into("<Q", content, at, length)
    refused(path, bytes(content))


@pytest.mark.parametrize(
    ("kind", "value", "claimed"),
    [
        (Kind.ARRAY, (Kind.STRING, [""]), 20_000_000),
        (Kind.ARRAY, (Kind.STRING, ["a"]), (1 << 20) + 1),
        (Kind.ARRAY, (Kind.U8, [1]), 100_000_000),
        (Kind.ARRAY, (Kind.F64, [1.0]), (1 << 22) + 1),
        (Kind.STRING, "text", 100_000_000),
        (Kind.STRING, "text", (1 << 24) + 1),
    ],
)
def test_values_that_no_model_has_are_refused_before_they_are_read(
    path: Path, kind: Kind, value: object, claimed: int
) -> None:
    """Where the file is large enough for them, so that only their number can be refused."""
    gguf = small_model("edgemed")
    gguf.keys = {"a": (kind, value), **gguf.keys}
    content = bytearray(gguf.encode())
    at = gguf.sections["key a"] + 8 + 1 + 4 + (4 if kind == Kind.ARRAY else 0)
    struct.pack_into("<Q", content, at, claimed)
    path.write_bytes(content)
    os.truncate(path, 1 << 30)  # a hole
    started = time.process_time()
    message = try_to_open(path)
    assert f"of {claimed}" in str(message)
    assert "more than any model has" in str(message)
    assert time.process_time() - started < 1


def test_the_largest_values_that_are_allowed_open_in_little_memory(path: Path) -> None:
    gguf = small_model("edgemed")
    gguf.set_key("tokenizer.chat_template", Kind.STRING, "x" * (1 << 20))
    gguf.set_key("tokenizer.ggml.tokens", Kind.ARRAY, (Kind.STRING, [""] * 300_000))
    path.write_bytes(gguf.encode())
    assert isinstance(try_to_open(path), ModelFile)


def test_a_header_larger_than_any_models_is_refused(path: Path) -> None:
    gguf = small_model("edgemed")
    for number in range(5):
        gguf.set_key(f"text.{number}", Kind.STRING, "x" * (1 << 24))
    path.write_bytes(gguf.encode())
    with pytest.raises(ModelFileError, match="has a header of more than 64 MiB"):
        open_model(path)


@pytest.mark.parametrize("kind", [13, 255, 0xFFFFFFFF])
def test_unknown_types_of_values(kind: int, path: Path) -> None:
    gguf = small_model("edgemed")
    content = bytearray(gguf.encode())
    struct.pack_into("<I", content, gguf.sections["key general.name"] + 8 + len("general.name"), kind)
    assert "unknown type" in refused(path, bytes(content))


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
        ((32, 48), 12),  # Q4_K: 32 is not a multiple of 256
    ],
)
def test_impossible_tensors(shape: tuple[int, ...], type_: int, path: Path) -> None:
    gguf = small_model("edgemed")
    tensor = gguf.tensor("token_embd.weight")
    tensor.shape, tensor.type = shape, type_
    assert "token_embd.weight" in refused(path, gguf.encode())


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


def test_duplicate_names_and_keys(path: Path) -> None:
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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "m.gguf cannot be read: it is not a regular file; name a readable .gguf file."),
        (lambda path: path.symlink_to("/dev/zero"), "m.gguf cannot be read: it is not a regular file; name a readable"),
        (Path.mkdir, "m.gguf is a folder; name a .gguf file"),
        (lambda path: None, "There is no model file at "),
    ],
)
def test_anything_but_a_regular_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "m.gguf"
    make(path)
    assert words in str(try_to_open(path))


FUZZ = settings(max_examples=400)


@pytest.mark.slow
@FUZZ
@given(st.data())
def test_any_flipped_header_byte(path: Path, data: st.DataObject) -> None:
    """After any change of header bytes the file either opens or is refused with a sentence."""
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
    """No two expert matrices or dense tensors share a byte."""
    experts = zip(model.experts.offset.ravel().tolist(), model.experts.nbytes.ravel().tolist(), strict=True)
    extents = sorted([*experts, *((tensor.offset, tensor.nbytes) for tensor in model.dense)])
    assert all(begin + length <= after for (begin, length), (after, _) in itertools.pairwise(extents))
    assert all(length > 0 for _, length in extents)


@pytest.mark.slow
@FUZZ
@given(st.data())
def test_any_offsets_the_header_may_claim(path: Path, data: st.DataObject) -> None:
    """A file with tensors at random offsets opens only if no two of them overlap."""
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
