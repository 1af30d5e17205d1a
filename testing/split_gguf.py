"""Split a GGUF as llama.cpp's gguf-split does: the key-value pairs in part 1, the tensors spread over all parts.

paths = write_parts(path, path.parent / "parts", "model", starts=(0, 4, 30))
"""

from collections.abc import Sequence
from pathlib import Path

from edgemed.model_file import keys
from edgemed.model_file.parts import part_name
from testing.gguf_bytes import Gguf, Kind, load
from testing.resealed import resealed


def split(gguf: Gguf, starts: Sequence[int]) -> list[Gguf]:
    """A part for each number of `starts`, beginning with that tensor of `gguf`. Its tensors are shared."""
    parts = []
    for number, (first, end) in enumerate(zip(starts, [*starts[1:], len(gguf.tensors)], strict=True)):
        part = Gguf(tensors=gguf.tensors[first:end], alignment=gguf.alignment)
        part.keys = {k: v for k, v in gguf.keys.items() if number == 0 or k == "general.alignment"}
        part.set_key("split.no", Kind.U16, number)
        part.set_key("split.count", Kind.U16, len(starts))
        part.set_key("split.tensors.count", Kind.I32, len(gguf.tensors))
        parts.append(part)
    return parts


def encoded(part: Gguf) -> bytes:
    """The part's bytes, padded to the end like a file, and with the right header checksum if it has one."""
    content = part.encode()
    content += bytes(-len(content) % part.alignment)
    return resealed(content, part.sections["padding"]) if keys.HEADER_CHECKSUM in part.keys else content


def write(parts: Sequence[Gguf], folder: Path, stem: str = "model") -> list[Path]:
    """Write the parts into the folder under llama.cpp's names."""
    folder.mkdir(exist_ok=True)
    paths = [folder / part_name(stem, number, len(parts)) for number in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        path.write_bytes(encoded(part))
    return paths


def write_parts(model: Path, folder: Path, stem: str = "model", *, starts: Sequence[int] = ()) -> list[Path]:
    """Split the file `model`, by default into three parts: cut among the dense tensors, and before a later `gate`."""
    gguf = load(model)
    names = [tensor.name for tensor in gguf.tensors]
    late = next(at for at, name in enumerate(names) if at > 2 * len(names) // 3 and ".ffn_gate" in name)
    return write(split(gguf, starts or (0, 9, late)), folder, stem)
