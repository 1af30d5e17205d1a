"""The files of a model: one GGUF, or the parts of a split one, found from any of them and read as one header.

llama.cpp's convention: NAME-00001-of-00003.gguf, with the keys `split.no` (from 0), `split.count` and
`split.tensors.count`. Part 1 holds the model's key-value pairs, every part describes its own tensors. Nothing is joined
on the disk: a tensor is known by its part and its offset there.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from edgemed.errors import ModelFileError
from edgemed.model_file import keys
from edgemed.model_file.header import Header, TensorInfo, header_checksum, read_header
from edgemed.model_file.metadata import Metadata

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
MAX_PARTS = 256  # two descriptors each, of the 1024 that a process may usually have
_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)
_PIECE = re.compile(r"(.+)\.part([0-9]{1,3})of([0-9]{1,3})", re.DOTALL)
_OWN_KEYS = (NUMBER, keys.HEADER_CHECKSUM)  # that differ between the parts of one model


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a model. size: in bytes, when its header was read."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Parts:
    """files: in order; a model that is not split has one. metadata: of the first. tensors: of all files, in order."""

    files: tuple[Part, ...]
    metadata: Metadata
    tensors: dict[str, TensorInfo]


def part_name(stem: str, number: int, count: int) -> str:
    """The file name of part `number`, counted from 0."""
    return f"{stem}-{number + 1:05}-of-{count:05}.gguf"


def model_stem(path: Path) -> str:
    """The file's name without its suffix and without the number of a part."""
    found = _PART.fullmatch(path.name)
    return found[1] if found else path.stem


def named_like(path: Path) -> list[Path]:
    """`path`, and the other parts that a split model of this name has, whether they exist or not. Reads nothing."""
    found = _PART.fullmatch(path.name)
    count = int(found[3]) if found else 0
    if found is None or not 1 < count <= MAX_PARTS:
        return [path]
    return [path, *(path.with_name(part_name(found[1], number, count)) for number in range(count))]


def read_parts(path: Path) -> Parts:
    """Read the headers of the model that `path` is the file, or any part, of.

    Raises ModelFileError for a header that is malformed or damaged, and for a part that is missing, cut or of another
    model, which the sentence names.
    """
    try:
        named = _read(path)
    except ModelFileError:
        if pieces := _PIECE.fullmatch(path.name):
            raise _cut_for_cat(path, pieces) from None
        raise
    count = named.metadata.get(COUNT, 0)
    if type(count) is int and count <= 1:
        return Parts((Part(path, named.size),), named.metadata, named.tensors)
    paths = _paths(path, named.metadata)
    headers = [named if other == path else _read(other) for other in paths]
    for number, (header, other) in enumerate(zip(headers, paths, strict=True)):
        _refuse_foreign(header, other, number, named, path)
    tensors: dict[str, TensorInfo] = {}
    for number, (header, other) in enumerate(zip(headers, paths, strict=True)):
        for name, info in header.tensors.items():
            if name in tensors:
                first = paths[tensors[name].part].name
                raise ModelFileError(f"{first} and {other.name} both hold {name}, so they are parts of two models.")
            tensors[name] = replace(info, part=number)
    if len(tensors) != named.metadata[TENSORS]:
        raise ModelFileError(
            f"The parts of {path.name} hold {len(tensors)} tensors together, but the model was split with "
            f"{named.metadata[TENSORS]}; download all parts again."
        )
    files = tuple(Part(other, header.size) for header, other in zip(headers, paths, strict=True))
    return Parts(files, headers[0].metadata, tensors)


