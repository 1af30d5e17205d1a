"""Writing the weights of a file whose layout is known: each work unit is read, encoded, written and checksummed.

Several threads read and decode, and ggml quantises on all cores. Every unit is written at its final offset, so the
bytes do not depend on the number of threads or on interruptions.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Bytes, Floats
from edgemed.convert.header import HeaderSpec
from edgemed.convert.journal import Checksums
from edgemed.convert.layout import Slice, WorkUnit
from edgemed.convert.opened import Weights
from edgemed.convert.output import Output
from edgemed.errors import PlanError, SetupError
from edgemed.native import Xxh3
from edgemed.outputs import partial_of
from edgemed.quant.calibrated import Calibrated
from edgemed.quant.quantize import quantize

CHUNK_WEIGHTS = 1 << 22  # that one thread decodes at once: about 50 MB with the input and the output
READ_BACK_BYTES = 8 << 20
LARGEST_HALF = 65504.0  # the largest F16; all quantised types store their scales in F16
REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a conversion is, in bytes: of downloaded files, compared with the hub's digests, then of the output's
    weights. These are read back to compute the weights digest."""

    stage: Literal["checking the download", "converting", "reading back"]
    experts_done: int
    experts: int
    bytes_done: int
    bytes: int
    bytes_resumed: int


