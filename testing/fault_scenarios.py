"""Fault injection on a real, tiny model: failing files and disks. Runs in its own process with faulty reads preloaded.

python -m testing.fault_scenarios EDGEMED.gguf STOCK.gguf RESULTS.json     (LD_PRELOAD=faulty_reads.so)

Every scenario works on its own copy of the file. After each fault the same process must answer as if nothing had
happened. RESULTS.json maps each scenario to "" or its traceback.
"""

import ctypes
import errno
import itertools
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import LoadedModel, load_model
from edgemed.errors import EdgemedError, EngineError
from edgemed.model_file import open_model
from edgemed.model_file.header import read_header
from testing.resealed import resealed
from testing.timing import Later, soon, within

IDS = (3, 14, 15, 92, 65, 35, 89, 79)  # a small batch: each row is computed as a single token is
LONG = tuple(range(20, 60))  # more tokens than experts in a layer, so the engine reads them before the first MoE layer
STOP_SECONDS = 0.1
CYCLES = 200

Logits = NDArray[np.float32]


class Failed(Exception):  # noqa: N818 - an outcome of a computation
    """llama_decode failed; the message is the model's reason."""


def load(path: Path, **changes: Any) -> LoadedModel:
    settings: dict[str, Any] = {"ram_bytes": None, "n_ctx": 256, "threads": 2, "n_batch": 64, "n_outputs": 64}
    return load_model(open_model(path), LoadSettings(**(settings | changes)))


@contextmanager
def loaded(path: Path, **changes: Any) -> Iterator[LoadedModel]:
    model = load(path, **changes)
    try:
        yield model
    finally:
        model.close()


def logits(model: LoadedModel, ids: tuple[int, ...] = IDS, *, one_by_one: bool = False) -> Logits:
    """Return logits [token, vocabulary], from an empty context. Raises Failed."""
    llama.llama_memory_clear(llama.llama_get_memory(model.ctx), False)
    rows: list[Logits] = []
    for piece in [(token,) for token in ids] if one_by_one else [ids]:
        batch = llama.llama_batch_init(len(piece), 0, 1)
        batch.n_tokens = len(piece)
        for i, token in enumerate(piece):
            batch.token[i], batch.pos[i], batch.logits[i] = token, len(rows) + i, 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        status = llama.llama_decode(model.ctx, batch)
        llama.llama_batch_free(batch)
        if status:
            raise Failed(model.last_error() or f"status {status}")
        for i in range(len(piece)):
            row = ctypes.cast(llama.llama_get_logits_ith(model.ctx, i), ctypes.POINTER(ctypes.c_float))
            rows.append(np.ctypeslib.as_array(row, (model.file.hparams.n_vocab,)).copy())
    return np.stack(rows)


def fails(model: LoadedModel, *words: str, ids: tuple[int, ...] = IDS) -> None:
    """Assert that computing fails and that the reason contains all these words."""
    try:
        logits(model, ids)
    except Failed as failure:
        for word in words:
            assert word in str(failure), failure  # noqa: PT017 - this is not run by pytest
        return
    raise AssertionError("the computation should have failed")


def faulty_reads(path: Path, error: int = 0, stall_ms: int = 0, most: int = 0, skip: int = 0, times: int = -1) -> None:
    """Make reads of this file fail, stall or return fewer bytes than asked."""
    arm = ctypes.CDLL(None).faulty_reads
    arm.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_int, *(ctypes.c_long,) * 3)
    arm.restype = None
    arm(os.fsencode(path.name), error, stall_ms, most, skip, times)


def healthy_reads() -> None:
    faulty_reads(Path("/none"), times=0)


def used_expert(path: Path) -> tuple[int, int]:
    """Return the (MoE layer, expert) of an expert that the ids use."""
    with loaded(path) as model:
        logits(model)
        moe_layer, expert = np.argwhere(model.store_state()[0] == 2)[-1]
    return int(moe_layer), int(expert)


