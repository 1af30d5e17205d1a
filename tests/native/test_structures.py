"""The structures that Python and the native library share: both sides assert the same layout."""

import ctypes
import re
from pathlib import Path

import pytest

import edgemed.native
from edgemed.native.engine import EXPERT_RECORD, RouterShape, StoreOptions, StoreStats, StreamExtent

NATIVE = Path(edgemed.native.__file__).parent
RENAMED = {"wait_s": "wait_seconds", "compute_s": "compute_seconds"}


def asserted(header: str, name: str) -> tuple[int, dict[str, int]]:
    """Size and offsets that the header's static_assert states, which the compiler has checked."""
    text = (NATIVE / header).read_text()
    size = re.search(rf"static_assert\(sizeof\({name}\) == (\d+)", text)
    assert size is not None
    offsets = re.findall(rf"offsetof\({name}, (\w+)\) ==\s+(\d+)", text)
    return int(size[1]), {field: int(offset) for field, offset in offsets}


@pytest.mark.parametrize(
    ("header", "structure"),
    [
        ("store/store.h", StoreOptions),
        ("store/store.h", StoreStats),
        ("graph/dense_stream.h", StreamExtent),
        ("graph/predictor.h", RouterShape),
    ],
)
def test_structures_are_laid_out_alike(header: str, structure: type[ctypes.Structure]) -> None:
    names = [field[0] for field in structure._fields_]
    offsets = {RENAMED.get(name, name): getattr(structure, name).offset for name in names}
    assert asserted(header, structure.__name__) == (ctypes.sizeof(structure), offsets)


def test_records_of_experts_are_laid_out_alike() -> None:
    assert EXPERT_RECORD.fields is not None
    offsets = {name: offset for name, (_, offset, *_) in EXPERT_RECORD.fields.items()}
    assert asserted("store/expert.h", "ExpertRecord") == (EXPERT_RECORD.itemsize, offsets)
