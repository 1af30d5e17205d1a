"""`convert --split`: parts of a limited size, which stock llama.cpp loads too, and which appear all or not at all."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemed.cli import main
from edgemed.convert import Progress, convert
from edgemed.convert.layout import LayoutName
from edgemed.errors import SetupError, UsageError
from edgemed.model_file import ModelFile, open_model
from edgemed.model_file.integrity import check
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint
from testing.engine_probe import Probe, run_probes
from tests.convert.conftest import TINY

PLAN = Plan.uniform(4.5)
LIMITS: dict[LayoutName, int] = {"edgemed": 2_000_000, "llama.cpp": 2_200_000}
LAYOUTS = pytest.mark.parametrize("layout", LIMITS)
KILLS = int(os.environ.get("EDGEMED_KILLS", "2"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def split(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[LayoutName, ModelFile]:
    """The checkpoint `small` in three parts or more, in each layout."""
    made: dict[LayoutName, ModelFile] = {}
    for layout, limit in LIMITS.items():
        folder = tmp_path_factory.mktemp(layout)
        done = convert(str(small), folder / "out.gguf", PLAN, layout=layout, split=limit)
        assert sorted(folder.iterdir()) == list(done.parts)
        assert len(done.parts) >= 3
        made[layout] = open_model(done.path)
    return made


@LAYOUTS
def test_parts_hold_the_weights_of_one_file(
    layout: LayoutName, split: dict[LayoutName, ModelFile], small: Path, tmp_path: Path
) -> None:
    whole = open_model(convert(str(small), tmp_path / "out.gguf", PLAN, layout=layout).path)
    parts = split[layout]
    assert parts.weights_digest == whole.weights_digest
    assert parts.layout == layout
    assert list(parts.tensors) == list(whole.tensors)
    assert all(parts.read(parts.tensors[name]) == whole.read(tensor) for name, tensor in whole.tensors.items())
    assert all(part.size <= LIMITS[layout] for part in parts.parts)
    assert check(parts).damaged == []
    assert parts.verified == (layout == "edgemed")
    if layout == "edgemed":
        assert parts.header_verified
        assert parts.dense_checksums == whole.dense_checksums
        assert np.array_equal(parts.experts.checksum, whole.experts.checksum)  # type: ignore[arg-type]
        assert (parts.experts.part == parts.experts.part[..., :1]).all()
        assert any(len(set(layer.flat)) > 1 for layer in parts.experts.part), "a layer in several parts"
    for part in parts.parts:
        assert open_model(part.path).parts == parts.parts


def test_a_part_of_the_wrong_length_is_named(split: dict[LayoutName, ModelFile], tmp_path: Path) -> None:
    parts = [Path(shutil.copy(part.path, tmp_path)) for part in split["edgemed"].parts]
    with parts[1].open("ab") as file:
        file.write(b"x")
    assert check(open_model(parts[0])).damaged == [f"the length of {parts[1].name}, 1 bytes too many"]


@pytest.mark.slow
def test_stock_llama_cpp_computes_with_the_parts(tmp_path: Path) -> None:
    checkpoint = str(make_checkpoint(tmp_path / "checkpoint", TINY))
    one = convert(checkpoint, tmp_path / "one.gguf", PLAN, layout="llama.cpp").path
    done = convert(checkpoint, tmp_path / "split.gguf", PLAN, layout="llama.cpp", split=700_000)
    assert len(done.parts) >= 3
    probe = Probe(str(done.path), (300, 12, 45, 260, 7, 99), repack=False)
    stock, stock_of_one, ours = run_probes(
        tmp_path, Probe(probe.path, probe.ids, stock=True), Probe(str(one), probe.ids, stock=True), probe
    )
    assert np.array_equal(stock.logits, stock_of_one.logits)
    assert np.abs(stock.logits - ours.logits).max() < 0.1


def test_one_part_is_an_ordinary_file(small: Path, tmp_path: Path) -> None:
    done = convert(str(small), tmp_path / "a.gguf", PLAN, split=1 << 30)
    assert done.parts == (tmp_path / "a.gguf",)
    convert(str(small), tmp_path / "b.gguf", PLAN)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize(("limit", "words"), [(1000, "give a larger --split."), (200_000, "token_embd.weight and a")])
def test_parts_that_are_too_small(limit: int, words: str, small: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        convert(str(small), tmp_path / "out.gguf", PLAN, split=limit)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_parts_within_the_size(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", str(small), "-o", str(tmp_path / "my-00001-of-00009.gguf"), "--split", "2MB"]
    assert main([*words, "--size", "5MB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [f"my-{number:05}-of-{len(told['parts']):05}.gguf" for number in range(1, len(told["parts"]) + 1)]
    assert told["parts"] == [str(tmp_path / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert told["size_bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5_000_000
    assert main([*words, "--size", "5MB"]) == 1
    assert f"{names[0]} exists already; delete it" in capsys.readouterr().err
    assert main([*words, "--size", "5MB", "--overwrite"]) == 0
    assert f", in {len(names)} parts\n" in capsys.readouterr().out


# Converts and, at one of its renames, fails with an error of the disk or dies.
AT_A_RENAME = """
import errno, os, sys
from pathlib import Path
from edgemed.convert import convert
from edgemed.quant.plan import Plan
_, checkpoint, output, layout, split, number, how = sys.argv
replace, left = Path.replace, [int(number)]
def failing(self, target):
    if str(target).endswith(".gguf"):
        left[0] -= 1
        if left[0] < 0:
            if how == "dies":
                os._exit(9)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    return replace(self, target)
