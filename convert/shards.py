"""A checkpoint's weights, read in ranges of rows: `Shards(folder).read(name, first_row, rows)` is float32 and finite.

Files are not mapped and weights are not cached, so memory holds one range per reading thread, whatever the
checkpoint's size.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np

from edgemed.architectures.config import Config
from edgemed.arrays import Bytes, Floats
from edgemed.convert.floats import apply_block_scales, to_float32
from edgemed.convert.json_files import read_json
from edgemed.convert.safetensors import ShardHeader, StoredTensor, read_header
from edgemed.errors import CheckpointError
from edgemed.native import Xxh3

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SCALE_SUFFIX = "_scale_inv"
SCALES = ("BF16", "F16", "F32")
FP8_BLOCK = (128, 128)
READ_BYTES = 8 << 20


class Shards:
    """All tensors of a checkpoint folder, by name. Reading is thread-safe. A context manager.

    block: height and width of the blocks that share an FP8 scale. Raises CheckpointError for a missing or damaged
    shard.
    """

    def __init__(self, folder: Path, block: tuple[int, int] = FP8_BLOCK) -> None:
        self._folder = folder
        self._block = block
        self._files: dict[str, int] = {}
        self._scales: dict[str, Floats] = {}
        self._lock = threading.Lock()
        self._opened: dict[str, tuple[int, ...]] = {}
        self.headers: dict[str, ShardHeader] = {}
        self.tensors: dict[str, StoredTensor] = {}
        self._shard_of: dict[str, str] = {}
        for name, shard in self._weight_map().items():
            tensor = self._read_header(shard).tensors.get(name)
            if tensor is None:
                raise CheckpointError(
                    f"The tensor {name} is missing: the index puts it in {shard}, which lacks it; download both again."
                )
            self.tensors[name] = tensor
            self._shard_of[name] = shard
        self._scale_of = {
            name: self.tensors.pop(name + SCALE_SUFFIX)
            for name, tensor in list(self.tensors.items())
            if tensor.dtype == "F8_E4M3" and name + SCALE_SUFFIX in self.tensors
        }
        self._check_scales()

    @property
    def digest(self) -> str:
        """SHA-256 over every shard's name, size and header, in order of name.

        It identifies the checkpoint's tensors and their offsets, not their values: the output's weights digest covers
        those.
        """
        state = hashlib.sha256()
        for name, header in sorted(self.headers.items()):
            state.update(f"{name} {header.size_bytes} {header.digest}\n".encode())
        return state.hexdigest()

    @property
    def stamps(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name, and size, times and inode, of every shard: a resumed conversion compares them to notice other files."""
        return [(name, stamp((self._folder / name).stat())) for name in sorted(self.headers)]

    def checksum(self, names: Iterable[str]) -> int:
        """XXH3-64 of the stored bytes of these tensors and their scales. Raises CheckpointError as `read` does."""
        state = Xxh3()
        for name in names:
            for tensor in filter(None, (self.tensors[name], self._scale_of.get(name))):
                for at in range(0, tensor.nbytes, READ_BYTES):
                    count = min(READ_BYTES, tensor.nbytes - at)
                    state.update(self._read_bytes(tensor, self._shard_of[tensor.name], at, count))
        return state.digest()

    def read(self, name: str, first_row: int, rows: int) -> Floats:
        """Rows `first_row` to `first_row + rows` of a tensor as float32 [rows, columns]; a vector is one row.

        Raises CheckpointError if the file has become shorter, or if the rows hold NaN or infinite values.
        """
        tensor = self.tensors[name]
        columns = tensor.shape[-1]
        row_bytes = tensor.nbytes // max(1, _rows(tensor))
        raw = self._read_bytes(tensor, self._shard_of[name], first_row * row_bytes, rows * row_bytes)
        values = to_float32(raw, tensor.dtype).reshape(rows, columns)
        if tensor.dtype == "F8_E4M3":
            apply_block_scales(values, self._scale(name), self._block, first_row)
        # min and max propagate NaN and infinity, and need no mask as large as the weights.
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            raise CheckpointError(
                f"The tensor {name} holds NaN or infinite values, so the checkpoint is damaged; download it again."
            )
        return values

    def close(self) -> None:
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _weight_map(self) -> dict[str, str]:
        """Tensor name -> shard file, from the index or from the only file. Raises CheckpointError."""
        if not (self._folder / INDEX).exists():
            if not (self._folder / SINGLE).exists():
                raise CheckpointError(
                    f"The checkpoint {self._folder.name} has neither {INDEX} nor {SINGLE}; download its weights."
                )
            return dict.fromkeys(self._read_header(SINGLE).tensors, SINGLE)
        weight_map = Config(read_json(self._folder / INDEX), INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{INDEX} has no weight_map; download it again.")
        for shard in set(map(str, weight_map.values())):
            # Plain names only: an index from an unknown source must not lead us to other files of this machine.
            if Path(shard).name != shard or "\\" in shard or not shard.endswith(".safetensors"):
                raise CheckpointError(
                    f"{INDEX} names {shard!r:.80}, which is not a .safetensors file inside the folder."
                )
            if not os.path.lexists(self._folder / shard):  # exists() would raise OSError for a name that is too long
                raise CheckpointError(f"The shard {shard} is missing from {self._folder.name}; download it.")
        return weight_map

    def _read_header(self, shard: str) -> ShardHeader:
        """A shard's header, read from the file once."""
        if shard not in self.headers:
            self.headers[shard] = read_header(self._folder / shard)
            self._opened[shard] = stamp((self._folder / shard).stat())
        return self.headers[shard]

    def _scale(self, name: str) -> Floats:
        with self._lock:
            known = self._scales.get(name)
        if known is None:
            stored = self._scale_of[name]
            raw = self._read_bytes(stored, self._shard_of[stored.name], 0, stored.nbytes)
            known = to_float32(raw, stored.dtype).reshape(stored.shape)
            with self._lock:
                # The ranges of a tensor are read one after another, so the scales of the last few tensors are enough.
                if len(self._scales) > 64:
                    self._scales.clear()
                self._scales[name] = known
        return known

    def _read_bytes(self, tensor: StoredTensor, shard: str, offset: int, count: int) -> Bytes:
        file = self._open(shard)
        buffer = np.empty(count, np.uint8)
        view = buffer.data
        done = 0
        while done < count:
            got = os.preadv(file, [view[done:]], tensor.offset + offset + done)
            if got == 0:
                raise CheckpointError(f"The shard {shard} became shorter while it was read; download it again.")
            done += got
        return buffer

    def _open(self, shard: str) -> int:
        with self._lock:
            if shard not in self._files:
                file = os.open(self._folder / shard, os.O_RDONLY | os.O_CLOEXEC)
                if stamp(os.fstat(file)) != self._opened[shard]:
                    os.close(file)
                    raise CheckpointError(f"The shard {shard} was changed while it was read; run the command again.")
                self._files[shard] = file
            return self._files[shard]

    def _check_scales(self) -> None:
        for name, tensor in self.tensors.items():
            if tensor.dtype != "F8_E4M3":
                continue
            scale = self._scale_of.get(name)
            if scale is None:
                raise CheckpointError(f"The FP8 tensor {name} has no scales {name}{SCALE_SUFFIX}; download both again.")
            wanted = tuple(-(-side // step) for side, step in zip(tensor.shape, self._block, strict=False))
            if len(tensor.shape) != 2 or scale.shape != wanted or scale.dtype not in SCALES:
                raise CheckpointError(
                    f"The scales of {name} have the shape {scale.shape}, but blocks of {self._block} need {wanted}; "
                    "download the checkpoint again."
                )


def stamp(status: os.stat_result) -> tuple[int, ...]:
    """Size, times and inode: what changes when another file takes the name, or its bytes are written."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _rows(tensor: StoredTensor) -> int:
    return tensor.shape[0] if len(tensor.shape) == 2 else 1
