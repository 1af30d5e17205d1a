"""Verifying a whole model file against its checksums, a few megabytes at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, keys
from edgemed.model_file.header import DEFAULT_ALIGNMENT
from edgemed.native import Xxh3

READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Findings:
    """checked: the number of checksums compared, the digest over all weights and the file's length included; damaged:
    the names of the parts that did not match."""

    checked: int
    damaged: list[str]


@dataclass(frozen=True, slots=True)
class _Extent:
    """The bytes of one checksum in one file: `spans` of (offset, length, True for weights or False for padding)."""

    label: str
    file: int  # in ModelFile.parts
    spans: list[tuple[int, int, bool]]
    checksum: int | None

    @property
    def nbytes(self) -> int:
        return sum(length for _, length, _ in self.spans)


def check(model: ModelFile, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Findings:
    """Read the whole file and compare its checksums; `on_progress` is called with (bytes done, bytes in total).

    Raises ModelFileError if the file cannot be read to its end.
    """
    extents = sorted(_extents(model), key=lambda extent: (extent.file, extent.spans[0][0]))
    total, done = sum(extent.nbytes for extent in extents), 0
    weights, damaged = hashlib.sha256(), []
    for number, part in enumerate(model.parts):
        try:
            with part.path.open("rb") as file:
                for extent in extents:
                    if extent.file != number:
                        continue
                    state = Xxh3()
                    for offset, length, is_weights in extent.spans:
                        for data in _read(file.fileno(), offset, length, part.path.name, extent.label):
                            state.update(data)
                            if is_weights:
                                weights.update(data)
                            done += len(data)
                            on_progress(done, total)
                    if extent.checksum is not None and state.digest() != extent.checksum:
                        damaged.append(extent.label)
        except OSError as error:
            raise ModelFileError(f"{part.path.name} cannot be read: {error.strerror}.") from None
    checked = sum(extent.checksum is not None for extent in extents)
    checked += model.header_verified
    if keys.FORMAT_VERSION in model.metadata:
        checked += 1
        damaged += _wrong_length(model)
    if model.weights_digest is not None:
        checked += 1
        if weights.hexdigest() != model.weights_digest and not damaged:
            damaged.append("the digest over all weights")
    return Findings(checked, damaged)


def _wrong_length(model: ModelFile) -> list[str]:
    """What is wrong with the lengths of our files, each of which ends where the padding of its last tensor does."""
    alignment = int(model.metadata.get("general.alignment", DEFAULT_ALIGNMENT))
    ends: dict[int, int] = {}
    for tensor in model.tensors.values():
        ends[tensor.part] = max(ends.get(tensor.part, 0), -(-tensor.end // alignment) * alignment)
    wrong = []
    for number, end in ends.items():
        path = model.parts[number].path
        size = path.stat().st_size
        if size != end:
            whose = "its length" if len(model.parts) == 1 else f"the length of {path.name}"
            wrong.append(f"{whose}, {abs(size - end):,} bytes too {'many' if size > end else 'few'}")
    return wrong


def _extents(model: ModelFile) -> Iterator[_Extent]:
    checksums: Sequence[int | None] = model.dense_checksums or [None] * len(model.dense)
    for tensor, checksum in zip(model.dense, checksums, strict=True):
        yield _Extent(tensor.name, tensor.part, [(tensor.offset, tensor.nbytes, True)], checksum)
    experts = model.experts
    if experts.checksum is None:
        # Without a checksum per expert only the digest over all weights remains, which is computed in file order.
        dense = {tensor.name for tensor in model.dense}
        for tensor in model.tensors.values():
            if tensor.name not in dense:
                yield _Extent(tensor.name, tensor.part, [(tensor.offset, tensor.nbytes, True)], None)
        return
    for moe_layer, layer in enumerate(experts.layers):
        for expert in range(experts.per_layer):
            starts = [int(offset) for offset in experts.offset[moe_layer, expert]]
            lengths = [int(nbytes) for nbytes in experts.nbytes[moe_layer, expert]]
            spans, end = [], starts[0]
            for start, length in zip(starts, lengths, strict=True):
                if start > end:
                    spans.append((end, start - end, False))
                spans.append((start, length, True))
                end = start + length
            checksum = int(experts.checksum[moe_layer, expert])
            file = int(experts.part[moe_layer, expert, 0])
            yield _Extent(f"expert {expert} of layer {layer}", file, spans, checksum)


def _read(file: int, offset: int, count: int, name: str, label: str) -> Iterator[bytes]:
    while count:
        data = os.pread(file, min(count, READ_BYTES), offset)
        if not data:
            raise ModelFileError(f"{name} ends inside {label}: it was cut short.")
        yield data
        offset, count = offset + len(data), count - len(data)