Path.replace = failing
convert(checkpoint, Path(output), Plan.uniform(4.5), layout=layout, split=int(split))
"""


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("how", ["dies", "disk full"])
def test_interrupted_at_each_rename(
    layout: LayoutName, how: str, split: dict[LayoutName, ModelFile], small: Path, tmp_path: Path
) -> None:
    """No part 1 exists before all others do, and the next run needs no --overwrite and makes the same bytes."""
    expected = contents(split[layout].path.parent)
    names = sorted(expected)
    output = tmp_path / "out.gguf"
    for number in range(len(names)):
        words = (str(small), str(output), layout, str(LIMITS[layout]), str(number), how)
        stopped = subprocess.run(
            [sys.executable, "-c", AT_A_RENAME, *words], capture_output=True, text=True, check=False
        )
        assert stopped.returncode == (9 if how == "dies" else 1), stopped.stderr
        if how != "dies":
            assert "No space left on device" in stopped.stderr
            assert "run it again to resume" in stopped.stderr
        found = contents(tmp_path)
        assert sorted(name for name in found if name in expected) == names[len(names) - number :]
        assert all(found[name] == expected[name] for name in found if name in expected)
    done = convert(str(small), output, PLAN, layout=layout, split=LIMITS[layout])
    assert done.units_resumed > 0
    assert contents(tmp_path) == expected


def test_an_older_model_is_never_mixed_with_new_parts(small: Path, tmp_path: Path) -> None:
    """While parts are replaced, there is no part 1."""
    limit, output = LIMITS["edgemed"], tmp_path / "out.gguf"
    old = convert(str(small), output, Plan.uniform(4.5), split=limit)
    words = (str(small), str(output), "edgemed", str(limit))
    with pytest.raises(SetupError, match="exists already"):
        convert(str(small), output, PLAN, split=limit)
    assert contents(tmp_path).keys() == {path.name for path in old.parts}
    stopped = AT_A_RENAME.replace("split=int(split))", "split=int(split), overwrite=True)")
    subprocess.run([sys.executable, "-c", stopped, *words, "1", "dies"], check=False)
    assert not old.path.exists()
    convert(str(small), output, PLAN, split=limit, overwrite=True)
    assert check(open_model(old.path)).damaged == []


def test_a_source_is_never_replaced_by_a_part(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY)
    shard = next(folder.glob("*.safetensors"))
    for number in range(1, 9):
        for name in (folder / f"out-{other:05}-of-{number:05}.gguf" for other in range(1, number + 1)):
            name.hardlink_to(shard)
    with pytest.raises(UsageError, match="is also named as an input"):
        convert(str(folder), folder / "out.gguf", PLAN, split=700_000, overwrite=True)


def test_lack_of_space_is_told_before_anything_is_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the disk fills while the space for a later part is reserved."""
    given: list[int] = []

    def reserve(file: int, offset: int, length: int) -> None:
        given.append(length)
        if len(given) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    with pytest.raises(SetupError, match=r"out-00002-of-\d{5}.gguf cannot be made 0.00 GB long: No space left"):
        convert(str(small), tmp_path / "out.gguf", PLAN, split=LIMITS["edgemed"])
    assert list(tmp_path.iterdir()) == []


def test_a_part_deleted_between_two_runs(small: Path, split: dict[LayoutName, ModelFile], tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818 - stands for any interruption
        pass

    def stop(progress: Progress) -> None:
        if progress.experts_done >= 30:
            raise Stop

    with pytest.raises(Stop):
        convert(str(small), tmp_path / "out.gguf", PLAN, split=LIMITS["edgemed"], on_progress=stop)
    (partial,) = tmp_path.glob("out-00002-of-*.partial")
    partial.unlink()
    convert(str(small), tmp_path / "out.gguf", PLAN, split=LIMITS["edgemed"])
    assert contents(tmp_path) == contents(split["edgemed"].path.parent)


SLOWLY = """
import sys, time
from pathlib import Path
from edgemed.convert import convert
from edgemed.quant.plan import Plan
convert(sys.argv[1], Path(sys.argv[2]), Plan.uniform(4.5), layout=sys.argv[3], split=int(sys.argv[4]), sync_seconds=0,
        threads=2, on_progress=lambda progress: time.sleep(0.02))
"""


@pytest.mark.slow
@LAYOUTS
def test_killed_at_any_moment(
    layout: LayoutName, split: dict[LayoutName, ModelFile], small: Path, tmp_path: Path
) -> None:
    """kill -9 after a random time, again and again (EDGEMED_KILLS times, 2 by default), then to the end."""
    expected = contents(split[layout].path.parent)
    drawn, kills = random.Random(0), 0
    command = [sys.executable, "-c", SLOWLY, str(small), str(tmp_path / "out.gguf"), layout, str(LIMITS[layout])]
    while kills < KILLS:
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            error = child.communicate(timeout=drawn.uniform(0.7, 2.5))[1]
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            kills += 1
        else:
            assert child.returncode == 0, error
        found = contents(tmp_path)
        if min(expected) in found:  # it had ended
            assert {name: found[name] for name in expected if name in found} == expected
            for path in tmp_path.iterdir():
                path.unlink()
    convert(str(small), tmp_path / "out.gguf", PLAN, layout=layout, split=LIMITS[layout])
    assert contents(tmp_path) == expected