def extent(path: Path, moe_layer: int, expert: int) -> tuple[int, int]:
    experts = open_model(path).experts
    offset, nbytes = experts.offset[moe_layer, expert], experts.nbytes[moe_layer, expert]
    return int(offset[0]), int(offset[2] + nbytes[2])


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flipped_bit(path: Path, _stock: Path) -> None:
    moe_layer, expert = used_expert(path)
    begin, end = extent(path, moe_layer, expert)
    content, right = path.read_bytes(), None
    with loaded(path) as model:
        right = logits(model)
    with loaded(path) as model:
        for place in (begin, (begin + end) // 2, end - 1):
            overwrite(path, place, bytes([content[place] ^ 4]))
            block = model.file.experts.layers[moe_layer]
            fails(model, f"Expert {expert} of layer {block} ", "checksum")
            fails(model, f"Expert {expert} of layer {block} ", "checksum")  # a second attempt must not accept it
            overwrite(path, place, content[place : place + 1])
            assert np.array_equal(logits(model), right)
            model.set_cache_bytes(0)  # the smallest cache, so that most experts are read again
            assert np.array_equal(logits(model, one_by_one=True), logits(model, one_by_one=True))


def truncated_while_running(path: Path, _stock: Path) -> None:
    content = path.read_bytes()
    begin = extent(path, *used_expert(path))[0]
    with loaded(path) as model:
        os.truncate(path, begin + 10)
        fails(model, "layer", "cut short")
        path.write_bytes(content)
        assert np.isfinite(logits(model)).all()


def replaced_while_running(path: Path, stock: Path) -> None:
    for one in (path, stock):
        with loaded(one) as model:
            other = one.with_suffix(".new")
            other.write_bytes(bytes(one.stat().st_size))
            other.replace(one)
            mine = logits(model)  # the open descriptor still refers to the old file
        assert np.isfinite(mine).all()
        assert mine.std() > 0.1


def overwritten_while_running(path: Path, stock: Path) -> None:
    for one, words in ((path, "checksum"), (stock, "changed")):
        content = one.read_bytes()
        with loaded(one) as model:
            start = int(model.file.experts.offset.min())
            overwrite(one, start, bytes(len(content) - start))
            fails(model, "Expert", words)
            one.write_bytes(content)
            if one == path:  # without checksums the engine cannot know that the old content is back
                assert np.isfinite(logits(model)).all()


def failing_reads(path: Path, stock: Path) -> None:
    for one, ids, skip in itertools.product((path, stock), (IDS, LONG), (0, 1, 5)):
        with loaded(one) as model:
            faulty_reads(one, errno.EIO, skip=skip)
            fails(model, "Expert", os.strerror(errno.EIO), ids=ids)
            healthy_reads()
            assert np.isfinite(logits(model, ids)).all()


def short_reads(path: Path, stock: Path) -> None:
    for one in (path, stock):
        with loaded(one) as model:
            right = logits(model)
        for most, direct in ((5000, True), (5000, False), (4096, True)):
            with loaded(one, direct_reads=direct) as model:
                faulty_reads(one, most=most)
                assert np.array_equal(logits(model), right)
                healthy_reads()


def stalling_reads(path: Path, _stock: Path) -> None:
    with loaded(path) as model:
        right = logits(model)
    with loaded(path) as model:
        faulty_reads(path, stall_ms=1000, times=2)
        assert np.array_equal(logits(model), right)  # late but right
        healthy_reads()


def stop_during_reads(path: Path, _stock: Path) -> None:
    with loaded(path) as model:
        right = {ids: logits(model, ids) for ids in (IDS, LONG)}
    for (ids, one_by_one), small in itertools.product(((IDS, False), (IDS, True), (LONG, False)), (False, True)):
        assert within(STOP_SECONDS, partial(stopped_after, path, small, ids, one_by_one, right[ids]))


def stopped_after(path: Path, small: bool, ids: tuple[int, ...], one_by_one: bool, right: Logits) -> float:
    """Return the seconds from a stop request to the end of a computation that waits for the disk."""
    with loaded(path, force_small=small, ram_bytes=1 if small else None) as model:
        faulty_reads(path, stall_ms=700, times=3)
        stop = Later(0.2, model.request_abort)
        stop.start()
        try:
            logits(model, ids, one_by_one=one_by_one)
            raise AssertionError("the stop request had no effect")
        except Failed:
            took = stop.ago()
        stop.join()
        healthy_reads()
        model.clear_abort()
        assert model.last_error() is None
        if not one_by_one:
            assert np.array_equal(logits(model, ids), right)
    return took


def second_model_is_refused(path: Path, stock: Path) -> None:
    """llama.cpp does not tell the device which model a context belongs to, so a process holds one model at a time."""
    with loaded(path) as one:
        right = logits(one)
        for second in (path, stock):
            try:
                load(second)
                raise AssertionError("the second model should have been refused")
            except EngineError as error:
                assert str(error) == (  # noqa: PT017
                    f"{path.name} is open in this process, which can hold only one model; close it first."
                )
        assert np.array_equal(logits(one), right)
    with loaded(path, direct_reads=False) as after:
        assert np.array_equal(logits(after), right)


def same_logits_with_every_cache(path: Path, stock: Path) -> None:
    for one in (path, stock):
        long = tuple(np.random.default_rng(1).integers(0, 500, 24).tolist())
        seen: dict[bool, Logits] = {}
        for ram, readers, direct, ahead in (
            (None, 3, True, 0),
            (1, 3, True, 0),
            (1, 1, False, 4),
            (None, 1, False, 2),
            (1, 4, True, 8),
            (0, 2, True, 4),  # 0 means room for half of the experts
        ):
            with loaded(
                one,
                ram_bytes=ram or None,
                force_small=ram == 1,
                reader_threads=readers,
                direct_reads=direct,
                read_ahead=ahead,
            ) as model:
                if ram == 0:
                    model.set_cache_bytes(int(model.file.experts.nbytes.sum()) // 2)
                for one_by_one in (False, True):
                    mine = logits(model, long, one_by_one=one_by_one)
                    assert np.array_equal(mine, seen.setdefault(one_by_one, mine)), (ram, readers, direct, one_by_one)
                stats = model.stats()
                assert stats["resident_bytes"] <= stats["budget_bytes"]
                assert (stats["evictions"] > 0) == (ram is not None)


def nothing_leaks(path: Path, _stock: Path) -> None:
    def threads_and_descriptors() -> tuple[int, ...]:
        return tuple(sum(1 for _ in Path(f"/proc/self/{name}").iterdir()) for name in ("task", "fd"))

    def maps() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    def cycle(number: int) -> None:
        with loaded(path, n_batch=16, n_outputs=16, reader_threads=1 + number % 3) as model:
            if number % 20 == 0:
                logits(model)
            elif number % 20 == 1:  # closed in the middle of a read
                faulty_reads(path, stall_ms=20, times=1)
                model.request_abort()
                try:
                    logits(model)
                except Failed:
                    healthy_reads()

    for number in range(20):
        cycle(number)
    # A joined thread may still be listed for a moment.
    before, maps_before = min(threads_and_descriptors() for _ in range(100)), maps()
    for number in range(CYCLES):
        cycle(number)
    assert soon(lambda: threads_and_descriptors() == before), (threads_and_descriptors(), before)
    assert maps() <= maps_before + 10  # the allocator's own mappings may vary; a leak would add 200


def broken_files_are_refused(path: Path, stock: Path) -> None:
    """After refusing a broken file, the process goes on working."""

    content = path.read_bytes()
    model_file = open_model(path)
    header_size = len(read_header(path).bytes)

    def rename(tensor: bytes, other: bytes) -> None:
        path.write_bytes(resealed(content.replace(tensor, other), header_size))

    dense = model_file.tensors["blk.0.attn_qkv.weight"]
    end = int((model_file.experts.offset + model_file.experts.nbytes).max())
    for change in (
        lambda: overwrite(path, dense.offset + 5, bytes([content[dense.offset + 5] ^ 1])),
        lambda: os.truncate(path, end - 1),
        lambda: rename(b"blk.0.attn_qkv.weight", b"blk.x.attn_qkv.weight"),
        lambda: rename(b"blk.0.attn_qkv.weight", b"blk..attn_qkv.weights"),
        lambda: rename(b"output_norm.weight", b"output_nope.weight"),
    ):
        change()
        try:
            load(path)
            raise AssertionError("the broken file should have been refused")
        except EdgemedError as error:
            assert str(error).endswith("."), error  # noqa: PT017
        path.write_bytes(content)
    opened = open_model(path)
    faulty_reads(path, errno.EIO, skip=1)
    try:
        load_model(opened, LoadSettings(ram_bytes=None, n_ctx=256, threads=2))
        raise AssertionError("the unreadable file should have been refused")
    except EdgemedError as error:
        assert f"cannot be read: {os.strerror(errno.EIO)}." in str(error), error  # noqa: PT017
    healthy_reads()
    with loaded(path) as model:
        assert np.isfinite(logits(model)).all()


SCENARIOS: dict[str, Callable[[Path, Path], None]] = {
    scenario.__name__: scenario
    for scenario in (
        flipped_bit,
        truncated_while_running,
        replaced_while_running,
        overwritten_while_running,
        failing_reads,
        short_reads,
        stalling_reads,
        stop_during_reads,
        second_model_is_refused,
        same_logits_with_every_cache,
        broken_files_are_refused,
        nothing_leaks,
    )
}


def main() -> None:
    files, out = [Path(name) for name in sys.argv[1:3]], Path(sys.argv[3])
    results = {}
    for name in sys.argv[4:] or SCENARIOS:
        copies = [Path(shutil.copy(file, out.with_name(f"{name}-{file.name}"))) for file in files]
        start = time.monotonic()
        try:
            SCENARIOS[name](copies[0], copies[1])
            results[name] = ""
        except Exception:
            results[name] = traceback.format_exc()
            healthy_reads()
        for copy in copies:
            copy.unlink()
        out.write_text(json.dumps(results))
        sys.stderr.write(f"{name}: {time.monotonic() - start:.1f} s\n")


if __name__ == "__main__":
    main()