@dataclass
class Writer:
    """Writes the data sections of one output; that of each part begins at one of the bytes `data_starts`."""

    spec: HeaderSpec
    weights: Weights
    target: Output
    data_starts: Sequence[int]
    on_progress: Callable[[Progress], None]
    calibrated: Calibrated | None = None
    bytes_done: int = 0
    bytes_resumed: int = 0
    experts_done: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, threads: int, sync_seconds: float) -> list[int]:
        """Write every work unit; return their checksums in the layout's order."""
        units = self.spec.layout.units
        checksums: dict[int, Checksums] = {}
        waiting = iter(range(len(units)))
        running: dict[Future[Checksums], int] = {}
        synced = time.monotonic()
        with ThreadPoolExecutor(threads, thread_name_prefix="convert") as pool:
            try:
                while len(checksums) < len(units):
                    # Two units per thread keep the threads busy; with more, an error would take longer to end the run.
                    for number in _take(waiting, 2 * threads - len(running)):
                        running[pool.submit(self._convert, number)] = number
                    finished, _ = wait(running, REPORT_SECONDS, FIRST_COMPLETED)
                    for future in finished:
                        number = running.pop(future)
                        checksums[number] = future.result()
                        self.target.journal.record(number, checksums[number])
                        self.experts_done += units[number].expert is not None
                    if time.monotonic() - synced >= sync_seconds:
                        self.target.sync()
                        synced = time.monotonic()
                    self._report("converting")
            except BaseException:
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
                for future, number in running.items():
                    if not future.cancelled() and future.exception() is None:
                        self.target.journal.record(number, future.result())
                self.target.sync()
                raise
        return [checksums[number].output for number in range(len(units))]

    def read_back(self) -> str:
        """SHA-256 over the bytes of all tensors in file order, read from the files."""
        state = hashlib.sha256()
        self.bytes_done = self.bytes_resumed = 0
        for tensor in self.spec.layout.tensors:
            for data in self._stored(tensor.file, tensor.offset, tensor.nbytes):
                state.update(data)
                self.bytes_done += len(data)
                self._report("reading back")
        return state.hexdigest()

    def _convert(self, number: int) -> Checksums:
        """Write one unit and return its checksums. It is left alone if an earlier run wrote it, it is intact, and the
        checkpoint still has the bytes that it was made from."""
        unit = self.spec.layout.units[number]
        recorded = self.target.journal.done.get(number)
        source = self.weights.checksum(part.source for part in unit.slices)
        if recorded is not None and recorded == (self._checksum_of_stored(unit), source):
            with self.lock:
                self.bytes_done += unit.nbytes
                self.bytes_resumed += unit.nbytes
            return recorded
        checksum = Xxh3()
        for part, chunks in self._encode_unit(unit):
            if part.lead:
                checksum.update(bytes(part.lead))
            offset = self.data_starts[part.file] + part.offset
            for blocks in chunks:
                checksum.update(blocks)
                self.target.write(part.file, blocks, offset)
                offset += blocks.nbytes
                with self.lock:
                    self.bytes_done += blocks.nbytes
        return Checksums(checksum.digest(), source)

    def _encode_unit(self, unit: WorkUnit) -> Iterator[tuple[Slice, Iterable[Bytes]]]:
        """The unit's slices, each as chunks of blocks in its planned type.

        With calibration an expert's codes depend on all three of its matrices, so these are encoded together.
        """
        if self.calibrated is None or unit.expert is None or not self.calibrated.knows(unit.expert[0]):
            for part in unit.slices:
                yield part, self._encode_slice(part)
            return
        if self.stopped.is_set():
            raise _Stopped
        gate, up, down = (self.weights.read(part.source, 0, part.rows) for part in unit.slices)
        for part, values in zip(unit.slices, (gate, up, down), strict=True):
            _refuse_too_large(part, values)
        chosen = [part.type for part in unit.slices]
        blocks = self.calibrated.blocks(*unit.expert, (gate, up, down), chosen)
        for part, made in zip(unit.slices, blocks, strict=True):
            yield part, [made]

    def _encode_slice(self, part: Slice) -> Iterator[Bytes]:
        """Blocks of the slice in its planned type, a chunk of rows at a time."""
        step = max(1, CHUNK_WEIGHTS // part.columns)
        for first in range(0, part.rows, step):
            if self.stopped.is_set():
                raise _Stopped
            values = self.weights.read(part.source, first, min(step, part.rows - first))
            yield _encode(part, values if part.change is None else part.change(values))

    def _checksum_of_stored(self, unit: WorkUnit) -> int:
        checksum = Xxh3()
        for part in unit.slices:
            for data in self._stored(part.file, part.offset - part.lead, part.lead + part.nbytes):
                checksum.update(data)
        return checksum.digest()

    def _stored(self, part: int, offset: int, count: int) -> Iterator[bytes]:
        """`count` bytes of a part's data section from `offset` on, in chunks. Raises SetupError."""
        file, start = self.target.files[part], self.data_starts[part]
        while count:
            data = os.pread(file, min(count, READ_BACK_BYTES), start + offset)
            if not data:
                name = partial_of(self.target.paths[part])
                raise SetupError(
                    f"{name} became shorter while it was being written; check the disk, then run the command again."
                )
            yield data
            offset, count = offset + len(data), count - len(data)

    def _report(self, stage: Literal["converting", "reading back"]) -> None:
        made = self.spec.layout
        self.on_progress(
            Progress(stage, self.experts_done, made.n_experts, self.bytes_done, made.weight_bytes, self.bytes_resumed)
        )


class _Stopped(Exception):  # noqa: N818 - an event, not an error
    """Another thread failed or the user interrupted, so this thread's result is not needed."""


def _encode(part: Slice, values: Floats) -> Bytes:
    """Blocks in the planned type of values [rows, columns]. Raises PlanError for values beyond the type's range."""
    if part.type == Type.F32:
        return values.view(np.uint8)
    _refuse_too_large(part, values)
    return quantize(values, part.type)


def _refuse_too_large(part: Slice, values: Floats) -> None:
    """Raise PlanError for values beyond the range of the type's scales."""
    if part.type not in (Type.F32, Type.BF16) and max(values.max(), -values.min()) > LARGEST_HALF:
        raise PlanError(
            f"The tensor {part.source} holds values beyond {LARGEST_HALF:.0f}, more than {part.type.name} can store; "
            "plan BF16 or F32 for it."
        )


def _take(numbers: Iterator[int], count: int) -> Iterator[int]:
    """At most `count` more of the numbers."""
    for _ in range(count):
        number = next(numbers, None)
        if number is None:
            return
        yield number
