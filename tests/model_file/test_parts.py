"""Split models: opened by any part as they lie on the disk, and refused with a sentence that names the wrong part."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, open_model
from edgemed.model_file.parts import MAX_PARTS, model_stem, named_like
from testing.gguf_bytes import EXPERTS, Gguf, Kind, small_model
from testing.hostile import LAYOUTS, Layout, try_to_open
from testing.split_gguf import encoded, split, write

FIRST, SECOND, THIRD = (f"model-{number:05}-of-00003.gguf" for number in (1, 2, 3))


def in_three(layout: Layout = "llama.cpp", **changes: Any) -> list[Gguf]:
    """Cut inside the dense tensors, and inside the experts of the one MoE layer."""
    gguf = small_model(layout, **changes)
    return split(gguf, (0, 7, len(gguf.tensors) - 2))


def refused(path: Path) -> str:
    message = try_to_open(path)
    assert isinstance(message, str)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("named", range(3))
def test_any_part_opens_the_model(layout: Layout, named: int, tmp_path: Path) -> None:
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(small_model(layout).encode())
    paths = write(in_three(layout), tmp_path)
    one, parts = open_model(whole), open_model(paths[named])
    assert [part.path for part in parts.parts] == paths
    assert parts.path == paths[0]
    assert parts.size_bytes == sum(path.stat().st_size for path in paths)
    assert parts.layout == layout
    assert [tensor.name for tensor in parts.dense] == [tensor.name for tensor in one.dense]
    for name, tensor in parts.tensors.items():
        assert parts.read(tensor) == one.read(one.tensors[name])
    for expert in range(EXPERTS):
        for projection in range(3):
            assert parts.read_expert(0, expert, projection) == one.read_expert(0, expert, projection)
    assert len(set(parts.experts.part.flat)) == 2, "the layer's experts lie in two parts"


def test_a_first_part_may_hold_no_tensor(tmp_path: Path) -> None:
    gguf = small_model("llama.cpp")
    paths = write(split(gguf, (0, 0, 9)), tmp_path)
    assert {tensor.part for tensor in open_model(paths[2]).tensors.values()} == {1, 2}


def test_checksums_of_experts_and_dense_tensors_span_the_parts(tmp_path: Path) -> None:
    gguf = small_model("edgemed", checksums=range(EXPERTS))
    dense = len(gguf.tensors) - 3 * EXPERTS
    gguf.set_key("edgemed.dense_checksums", Kind.ARRAY, (Kind.U64, range(100, 100 + dense)))
    model = open_model(write(split(gguf, (0, 7, dense + 3)), tmp_path)[1])
    assert model.verified
    assert model.experts.checksum is not None
    assert model.experts.checksum.tolist() == [list(range(EXPERTS))]
    assert model.dense_checksums == list(range(100, 100 + dense))


def test_a_checksummed_expert_in_two_parts_is_refused(tmp_path: Path) -> None:
    gguf = small_model("edgemed", checksums=range(EXPERTS))
    assert "divides an expert" in refused(write(split(gguf, (0, len(gguf.tensors) - 1)), tmp_path)[0])


@pytest.mark.parametrize("name", [FIRST, "model.gguf", "sha256-0a1b2c", "model.gguf.part1of2", "model"])
@pytest.mark.parametrize("count", [None, 0, 1])
def test_a_whole_file_opens_whatever_its_name(name: str, count: int | None, tmp_path: Path) -> None:
    """A merged file keeps the key with a count of 0."""
    gguf = small_model("llama.cpp")
    if count is not None:
        gguf.set_key("split.count", Kind.U16, count)
        gguf.set_key("split.no", Kind.U16, 0)
    (tmp_path / name).write_bytes(gguf.encode())
    model = open_model(tmp_path / name)
    assert [part.path.name for part in model.parts] == [name]


def test_the_name_of_a_model_has_no_part_number(tmp_path: Path) -> None:
    parts = in_three()
    del parts[0].keys["general.name"]
    assert open_model(write(parts, tmp_path)[2]).name == "model"
    assert model_stem(Path("a/b.Q4_K_M-00002-of-00003.gguf")) == "b.Q4_K_M"
    assert model_stem(Path("a/b.gguf")) == "b"


@pytest.mark.parametrize("gone", [(SECOND,), (FIRST,), (FIRST, SECOND)])
def test_missing_parts_are_named(gone: tuple[str, ...], tmp_path: Path) -> None:
    write(in_three(), tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    assert refused(tmp_path / THIRD) == (
        f"{THIRD} is one of 3 parts of a model, and there is no {', '.join(gone)} beside it; put all parts into one "
        "folder."
    )


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD])
def test_a_cut_part_is_named(name: str, tmp_path: Path) -> None:
    write(in_three(), tmp_path)
    content = (tmp_path / name).read_bytes()
    for size in (len(content) - 1, 40, 3, 0):
        (tmp_path / name).write_bytes(content[:size])
        assert refused(tmp_path / THIRD).startswith(f"{name} is not a usable model file: it ")
        assert refused(tmp_path / FIRST).startswith(f"{name} is not a usable model file: it ")


def test_a_doubled_part_is_named(tmp_path: Path) -> None:
    write(in_three(), tmp_path)
    shutil.copy(tmp_path / THIRD, tmp_path / SECOND)
    assert refused(tmp_path / FIRST) == (
        f"{SECOND} holds part 3 of the model under the name of part 2; download it again."
    )
    assert refused(tmp_path / SECOND).startswith(f"{SECOND} is part 3 of 3 of a model, but its name does not say so;")


def change(key: str, kind: Kind, value: Any) -> Callable[[Gguf], None]:
    return lambda part: part.set_key(key, kind, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            change("split.count", Kind.U16, 4),
            "is one of 4 parts with ALL tensors, but X is one of 3 with ALL",
        ),
        (
            change("split.tensors.count", Kind.I32, 7),
            "is one of 3 parts with 7 tensors, but X is one of 3 with ALL",
        ),
        (change("general.name", Kind.STRING, "other"), "belongs to another model than X: they differ in general.name."),
        (
            change("general.architecture", Kind.STRING, "x"),
            "another model than X: they differ in general.architecture.",
        ),
        (lambda part: part.keys.pop("split.count"), "is a whole file; download the part again."),
        (change("split.no", Kind.STRING, "1"), "not which one of how many (split.no '1', split.count 3,"),
        (change("split.no", Kind.I32, -1), "not which one of how many (split.no -1, split.count 3,"),
        (change("split.no", Kind.U32, 3), "not which one of how many (split.no 3, split.count 3,"),
        (change("split.no", Kind.BOOL, True), "not which one of how many (split.no True, split.count 3,"),
        (lambda part: part.keys.pop("split.tensors.count"), "split.tensors.count None); download it again."),
    ],
)
def test_a_foreign_part_is_named(change: Callable[[Gguf], object], words: str, tmp_path: Path) -> None:
    parts = in_three()
    change(parts[1])
    write(parts, tmp_path)
    message = refused(tmp_path / FIRST)
    assert message.startswith(SECOND)
    count = sum(len(part.tensors) for part in parts)
    assert words.replace("X", FIRST).replace("ALL", str(count)) in message


def test_parts_of_two_models_are_named(tmp_path: Path) -> None:
    """Both were split into as many parts of as many tensors, and nothing else tells them apart."""
    gguf = small_model("llama.cpp")
    one, other = split(gguf, (0, 7, 20)), split(gguf, (0, 6, 19))
    write([one[0], other[1], one[2]], tmp_path)
    assert refused(tmp_path / FIRST) == (
        f"{FIRST} and {SECOND} both hold {gguf.tensors[6].name}, so they are parts of two models."
    )
    write([other[0], one[1], other[2]], tmp_path)
    assert "both hold" in refused(tmp_path / FIRST)
    write([one[0], split(gguf, (0, 8, 20))[1], one[2]], tmp_path)
    count = len(gguf.tensors)
    assert refused(tmp_path / THIRD) == (
        f"The parts of {THIRD} hold {count - 1} tensors together, but the model was split with {count}; download all "
        "parts again."
    )


@pytest.mark.parametrize(
    "name", ["sha256-00aa", "model.gguf", "model-00001-of-00002.gguf", "model-00002-of-00003.gguf"]
)
def test_a_part_under_a_name_that_leads_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(in_three()[0]))
    assert refused(tmp_path / name) == (
        f"{name} is part 1 of 3 of a model, but its name does not say so; call it NAME-00001-of-00003.gguf, with the "
        "same NAME as the other parts."
    )


@pytest.mark.parametrize("count", [MAX_PARTS + 1, (1 << 16) - 1, 1 << 40, -3])
def test_absurd_counts(count: int, tmp_path: Path) -> None:
    parts = in_three()
    parts[0].set_key("split.count", Kind.I64, count)
    (tmp_path / FIRST).write_bytes(encoded(parts[0]))
    model = try_to_open(tmp_path / FIRST)
    assert "not which one of how many" in str(model) or count < 0


def test_pieces_to_be_joined_are_named_with_the_command(tmp_path: Path) -> None:
    content = small_model("llama.cpp").encode()
    pieces = [tmp_path / f"my model.gguf.part{number}of2" for number in (1, 2)]
    pieces[1].write_bytes(content[5000:])
    assert refused(pieces[1]).endswith(f"and there is no {pieces[0].name} beside it; get all pieces first.")
    pieces[0].write_bytes(content[:5000])
    for piece in pieces:
        with pytest.raises(ModelFileError) as caught:
            open_model(piece)
        assert str(caught.value) == (
            f"{piece.name} is a piece of my model.gguf, which was cut to be joined again; run: "
            f"cat '{pieces[0]}' '{pieces[1]}' > '{tmp_path}/my model.gguf'"
        )


def test_outputs_are_kept_from_the_names_of_all_parts() -> None:
    found = named_like(Path(f"a/{SECOND}"))
    assert set(found) == {Path("a") / name for name in (FIRST, SECOND, THIRD)}
    for name in ("m.gguf", "m-00001-of-00001.gguf", "m-00001-of-99999.gguf", "m-00001-of-00003.gguf.hot"):
        assert named_like(Path(name)) == [Path(name)]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.data())
def test_any_flipped_header_byte_of_any_part(tmp_path: Path, data: st.DataObject) -> None:
    """After any change of one part's header the model opens or is refused with a sentence, whichever part is named."""
    parts = in_three(data.draw(st.sampled_from(LAYOUTS)))
    number = data.draw(st.integers(0, 2))
    contents = [bytearray(encoded(part)) for part in parts]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, parts[number].sections["data"] - 1))
        contents[number][at] = data.draw(st.integers(0, 255))
    for name, content in zip((FIRST, SECOND, THIRD), contents, strict=True):
        (tmp_path / name).write_bytes(content)
    model = try_to_open(tmp_path / data.draw(st.sampled_from((FIRST, SECOND, THIRD))))
    if isinstance(model, ModelFile):
        sizes = [len(content) for content in contents] if len(model.parts) > 1 else None
        assert sizes is None or all(0 < t.end <= sizes[t.part] for t in model.tensors.values())
    else:
        assert model.endswith(".")
        assert "\n" not in model


def test_parts_in_the_cache_of_the_hub_are_links_to_blobs(tmp_path: Path) -> None:
    """NAME-00001-of-00003.gguf is a symbolic link to a file that is named by its digest."""
    (tmp_path / "snapshot").mkdir()
    links = []
    for number, path in enumerate(write(in_three(), tmp_path / "blobs")):
        blob = path.rename(path.with_name(f"{number}" * 64))
        links.append(tmp_path / "snapshot" / path.name)
        links[-1].symlink_to(blob)
    for link in links:
        assert [part.path for part in open_model(link).parts] == links
