"""The benchmark of split models counts reads in a log of strace."""

from pathlib import Path

from benchmarks.parts import reads
from edgemed.model_file import open_model
from testing.gguf_bytes import small_model
from testing.split_gguf import split, write


def test_reads_are_counted_by_part_and_offset(tmp_path: Path) -> None:
    gguf = small_model("edgemed")
    model = open_model(write(split(gguf, (0, len(gguf.tensors) - 6)), tmp_path)[0])
    one, two = (part.path for part in model.parts)
    last, expert = model.dense[-1].offset, int(model.experts.offset[0, 3, 0])
    log = tmp_path / "log"
    lines = [
        f'7 pread64(3<{one}>, ""..., 1048576, 0) = 9000',  # a header
        f'7 pread64(3<{one}>, ""..., 4096, {last}) = 4096',
        f"8 pread64(4<{two}>,  <unfinished ...>",
        f'7 pread64(3<{tmp_path}/other>, ""..., 4096, {expert}) = 4096',
        f'8 <... pread64 resumed>""..., 4096, {expert}) = 4096',
        f'7 pread64(3<{one}>, ""..., 4096, {expert}) = 4096',
        "7 +++ exited with 0 +++",
    ]
    log.write_text("\n".join(lines))
    assert int(model.experts.part[0, 3, 0]) == 1
    assert reads(log, model) == (1, 3)