def _read(path: Path) -> Header:
    """Read one file's header and compare it with its checksum. The header holds the vocabulary, where one wrong bit can
    change a digit of a dose."""
    header = read_header(path)
    metadata = header.metadata
    if keys.HEADER_CHECKSUM in metadata:
        at = metadata.value_at(keys.HEADER_CHECKSUM)
        intact = metadata[keys.HEADER_CHECKSUM] == header_checksum(header.bytes, at)
    else:
        intact = metadata.get(keys.FORMAT_VERSION) != keys.CURRENT_FORMAT
    if not intact:
        raise ModelFileError(
            f"{path.name} is damaged: its header (vocabulary, settings, list of tensors) does not match its checksum; "
            "copy or convert it again."
        )
    return header


def _paths(path: Path, metadata: Metadata) -> list[Path]:
    """The paths of all parts, by the name of the one at `path`. Raises ModelFileError if any does not exist."""
    number, count, _ = _numbers(path, metadata)
    found = _PART.fullmatch(path.name)
    if found is None or (int(found[2]), int(found[3])) != (number + 1, count):
        raise ModelFileError(
            f"{path.name} is part {number + 1} of {count} of a model, but its name does not say so; call it "
            f"{part_name('NAME', number, count)}, with the same NAME as the other parts."
        )
    paths = [path.with_name(part_name(found[1], other, count)) for other in range(count)]
    missing = [other.name for other in paths if not other.exists()]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ModelFileError(
            f"{path.name} is one of {count} parts of a model, and there is no {names} beside it; put all parts into "
            "one folder."
        )
    return paths


def _numbers(path: Path, metadata: Metadata) -> tuple[int, int, int]:
    """(number from 0, count of parts, tensors of all parts) that a part states."""
    number, count, tensors = (metadata.get(key) for key in (NUMBER, COUNT, TENSORS))
    if type(number) is int and type(count) is int and type(tensors) is int and 0 <= number < count <= MAX_PARTS:
        return number, count, tensors
    raise ModelFileError(
        f"{path.name} says that it is a part of a split model, but not which one of how many (split.no {number!r:.20}, "
        f"split.count {count!r:.20}, split.tensors.count {tensors!r:.20}); download it again."
    )


def _refuse_foreign(header: Header, path: Path, number: int, named: Header, named_path: Path) -> None:
    """Raise ModelFileError unless the file at `path` is part `number` of the model that the named part belongs to."""
    if not header.metadata.get(COUNT):
        raise ModelFileError(
            f"{path.name} is called like a part of {named_path.name}'s model, but is a whole file; download the part "
            "again."
        )
    states, count, tensors = _numbers(path, header.metadata)
    _, wanted_count, wanted_tensors = _numbers(named_path, named.metadata)
    if (count, tensors) != (wanted_count, wanted_tensors):
        raise ModelFileError(
            f"{path.name} is one of {count} parts with {tensors} tensors, but {named_path.name} is one of "
            f"{wanted_count} with {wanted_tensors}: they belong to different models."
        )
    if states != number:
        raise ModelFileError(
            f"{path.name} holds part {states + 1} of the model under the name of part {number + 1}; download it again."
        )
    for key in header.metadata:
        if key in named.metadata and key not in _OWN_KEYS and header.metadata.raw(key) != named.metadata.raw(key):
            raise ModelFileError(f"{path.name} belongs to another model than {named_path.name}: they differ in {key}.")


def _cut_for_cat(path: Path, pieces: re.Match[str]) -> ModelFileError:
    """The error for a file that was cut into pieces without headers (NAME.gguf.part1of2)."""
    whole, count = path.with_name(pieces[1]), int(pieces[3])
    paths = [path.with_name(f"{pieces[1]}.part{number}of{pieces[3]}") for number in range(1, count + 1)]
    missing = [piece.name for piece in paths if not piece.exists()]
    if missing or not paths:
        return ModelFileError(
            f"{path.name} is a piece of {whole.name}, which was cut to be joined again, and there is no "
            f"{', '.join(missing[:3])} beside it; get all pieces first."
        )
    command = f"cat {shlex.join(map(str, paths))} > {shlex.quote(str(whole))}"
    return ModelFileError(f"{path.name} is a piece of {whole.name}, which was cut to be joined again; run: {command}")
